"""assets/models: every file says what it is, all open with the ordinary loaders, fit each other and are what is exported."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tools.tiny_world.export import export_set, unpack_set
from tools.tiny_world.files import MODELS, REFINER, REFINER_PROMPT, VAES, WORLDS
from tools.tiny_world.settings import load_settings
from wm_core.checkpoint import load_video_vae, load_world_model, open_vae, open_world
from wm_core.config import DIFFUSERS, SamplingConfig
from wm_core.text import stated_config

FILES = sorted(path.relative_to(MODELS).as_posix() for path in MODELS.rglob("*.safetensors"))
SETTINGS = load_settings()
WORLD_FILES = {file.path: file for file in WORLDS.values() if file.path in FILES}
VAE_FILES = {path: stage.startswith("causal") for stage, path in VAES.items() if path in FILES}
TEXT_FILES = [path for path in FILES if path.startswith("text_encoders/")]
REFINER_FILES = [path for path in FILES if path in (REFINER, REFINER_PROMPT)]
TRAINED = {*WORLD_FILES, *VAE_FILES, *REFINER_FILES}  # what export_set writes; the text encoder has a stage of its own
LARGEST = 40e6  # bytes of all files together


def stated(path: str) -> dict[str, str]:
    with safe_open(MODELS / path, framework="pt") as f:
        return f.metadata()


def test_the_dense_set_is_there_and_nothing_that_no_tool_makes():
    assert WORLDS["world"].path in WORLD_FILES and VAES["decoder"] in VAE_FILES and len(TEXT_FILES) == 1
    assert set(FILES) == TRAINED | set(TEXT_FILES)
    assert sum((MODELS / path).stat().st_size for path in FILES) <= LARGEST


@pytest.mark.parametrize("path", FILES)
def test_a_file_says_what_it_is(path):
    metadata = stated(path)
    assert metadata["sana_wm.format"] == "1" and metadata["modelspec.license"] == "Apache-2.0"
    assert "toy" in metadata["modelspec.title"] and "toy" in metadata["modelspec.description"].lower()


@pytest.mark.parametrize("path", WORLD_FILES)
def test_a_world_opens_as_what_it_says(path):
    file, opened = WORLD_FILES[path], open_world(MODELS / path)
    info, config = opened.info, opened.config
    assert (info.variant, info.source, info.name) == (file.variant, "file metadata", (MODELS / path).stem)
    sampling = SamplingConfig(steps=file.steps, cfg=1.0, shift=SETTINGS.world.shift, fps=16.0, dialect="nvlabs-v1")
    assert info.sampling == sampling
    assert config == SETTINGS.world.model and config.reference == DIFFUSERS
    assert open_world(MODELS / path, reference="nvlabs").config.reference.name == "nvlabs", "the user's choice wins"
    written = json.loads(stated(path)["sana_wm.config"])
    assert (config.num_heads, config.patch_size) == (written["num_attention_heads"], tuple(written["patch_size"]))


@pytest.mark.parametrize("path", VAE_FILES)
def test_a_vae_opens_as_what_it_says(path):
    config = open_vae(MODELS / path)[1]
    assert config == replace(SETTINGS.vae.model, decoder_causal=VAE_FILES[path])
    assert (config.stride.t, config.stride.h, config.stride.w) == (8, 8, 8)


def test_worlds_vaes_and_text_fit_each_other():
    channels = {open_world(MODELS / path).config.in_channels for path in WORLD_FILES}
    assert channels == {open_vae(MODELS / path)[1].latent_channels for path in VAE_FILES} == {24}
    widths = {open_world(MODELS / path).config.caption_channels for path in WORLD_FILES}
    assert widths == {stated_config(MODELS / path).hidden_size for path in TEXT_FILES} == {48}


@pytest.mark.parametrize("path", [*WORLD_FILES, *VAE_FILES])
def test_models_load_as_float32(path):
    load = load_world_model if path in WORLD_FILES else load_video_vae
    tensors, stored = load(MODELS / path).state_dict(), load_file(MODELS / path)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors.values())
    assert set(tensors) <= set(stored)
    for name, tensor in tensors.items():
        assert torch.equal(tensor.flatten(), stored[name].float().flatten()), name


def test_exporting_what_was_loaded_gives_the_same_files(tmp_path):
    unpack_set(SETTINGS, tmp_path / "checkpoints")
    written = export_set(SETTINGS, tmp_path / "checkpoints", tmp_path / "models")
    assert {path.relative_to(tmp_path / "models").as_posix() for path in written} == TRAINED
    for path in written:
        original = MODELS / path.relative_to(tmp_path / "models")
        assert path.read_bytes() == original.read_bytes(), original.name
