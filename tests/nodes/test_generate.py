"""Generate, Extend and the session nodes inside the host: one film however it was stopped, and clear words for what is wrong."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import assert_close
from rollout_nodes import CHUNKS, LENGTH, SIZE, camera, cancelled_after, extend, frames_of, generate, picture, run_node
from test_native import GivenNoise
from tiny_clips import VAE_FILE

from tools.make_streaming_models import STREAMING_WORLD


def test_a_film_has_what_was_asked_for(parts, told, host_folders, straight):
    video, latent, session, last, draft, followed = straight
    assert followed.frames == video.get_frame_count() == LENGTH
    assert np.array_equal(followed.c2w, session.session.camera.with_length(LENGTH).c2w)
    frames = frames_of(video)
    assert frames.shape == (LENGTH, 64, 96, 3) and frames.std() > 1
    assert latent["samples"].shape == (1, 8, 13, 2, 3) and torch.equal(draft["samples"], latent["samples"])
    away = np.abs(frames.astype(float) - 255 * last[0].numpy()).mean((1, 2, 3))
    assert away.argmin() == LENGTH - 1 and away[-1] < 0.8 * np.median(away), "the codec spoils noise, but not that much"
    assert session.session.chunks == CHUNKS and session.session.first.device.type == "cpu"
    sidecar = json.loads((host_folders / "output" / "straight" / "film_00001_.json").read_text())
    assert sidecar["frames"] == LENGTH == len(sidecar["camera"]["c2w"]) and sidecar["video"] == "film_00001_.mp4"
    assert [c["seed"] for c in sidecar["chunks"]] == [3] * CHUNKS and sidecar["camera"]["dialect"] == "nvlabs-v2"
    assert sidecar["model"] == session.session.model


@pytest.mark.parametrize("chunks", range(1, CHUNKS))
def test_cancelled_and_queued_again_equals_undisturbed(parts, told, straight, host_folders, chunks):
    with cancelled_after(chunks):
        generate(parts)
    assert f"{chunks} of {CHUNKS} chunks are kept; queue again" in told()[-1]
    out = host_folders / "output" / "video"
    assert sorted(p.name for p in out.iterdir()) == ["film_00001_session"], "nothing that looks done"
    from sana_wm_pack.nodes.place import unfinished

    assert [name for name, _ in unfinished("video/film")] == ["film_00001_session"]
    video, latent, *_ = generate(parts)
    assert torch.equal(latent["samples"], straight[1]["samples"])
    assert np.array_equal(frames_of(video), frames_of(straight[0]))
    assert f"goes on after {chunks} of {CHUNKS} chunks" in told()
    assert sorted(p.name for p in out.iterdir()) == ["film_00001_.json", "film_00001_.mp4", "film_00001_session"]
    assert unfinished("video/film") == []


def test_a_finished_film_is_not_made_again(parts, told, straight):
    started = time.perf_counter()
    again = generate(parts, prefix="straight/film")
    assert time.perf_counter() - started < 2
    assert "was finished before" in told()[-1]
    assert again[0].get_stream_source() == straight[0].get_stream_source()
    assert torch.equal(again[3], straight[3])
    anew = generate(parts, prefix="straight/film", resume="never")
    assert anew[0].get_stream_source() != straight[0].get_stream_source()
    assert torch.equal(anew[1]["samples"], straight[1]["samples"])


def test_a_longer_film_begins_with_the_finished_one(parts, told, straight):
    longer = generate(parts, length=LENGTH + 48, prefix="straight/film")
    assert torch.equal(longer[1]["samples"][:, :, :13], straight[1]["samples"])
    assert np.array_equal(frames_of(longer[0])[:LENGTH], frames_of(straight[0]))
    whole = generate(parts, length=LENGTH + 48, prefix="other/film")
    assert torch.equal(whole[1]["samples"], longer[1]["samples"])
    assert f"goes on after {CHUNKS} of {CHUNKS + 2} chunks" in told()


def test_changing_later_keyframes_makes_only_the_later_chunks_again(parts, told, straight):
    path = camera("w-60,aw-60")  # nvlabs-v2 has inertia, but nothing before frame 60 changes
    changed = generate(parts, prefix="straight/film", path=path)
    assert f"goes on after 2 of {CHUNKS} chunks" in told()
    alone = generate(parts, prefix="alone/film", path=path)
    assert torch.equal(changed[1]["samples"], alone[1]["samples"])
    assert np.array_equal(frames_of(changed[0]), frames_of(alone[0]))
    assert torch.equal(changed[1]["samples"][:, :, :7], straight[1]["samples"][:, :, :7])
    assert not torch.equal(changed[1]["samples"], straight[1]["samples"])
    kept = generate(parts, prefix="straight/film")
    assert kept[0].get_stream_source() == straight[0].get_stream_source(), "the first film is still there"


@pytest.mark.parametrize("change", ["seed", "image", "prompt", "window"])
def test_anything_else_that_changes_begins_anew(parts, told, straight, change):
    if change == "prompt":
        parts = (*parts[:2], parts[3], parts[2])
    options = {"seed": {"seed": 4}, "image": {"image": picture(0.4)}, "prompt": {}, "window": {"window": -1}}[change]
    other = generate(parts, prefix="straight/film", **options)
    assert other[0].get_stream_source() != straight[0].get_stream_source()
    assert not [text for text in told() if text.startswith("goes on")]


def test_a_film_that_was_deleted_is_made_again_from_the_latents(parts, told, straight, host_folders):
    with cancelled_after(2):
        generate(parts)
    (host_folders / "output" / "video" / "film_00001_session" / "film.mp4").unlink()
    video, *_ = generate(parts)
    assert np.array_equal(frames_of(video), frames_of(straight[0]))


def test_killed_after_the_last_chunk_only_the_video_is_made(parts, told, straight, host_folders):
    """Nothing is asked of the models, also if what they carry was lost."""
    generate(parts)
    folder = host_folders / "output" / "video"
    (folder / "film_00001_.mp4").unlink()
    (carried,) = (folder / "film_00001_session").glob("carried_*")
    carried.unlink()
    video, *_ = generate(parts)
    assert np.array_equal(frames_of(video), frames_of(straight[0]))
    assert not [text for text in told() if "made again, chunk" in text]


def test_a_folder_that_a_kill_left_without_a_session_is_taken_again(parts, told, straight, host_folders):
    left = host_folders / "output" / "video" / "film_00001_session"
    left.mkdir(parents=True)
    (left / "film.mp4").write_bytes(b"half a fragment")
    video, *_ = generate(parts)
    assert video.get_stream_source() == str(left.with_name("film_00001_.mp4"))
    assert np.array_equal(frames_of(video), frames_of(straight[0]))


def test_extended_equals_made_in_one_go(parts, told, straight):
    video, latent, session, *_ = extend(parts, straight[2])
    frames = frames_of(video)
    assert frames.shape[0] == LENGTH + 48
    assert np.array_equal(frames[:LENGTH], frames_of(straight[0]))
    path = session.session.camera
    one_go = generate(parts, length=LENGTH + 48, prefix="one/film", path=path)
    assert torch.equal(one_go[1]["samples"], latent["samples"])
    # without a jump: the step across the old end is as long as a step of the new path
    steps = np.linalg.norm(np.diff(path.c2w[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 0.06
    assert straight[2].session.chunks == CHUNKS, "the parent is untouched"


def test_a_branch_keeps_its_beginning_and_leaves_its_parent(parts, told, straight):
    before = frames_of(straight[0])
    branch = extend(parts, straight[2], from_chunk=2, seed=9, positive=parts[3], length=48)
    records = branch[2].session.records
    assert [r.seed for r in records] == [3, 3, 9, 9] and records[1].prompt != records[2].prompt
    assert np.array_equal(frames_of(branch[0])[:49], before[:49])
    assert np.abs(frames_of(branch[0])[60:].astype(float) - before[60:]).mean() > 0.5
    assert np.array_equal(frames_of(straight[0]), before)


def test_a_cancelled_extension_goes_on_too(parts, told, straight):
    whole = extend(parts, straight[2], prefix="one/longer", length=72)
    with cancelled_after(1):
        extend(parts, straight[2], length=72)
    again = extend(parts, straight[2], length=72)
    assert f"goes on after {CHUNKS + 1} of {CHUNKS + 3} chunks" in told()
    assert np.array_equal(frames_of(again[0]), frames_of(whole[0]))


def test_a_saved_session_is_loaded_and_extended_as_the_live_one(parts, told, straight, host_folders):
    from sana_wm_pack.nodes.session import SanaWMLoadSession, SanaWMSaveSession

    (path,) = run_node(SanaWMSaveSession, session=straight[2])
    assert sorted(p.name for p in (host_folders / "output" / "sessions").iterdir()) == [
        "SanaWM_00001_.json", "SanaWM_00001_.mp4", "SanaWM_00001_session",
    ]  # fmt: skip
    session, latent, filmed, last, summary = run_node(SanaWMLoadSession, file="sessions/SanaWM_00001_session")
    assert torch.equal(latent["samples"], straight[1]["samples"]) and torch.equal(last, straight[3])
    assert filmed.frames == LENGTH and f"{LENGTH} frames" in summary and path.endswith("SanaWM_00001_session")
    live, loaded = extend(parts, straight[2], prefix="a/x"), extend(parts, session, prefix="b/x")
    assert torch.equal(live[1]["samples"], loaded[1]["samples"])


def test_generate_makes_what_core_samplers_make_of_the_same_noise(parts, told, straight):
    """The engine and the host's own sampling stack are two roads to one film."""
    from comfy_extras.nodes_custom_sampler import CFGGuider, SamplerCustomAdvanced
    from sana_wm_pack.nodes.conditioning import SanaWMImageToVideo
    from sana_wm_pack.nodes.stream import SanaWMStreamingSampler
    from sana_wm_pack.wm_core.sampling.noise import chunk_noise

    model, vae, prompt, _ = parts
    positive, negative, latent = run_node(
        SanaWMImageToVideo, positive=prompt, negative=prompt, vae=vae, image=picture(), camera=camera(), length=LENGTH, **SIZE
    )
    noise = torch.cat([chunk_noise(3, i, (1, 8, 3 + (i == 0), 2, 3)) for i in range(CHUNKS)], 2)
    guider = CFGGuider.execute(model, positive, negative, 1.0)
    sampler, sigmas = run_node(SanaWMStreamingSampler)
    out = SamplerCustomAdvanced.execute(GivenNoise(noise), getattr(guider, "args", guider)[0], sampler, sigmas, latent)
    assert_close(straight[1]["samples"], getattr(out, "args", out)[0]["samples"], 1e-5)


@pytest.mark.parametrize("call", ["velocity", "decode"])
def test_a_cancel_is_heard_before_every_model_call(parts, told, call):
    import comfy.model_management as management
    from sana_wm_pack.nodes.stages import decode_frames, host_stages

    stages = host_stages(*parts[:2])
    latent = torch.zeros(1, 8, 6, 2, 3)
    frames = decode_frames(parts[1], latent, chunk=1)
    next(frames)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        next(frames)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        if call == "decode":
            stages.decode(latent, None)
        else:
            stages.velocity(latent, torch.zeros(1, 6), None, stages.begin(2, True))


def test_out_of_memory_keeps_what_is_finished_and_says_what_helps(parts, told, straight, host_folders):
    """A graphics card that is full raises this in the middle of a chunk; the rest of the rollout is real."""
    import comfy.model_management as management
    from sana_wm_pack.nodes import rolling
    from sana_wm_pack.nodes.generate import prompt_of
    from sana_wm_pack.nodes.stages import host_stages
    from sana_wm_pack.wm_core.rollout import Plan, given_path, load_session, open_session

    stages = host_stages(*parts[:2])

    def full(x, sigma, cond, past):
        if past.frames == 10:
            raise management.OOM_EXCEPTION("CUDA out of memory")
        return stages.velocity(x, sigma, cond, past)

    first = straight[2].session.first
    order = rolling.Order(
        replace(stages, velocity=full), Plan(prompt_of(parts[2]), given_path(camera()), CHUNKS, 3), open_session(stages, first),
        keep=0, film=None, fps=16.0, prefix="full/film", resumes=True, device=first.device, node=None, metadata={},
    )  # fmt: skip
    with pytest.raises(management.OOM_EXCEPTION):
        rolling.roll(order)
    assert f"3 of {CHUNKS} chunks are kept; out of memory: choose a smaller size" in told()[-1]
    session = load_session(host_folders / "output" / "full" / "film_00001_session")
    assert session.chunks == 3 and torch.equal(session.latents, straight[1]["samples"][:, :, :10])
    after = rolling.roll(replace(order, stages=stages))
    assert torch.equal(after.session.latents, straight[1]["samples"])


def test_decode_to_video_gives_the_frames_and_the_range(parts, told, straight):
    from sana_wm_pack.nodes.video import SanaWMDecodeToVideo

    video, images, fps = run_node(
        SanaWMDecodeToVideo, vae=parts[1], samples=straight[1], fps=16.0, start=-3, frames=9, chunk=2
    )
    assert frames_of(video).shape[0] == LENGTH and fps == 16 and images.shape == (3, 64, 96, 3)
    assert torch.allclose(images[-1], straight[3][0], atol=1.5 / 255)
    assert np.abs(frames_of(video).astype(float) - frames_of(straight[0])).mean() < 3


@pytest.mark.parametrize(
    "options, words",
    [
        ({"image": "none"}, "connect image or latent"),
        ({"timesteps": "3, 5"}, "timesteps must"),
        ({"cfg": 3.0}, "needs a negative prompt"),
        ({"resume": "perhaps"}, "resume must be one of"),
        ({"vae": "dense"}, "look ahead"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(parts, told, host_folders, options, words):
    from sana_wm_pack.nodes import native
    from sana_wm_pack.nodes.generate import SanaWMGenerate
    from sana_wm_pack.wm_core.checkpoint import open_vae
    from sana_wm_pack.wm_core.errors import ConfigError

    model, vae, prompt, _ = parts
    if options.get("vae") == "dense":
        vae = native.video_vae(*open_vae(VAE_FILE))
    inputs = {
        "model": model, "vae": vae, "positive": prompt, "camera": camera(), "seed": 1, "length": 25, **SIZE,
        "save_prefix": "bad/film", "resume": "auto", "image": picture(),
    }  # fmt: skip
    inputs |= {k: None if v == "none" else v for k, v in options.items() if k != "vae"}
    with pytest.raises(ConfigError, match=words):
        run_node(SanaWMGenerate, **inputs)
    assert not list((host_folders / "output").rglob("*.mp4")) and not list((host_folders / "output").rglob("*session"))


def test_a_session_of_another_model_is_refused_and_named(parts, told, straight, models):
    from sana_wm_pack.nodes import native
    from sana_wm_pack.wm_core.checkpoint import open_world
    from sana_wm_pack.wm_core.errors import ConfigError

    other = native.world_model(open_world(models / STREAMING_WORLD.path, reference="nvlabs-streaming"))
    with pytest.raises(ConfigError, match="made with model .* load the model it was made with"):
        extend((other, *parts[1:]), straight[2])


def test_a_damaged_session_is_named(parts, told, host_folders):
    from sana_wm_pack.wm_core.errors import CheckpointError

    with cancelled_after(2):
        generate(parts)
    file = max((host_folders / "output" / "video" / "film_00001_session").glob("chunk_*.safetensors"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{file.name} is damaged"):
        generate(parts)
    assert file.read_bytes() == bytes(content), "nothing of it is removed"
