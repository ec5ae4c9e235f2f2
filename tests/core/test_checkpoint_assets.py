"""assets/models: the trial world says what it is, and its files are what tools/stamp_trial_world.py writes."""

from __future__ import annotations

import json

import pytest
import torch
from cases import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tools import stamp_trial_world
from wm_core.checkpoint import load_video_vae, load_world_model, open_vae, open_world
from wm_core.config import DIFFUSERS, SamplingConfig

MODELS = ROOT / "assets" / "models"
WORLD = MODELS / "diffusion_models" / "sana_wm_trial_world.safetensors"
VAE = MODELS / "vae" / "sana_wm_trial_world_vae.safetensors"


def stated(path) -> dict[str, str]:
    with safe_open(path, framework="pt") as f:
        return f.metadata()


def test_trial_world_says_what_it_is():
    metadata = stated(WORLD)
    assert metadata["sana_wm.format"] == "1" and metadata["sana_wm.variant"] == "bidirectional"
    assert metadata["sana_wm.reference"] == "diffusers"
    assert json.loads(metadata["sana_wm.sampling"]) == {"steps": 6, "cfg": 1.0, "shift": 4.0, "dialect": "nvlabs-v1"}
    assert "toy" in metadata["modelspec.title"] and metadata["modelspec.license"] == "Apache-2.0"


def test_open_world_honours_what_it_says():
    opened = open_world(WORLD)
    info, config = opened.info, opened.config
    assert config.reference == DIFFUSERS
    assert info.sampling == SamplingConfig(steps=6, cfg=1.0, shift=4.0, dialect="nvlabs-v1")
    assert (info.variant, info.source, info.name) == ("bidirectional", "file metadata", "sana_wm_trial_world")
    written = json.loads(stated(WORLD)["sana_wm.config"])
    assert (config.depth, config.hidden_size, config.head_dim) == (4, 128, 32)
    assert (config.num_heads, config.patch_size) == (written["num_attention_heads"], tuple(written["patch_size"]))


def test_trial_world_and_vae_fit_each_other():
    vae = open_vae(VAE)[1]
    assert vae.latent_channels == open_world(WORLD).config.in_channels == 16
    assert (vae.stride.t, vae.stride.h, vae.stride.w) == (8, 4, 4)


@pytest.mark.parametrize(("load", "path"), [(load_world_model, WORLD), (load_video_vae, VAE)])
def test_trial_models_load_as_float32(load, path):
    tensors = load(path).state_dict()
    stored = load_file(path)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors.values())
    assert all(
        torch.equal(t.flatten(), stored[name].float().flatten()) for name, t in tensors.items() if name in stored
    )


def test_stamping_the_export_again_gives_the_same_files(tmp_path, monkeypatch):
    for part, path, key in (("transformer", WORLD, "sana_wm.config"), ("vae", VAE, "sana_wm.vae_config")):
        folder = tmp_path / "export" / part
        folder.mkdir(parents=True)
        save_file(load_file(path), folder / "diffusion_pytorch_model.safetensors")
        (folder / "config.json").write_text(stated(path)[key])
    monkeypatch.setattr(stamp_trial_world, "ASSETS", tmp_path / "assets" / "models")
    stamp_trial_world.main(tmp_path / "export")
    files = sorted(p.relative_to(MODELS) for p in MODELS.rglob(f"{stamp_trial_world.NAME}*.safetensors"))
    assert files == sorted(
        p.relative_to(stamp_trial_world.ASSETS) for p in stamp_trial_world.ASSETS.rglob("*.safetensors")
    )
    for file in files:
        assert (stamp_trial_world.ASSETS / file).read_bytes() == (MODELS / file).read_bytes(), file
