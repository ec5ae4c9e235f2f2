"""Camera nodes and Image to Video: what reaches the sampler is the picture and the camera that were asked for."""

import logging

import numpy as np
import pytest
import torch
from cases import assert_close
from tiny_clips import VAE_FILE, WORLD


@pytest.fixture(scope="module")
def nodes(pack):
    from sana_wm_pack import nodes

    return nodes


@pytest.fixture(scope="module")
def vae(pack):
    from sana_wm_pack.nodes.native import video_vae
    from sana_wm_pack.wm_core.checkpoint import open_vae

    return video_vae(*open_vae(VAE_FILE))


def call(node, *args, hidden=None, **kwargs):
    """Run a node the way the host does: on a clone that knows its hidden inputs."""
    clone = node.PREPARE_CLASS_CLONE(None)
    clone.hidden = type(clone.hidden).from_dict(hidden)
    return clone.execute(*args, **kwargs).args


def picture(height, width):
    """Red grows to the right, green downward."""
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return torch.tensor(np.stack([x, y, np.full_like(x, 0.5)], -1), dtype=torch.float32)[None]


def to_video(nodes, vae, image, camera, width=96, height=64, length=33):
    prompt = [[torch.ones(1, 2, 48), {"attention_mask": torch.ones(1, 2)}]]
    node = nodes.conditioning.SanaWMImageToVideo
    return call(node, prompt, prompt, vae, image, camera, width, height, length)


def from_actions(nodes, actions="w-32", dialect="nvlabs-v1", **kwargs):
    (camera,) = call(nodes.camera.SanaWMCameraFromActions, actions, dialect, **kwargs)
    return camera


def test_first_frame_is_the_picture_and_only_it_is_kept(nodes, vae):
    image = picture(64, 96)
    positive, negative, latent = to_video(nodes, vae, image, from_actions(nodes, image=image))
    assert tuple(latent["samples"].shape) == (1, 24, 5, 8, 12)
    assert_close(latent["samples"][:, :, :1], vae.encode((image * 255).round() / 255), 1e-6)
    assert not latent["samples"][:, :, 1:].any()
    mask = latent["noise_mask"]
    assert mask.dtype == torch.float32 and not mask[:, :, 0].any() and mask[:, :, 1:].all()
    assert positive[0][1]["sana_wm_camera"] is negative[0][1]["sana_wm_camera"], "guidance would run them apart"


@pytest.mark.parametrize("source", [(64, 96), (480, 640), (200, 900), (901, 333)])
def test_one_crop_serves_picture_and_intrinsics(nodes, vae, source):
    """A ray that hits a colour in the picture hits the same colour in the cut picture."""
    from sana_wm_pack.nodes.bridge import cropped
    from sana_wm_pack.wm_core.camera import fit_crop

    image = picture(*source)
    camera = from_actions(nodes, image=image, fov=70.0)
    assert camera.size == source
    crop = fit_crop(source, (64, 96))
    cut, path = cropped(image, crop), camera.cropped(crop)
    fx, fy, cx, cy = path.intrinsics[0]
    gx, gy, dx, dy = camera.intrinsics[0]
    for u, v in ((20, 10), (48, 32), (90, 60)):
        ray = ((u - cx) / fx, (v - cy) / fy)
        at = (ray[0] * gx + dx, ray[1] * gy + dy)
        wanted = (at[0] / (source[1] - 1), at[1] / (source[0] - 1))
        got = cut[0, v, u, :2].tolist()
        assert abs(got[0] - wanted[0]) < 0.02 and abs(got[1] - wanted[1]) < 0.02, (got, wanted)
    _, _, latent = to_video(nodes, vae, image, camera)
    assert_close(latent["samples"][:, :, :1], vae.encode(cut), 1e-6)


@pytest.mark.parametrize(
    "asked, frames, says",
    [(33, 33, None), (36, 33, "36 frames became 33"), (41, 41, None), (37, 41, "37 frames became 41")],
)
def test_length_goes_to_the_nearest_and_says_so(nodes, vae, caplog, asked, frames, says):
    camera = from_actions(nodes, "w-40")
    with caplog.at_level(logging.INFO, "sana_wm"):
        positive, _, latent = to_video(nodes, vae, picture(64, 96), camera, length=asked)
    assert latent["samples"].shape[2] == (frames - 1) // 8 + 1
    assert positive[0][1]["sana_wm_camera"].latent_frames == (frames - 1) // 8 + 1
    assert (says in caplog.text) if says else "became" not in caplog.text


def test_a_short_path_holds_its_last_camera_and_says_so(nodes, vae, caplog):
    with caplog.at_level(logging.INFO, "sana_wm"):
        positive, _, _ = to_video(nodes, vae, picture(64, 96), from_actions(nodes, "w-8"), length=33)
    raymap = positive[0][1]["sana_wm_camera"].raymap[0]
    assert torch.equal(raymap[1], raymap[4]) and not torch.equal(raymap[0], raymap[1])
    assert "stands still after frame 8" in caplog.text


def test_dialect_travels_with_the_camera(nodes, vae):
    camera = from_actions(nodes, "w-8,d-8", "sglang")
    assert (camera.provenance.dialect, camera.provenance.actions) == ("sglang", "w-8,d-8")
    positive, _, _ = to_video(nodes, vae, picture(64, 96), camera)
    assert positive[0][1]["sana_wm_dialect"] == "sglang"


def test_another_dialect_than_trained_is_a_warning(nodes, caplog):
    from sana_wm_pack.nodes.native import _compare_dialects
    from sana_wm_pack.wm_core.checkpoint import open_world

    info = open_world(WORLD).info
    with caplog.at_level(logging.WARNING, "sana_wm"):
        for quiet in (None, "nvlabs-v1", "diffusers"):
            _compare_dialects(quiet, info)
        assert not caplog.text
        _compare_dialects("nvlabs-v2", info)
    assert "nvlabs-v2" in caplog.text and "nvlabs-v1" in caplog.text


def test_sizes_off_the_grid_are_refused(nodes, vae):
    from sana_wm_pack.wm_core.errors import ShapeError

    with pytest.raises(ShapeError, match="nearest is 96 x 64"):
        to_video(nodes, vae, picture(64, 96), from_actions(nodes), width=98)


def test_a_picture_vae_is_refused(nodes, pack):
    import comfy.sd
    from sana_wm_pack.wm_core.errors import ShapeError

    plain = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    with pytest.raises(ShapeError, match="LTX-2 video VAE"):
        to_video(nodes, plain, picture(64, 96), from_actions(nodes))


def test_presets_and_preview(nodes):
    image = picture(120, 200)
    (camera,) = call(nodes.camera.SanaWMCameraPreset, "orbit-left", 45.0, 41, "smooth", image=image)
    assert camera.frames == 41 and camera.size == (120, 200)
    (default,) = call(nodes.camera.SanaWMCameraPreset, "orbit-left", 0.0, 41, "smooth")
    assert default.provenance.source.startswith("preset:orbit-left 60 deg"), "0 takes the preset's own amount"


def test_scheduler_takes_the_model_s_shift_unless_told(nodes):
    from sana_wm_pack.nodes.native import world_model
    from sana_wm_pack.wm_core.checkpoint import open_world
    from sana_wm_pack.wm_core.sampling import released_schedule

    model = world_model(open_world(WORLD))
    scheduler = nodes.sampling.SanaWMScheduler
    assert_close(call(scheduler, 6, 0.0, model)[0], released_schedule(6, 4.0), 1e-7)
    assert_close(call(scheduler, 6, 8.0, model)[0], released_schedule(6, 8.0), 1e-7)
    assert_close(call(scheduler, 6, 0.0)[0], released_schedule(6, 9.8), 1e-7)


def test_scheduler_refuses_another_model(nodes):
    from types import SimpleNamespace

    from sana_wm_pack.wm_core.errors import ConfigError

    with pytest.raises(ConfigError, match="must be SANA-WM's, got Linear; connect Load SANA-WM Model"):
        call(nodes.sampling.SanaWMScheduler, 6, 0.0, SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_a_queued_prompt_notes_what_its_outputs_are_made_with(nodes, pack, host_folders):
    import folder_paths
    from sana_wm_pack.nodes.record import note_models
    from sana_wm_pack.wm_core.errors import CheckpointError, ConfigError

    source = WORLD
    folder = host_folders / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / source.name).symlink_to(source)
    folder_paths.filename_list_cache.clear()

    def noted(*loaders, **extra):
        graph = {str(i): {"class_type": "SanaWMModelLoader", "inputs": inputs} for i, inputs in enumerate(loaders)}
        return note_models({"prompt": graph, **extra}).get("extra_data", {}).get("extra_pnginfo")

    made = {"model": source.stem, "variant": "bidirectional", "reference": "diffusers"}
    assert noted({"file": source.name}) == {"sana_wm": {"models": [made]}}, "a prompt of the API"
    two = noted(
        {"file": source.name, "reference": "auto"},
        {"file": source.name, "variant": "chunk-causal", "reference": "nvlabs"},
        extra_data={"extra_pnginfo": {"workflow": 1}},
    )
    changed = {**made, "variant": "chunk-causal", "reference": "nvlabs"}
    assert two == {"workflow": 1, "sana_wm": {"models": [made, changed]}}
    for unusable in (
        {"file": "nowhere.safetensors"},
        {"file": ["4", 0]},
        {"file": source.name, "reference": "mine"},
        {},
    ):
        assert noted(unusable) is None
    assert note_models({"client_id": "x"}) == {"client_id": "x"}
    loader = nodes.load.SanaWMModelLoader
    with pytest.raises(CheckpointError, match="is not in models/diffusion_models"):
        call(loader, "nowhere.safetensors")
    with pytest.raises(ConfigError, match="reference must be one of"):
        call(loader, source.name, reference="mine")
