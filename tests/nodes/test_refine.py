"""nodes/refine.py, refining.py and native_refiner.py inside the host, on the tiny refiner."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from refiner_nodes import CONTEXT, LATENTS, conditioning, refine
from rollout_nodes import assert_same_film, frames_of, generate

from tools.make_tiny_refiner import REFINERS, write_refiner


@pytest.fixture(scope="module")
def refiner_path(tmp_path_factory):
    return write_refiner(tmp_path_factory.mktemp("refiner"), REFINERS["diffusers"])


@pytest.fixture
def refiner(pack, refiner_path):
    from sana_wm_pack.nodes.native_refiner import refiner_model
    from sana_wm_pack.wm_core.checkpoint import open_refiner

    return refiner_model(open_refiner(refiner_path))


@pytest.fixture
def core(pack, refiner_path):
    """core(**recipe): the same refinement by wm_core alone, (1, c, t, h, w)."""
    from sana_wm_pack.wm_core.checkpoint import load_refiner
    from sana_wm_pack.wm_core.config import RefinerRecipe
    from sana_wm_pack.wm_core.sampling.noise import refiner_noise
    from sana_wm_pack.wm_core.sampling.refining import refine as refine_core
    from sana_wm_pack.wm_core.sampling.refining import refiner_stage

    def run(seed=7, frames=None, **recipe):
        model = load_refiner(refiner_path)
        clip = LATENTS.clone()
        draw = lambda start, shape: refiner_noise(seed, start, shape)
        with torch.no_grad():
            prompt = model.prompt_keys(CONTEXT)
        pieces = refine_core(
            refiner_stage(model), LATENTS, prompt, draw, fps=16.0, recipe=RefinerRecipe(**recipe), frames=frames
        )
        for span, piece in pieces:
            clip[:, :, span.start : span.stop] = piece
        return clip

    return run


@contextmanager
def stopped_after(monkeypatch, blocks, error):
    """Something goes wrong while block number `blocks` is being refined."""
    from sana_wm_pack.nodes import refining

    saved, real = [], refining.save_block

    def save(folder, key, index, block):
        if len(saved) == blocks:
            raise error
        saved.append(index)
        real(folder, key, index, block)

    with monkeypatch.context() as patch:
        patch.setattr(refining, "save_block", save)
        with pytest.raises(type(error)):
            yield saved


def test_node_equals_the_core(refiner, core, told):
    latent, blocker = refine(refiner)
    torch.testing.assert_close(latent["samples"], core(), atol=2e-5, rtol=0)
    assert torch.equal(latent["samples"][:, :, :1], LATENTS[:, :, :1])
    assert "no VAE" in blocker.message


def test_modes_strength_and_range(refiner, core, told):
    (once, _), (weak, _), (part, _) = (
        refine(refiner, prefix=name, **options)
        for name, options in {
            "once": {"mode": "single shot"}, "weak": {"start_sigma": 0.5}, "part": {"first_frame": 30, "last_frame": 50},
        }.items()
    )  # fmt: skip
    torch.testing.assert_close(once["samples"], core(block=0), atol=2e-5, rtol=0)
    torch.testing.assert_close(weak["samples"], core(sigmas=(0.5, 0.421875, 0.0)), atol=2e-5, rtol=0)
    torch.testing.assert_close(part["samples"], core(frames=range(4, 8)), atol=2e-5, rtol=0)
    same = (part["samples"] == LATENTS).flatten(3).all(-1).all(1)[0]
    assert same.tolist() == [True] * 4 + [False] * 4 + [True] * 3, "frames 30 to 50 come from latents 4 to 7"


def test_a_stop_loses_no_block_and_goes_on(refiner, told, monkeypatch):
    straight, _ = refine(refiner, prefix="straight")
    with stopped_after(monkeypatch, 2, RuntimeError("boom")):
        refine(refiner, prefix="stopped")
    assert "2 of 4 refined blocks are kept" in told()[-1] and "stage 1 is untouched" in told()[-1]
    calls = []
    from sana_wm_pack.nodes import refining

    real = refining.save_block
    monkeypatch.setattr(refining, "save_block", lambda *a: (calls.append(a[2]), real(*a)))
    resumed, _ = refine(refiner, prefix="stopped")
    assert calls == [2, 3], "only what was missing is made"
    torch.testing.assert_close(resumed["samples"], straight["samples"], atol=2e-5, rtol=0)
    again, _ = refine(refiner, prefix="stopped")
    assert calls == [2, 3] and "nothing was made again" in told()[-1]
    assert torch.equal(again["samples"], resumed["samples"])


def test_other_inputs_are_another_refinement(refiner, told, host_folders):
    refine(refiner)
    for options in ({"seed": 8}, {"start_sigma": 0.7}, {"positive": conditioning(CONTEXT + 1)}, {"resume": "never"}):
        refine(refiner, **options)
    folders = sorted(path.name for path in (host_folders / "output" / "video").iterdir())
    assert folders == [f"refined_0000{i}_refined" for i in range(1, 6)]


def test_cancel_is_heard(refiner, told, host_folders):
    """Before the next step; newer hosts hold back most other reports of progress."""
    import comfy.model_management as management
    import comfy.utils

    seen = []

    def hook(value, total, preview, node_id=None):
        seen.append(value)
        management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(hook)
    with pytest.raises(management.InterruptProcessingException):
        refine(refiner)
    assert seen == [1] and "0 of 4 refined blocks are kept" in told()[-1]
    assert not list((host_folders / "output").rglob("*.*")), "nothing half-done is left"


def test_out_of_memory_says_what_to_do(refiner, told, monkeypatch):
    import comfy.model_management as management

    with stopped_after(monkeypatch, 1, management.OOM_EXCEPTION("CUDA out of memory")):
        refine(refiner)
    assert "resident_blocks" in told()[-1] and "queue again to go on" in told()[-1]


def test_damaged_block_is_made_again(refiner, told, monkeypatch, host_folders):
    straight, _ = refine(refiner, prefix="straight")
    with stopped_after(monkeypatch, 3, RuntimeError("boom")):
        refine(refiner, prefix="hurt")
    (file,) = (host_folders / "output").glob("hurt_00001_refined/block_00001_*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    mended, _ = refine(refiner, prefix="hurt")
    torch.testing.assert_close(mended["samples"], straight["samples"], atol=2e-5, rtol=0)


def test_film_of_a_session(refiner, parts, told, host_folders):
    """Every frame of stage 1's film is in the refined one, and the sidecar has its camera."""
    video, _, session, *_ = generate(parts, length=73, prefix="draft")
    latent, refined = refine(refiner, session, fps=0.0, vae=parts[1])
    assert len(frames_of(refined)) == len(frames_of(video)) == 73
    torch.testing.assert_close(latent["samples"][:, :, :1], session.session.latents[:, :, :1].cpu())
    path = host_folders / "output" / "video" / "refined_00001_.json"
    told_of = json.loads(path.read_text())
    assert told_of["frames"] == 73 and told_of["refined"]["seed"] == 7 and told_of["fps"] == 16.0
    want = session.session.camera.c2w[:73].reshape(73, 16)
    assert np.array_equal(np.array(told_of["camera"]["c2w"]), want)


def test_film_goes_on_after_a_stop(refiner, parts, told, monkeypatch, host_folders):
    vae = parts[1]
    whole, straight = refine(refiner, prefix="straight", vae=vae)
    with stopped_after(monkeypatch, 2, RuntimeError("boom")):
        refine(refiner, prefix="stopped", vae=vae)
    film = host_folders / "output" / "stopped_00001_refined" / "film.mp4"
    assert film.stat().st_size > 1000, "what was refined can be looked at"
    again, resumed = refine(refiner, prefix="stopped", vae=vae)
    # A finished block goes through the model alone, where it went beside the next one: its last bit, 5e-7 of 6, is another's.
    torch.testing.assert_close(again["samples"], whole["samples"], atol=2e-6, rtol=0)
    assert len(frames_of(resumed)) == 81
    assert_same_film(vae, (resumed, again), (straight, whole))
    assert not film.exists()


def sampled(model, mask):
    """What core's sampler makes of the latents with the refiner's noise levels."""
    import comfy.samplers
    import comfy_extras.nodes_custom_sampler as sampling
    from sana_wm_pack.wm_core.sampling.noise import refiner_noise

    noise = torch.zeros_like(LATENTS)
    noise[:, :, 1:] = refiner_noise(7, 1, tuple(LATENTS[:, :, 1:].shape))

    class Given:
        seed = 0

        def generate_noise(self, latent):
            return noise

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(conditioning(), conditioning())
    guider.set_cfg(1.0)
    sampler = comfy.samplers.sampler_object("euler")
    sigmas = torch.tensor([0.909375, 0.725, 0.421875, 0.0])
    latent = {"samples": LATENTS, "noise_mask": mask}
    out = sampling.SamplerCustomAdvanced.execute(Given(), guider, sampler, sigmas, latent)
    return (out.args if hasattr(out, "args") else out)[0]["samples"]


def mask_of(known):
    mask = torch.ones(1, 1, 11, 2, 3)
    mask[:, :, known] = 0
    return mask


def test_the_model_in_cores_sampler_makes_the_single_shot_pass(refiner, core, told):
    torch.testing.assert_close(sampled(refiner, mask_of([0])), core(block=0), atol=1e-4, rtol=0)


def test_steps_of_one_run_share_the_prompts_keys(refiner, told):
    net, calls = refiner.model.diffusion_model, []
    hooks = [net.caption_projection.linear_1.register_forward_hook(lambda *_: calls.append("prompt"))]
    hooks.append(net.transformer_blocks[0].attn2.to_k.register_forward_hook(lambda *_: calls.append("keys")))
    try:
        sampled(refiner, mask_of([0]))
        assert calls == ["prompt", "keys"], "once for three steps"
    finally:
        for hook in hooks:
            hook.remove()


def test_known_frames_elsewhere_are_refused(refiner, told):
    from sana_wm_pack.wm_core.errors import ShapeError

    with pytest.raises(ShapeError, match="got 2 known of 11"):
        sampled(refiner, mask_of([0, 5]))


def test_slots_are_given_back_after_cores_sampler(refiner, refiner_path, told):
    from sana_wm_pack.nodes.native_refiner import refiner_model
    from sana_wm_pack.wm_core.checkpoint import open_refiner

    swapped = refiner_model(open_refiner(refiner_path), resident_blocks=1)
    assert torch.equal(sampled(swapped, mask_of([0])), sampled(refiner, mask_of([0])))
    assert swapped.model.diffusion_model.swap.bytes_on_device() == 0


def test_a_small_card_keeps_the_window_in_the_computers_memory(refiner, told, monkeypatch):
    import comfy.model_management as management
    from sana_wm_pack.nodes import native_refiner
    from sana_wm_pack.wm_core.config import RELEASED_REFINING

    grid = (11, 2, 3)
    assert native_refiner.planned_memory(refiner, RELEASED_REFINING, grid, 128).window_is_on_device
    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    monkeypatch.setattr(management, "get_total_memory", lambda device: 300_000)
    small = native_refiner.planned_memory(refiner, RELEASED_REFINING, grid, 128)
    assert not small.window_is_on_device and small.elsewhere == small.window
    monkeypatch.setattr(management, "get_total_memory", lambda device: 3_000_000)
    assert native_refiner.planned_memory(refiner, RELEASED_REFINING, grid, 128).window_is_on_device


def test_room_is_asked_for_before_it_is_taken(refiner, told, monkeypatch):
    """A small request between would let the host fill the card with weights again before the window is made."""
    import comfy.model_management as management
    from sana_wm_pack.nodes import native_refiner
    from sana_wm_pack.wm_core.config import RELEASED_REFINING

    asked, order = [], []
    real, ring = management.load_models_gpu, native_refiner.KVRing
    monkeypatch.setattr(management, "load_models_gpu", lambda models, memory_required=0, **o: (asked.append(memory_required), order.append("load"), real(models, memory_required=memory_required, **o)))
    monkeypatch.setattr(native_refiner, "KVRing", lambda *a, **o: (order.append("ring"), ring(*a, **o))[1])
    refine(refiner)
    need = native_refiner.planned_memory(refiner, RELEASED_REFINING, (11, 2, 3), 128)
    beside = need.scratch + need.activations
    assert order[:3] == ["load", "load", "ring"], "for the prompt, for the window"
    assert asked[:3] == [beside + need.window + need.text, beside + need.window, beside] and set(asked[2:]) == {beside}


@pytest.mark.parametrize("resident", [0, 1, 2])
def test_block_swap_inside_the_host(refiner, refiner_path, told, resident):
    from sana_wm_pack.nodes.native_refiner import refiner_model
    from sana_wm_pack.wm_core.checkpoint import open_refiner

    whole, _ = refine(refiner, prefix="whole")
    swapped = refiner_model(open_refiner(refiner_path), resident_blocks=resident)
    assert swapped.model_size() < refiner.model_size()
    got, _ = refine(swapped, prefix="swapped")
    assert torch.equal(got["samples"], whole["samples"])
    assert swapped.model.diffusion_model.swap.bytes_on_device() == 0, "the slots are given back"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0.0}, "fps must be positive, got 0, and a latent has none"),
        ({"sink": 11}, "longer than the sink of 11"),
        ({"block": 11}, "a block of 11 latent frames is larger than the 10 behind the sink"),
        ({"draft": {"samples": torch.zeros(1, 4, 11, 2, 3)}}, "latents of 8 channels, got 4"),
        ({"draft": {"samples": torch.zeros(1, 8, 2, 3)}}, "one video's latent"),
        ({"draft": {"samples": torch.zeros(2, 8, 11, 2, 3)}}, "one video's latent"),
        ({"start_sigma": 0.0}, r"start sigma must lie in \(0, 1\]"),
        ({"first_frame": 90}, "first_frame must be one of the clip's 81"),
        ({"first_frame": 9, "last_frame": 3}, "not before it"),
        ({"last_frame": 0}, "frames 0 to 0 lie in the sink of 1 latent frames.*at least 1"),
        ({"sink": 2, "first_frame": 1, "last_frame": 8}, "lie in the sink of 2 latent frames.*at least 9"),
        ({"positive": [[torch.zeros(1, 5, 2304), {}]]}, "positive must have 32 channels, got 2304"),
        ({"positive": [[CONTEXT, {"unprocessed_ltxav_embeds": True}]]}, "ComfyUI's own CLIP of LTX-2"),
        ({"mode": "both"}, "mode must be one of"),
    ],
)
def test_bad_input_gives_one_clear_error(refiner, told, host_folders, options, words):
    from sana_wm_pack.wm_core.errors import SanaWMError

    with pytest.raises(SanaWMError, match=words):
        refine(refiner, **options)
    assert not list((host_folders / "output").rglob("*.json")), "nothing half-done is left"


def test_another_model_is_refused(parts, told):
    from sana_wm_pack.wm_core.errors import ConfigError

    with pytest.raises(ConfigError, match="must be the LTX-2 refiner, got HostWorldModel"):
        refine(parts[0])


def test_vae_of_another_session_is_refused(refiner, parts, told):
    from dataclasses import replace

    from sana_wm_pack.wm_core.errors import ConfigError

    _, _, session, *_ = generate(parts, length=49, prefix="draft")
    other = replace(session, session=replace(session.session, vae="0123456789abcdef"))
    with pytest.raises(ConfigError, match="was decoded with VAE 0123456789abcdef"):
        refine(refiner, other, vae=parts[1])
