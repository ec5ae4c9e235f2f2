"""The pack's own small models are offered by the host's loaders, after the user's own files."""

from __future__ import annotations

import importlib

import pytest
import torch


@pytest.fixture
def shipped(pack):
    return importlib.import_module("sana_wm_pack.nodes.shipped")


def test_every_shipped_model_is_found_under_its_kind(shipped, host_folders):
    import folder_paths

    files = sorted(shipped.MODELS.rglob("*.safetensors"))
    assert files
    shipped.offer_shipped_models()
    for file in files:
        kind, _, name = file.relative_to(shipped.MODELS).as_posix().partition("/")
        assert folder_paths.get_full_path(kind, name) == str(file)
        assert name in folder_paths.get_filename_list(kind)


def test_a_users_file_of_the_same_name_comes_first(shipped, host_folders):
    import folder_paths

    shipped.offer_shipped_models()
    shipped.offer_shipped_models()
    file = next(shipped.MODELS.glob("vae/*.safetensors"))
    own = host_folders / "models" / "vae" / file.name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert folder_paths.get_full_path("vae", file.name) == str(own)
    assert folder_paths.get_folder_paths("vae").count(str(shipped.MODELS / "vae")) == 1


def test_a_users_own_prompt_comes_before_the_one_that_ships(shipped, pack, host_folders):
    text, core = (importlib.import_module(f"sana_wm_pack.{name}") for name in ("nodes.text", "wm_core.text"))
    shipped.offer_shipped_models()
    (file,) = shipped.MODELS.glob("sana_wm_text/*.safetensors")
    load = lambda: text.SanaWMLoadTextEmbedding.execute(file.name).result[0][0][0]
    assert file.name in text.embedding_files() and load().eq(1).all()
    own = host_folders / "input" / file.name
    core.save_embedding(own, core.PromptEmbedding(torch.zeros(1, 2, 4), torch.ones(1, 2)))
    assert load().eq(0).all()
