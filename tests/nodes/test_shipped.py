"""The pack's own small models are offered by the host's loaders, after the user's own files."""

from __future__ import annotations

import importlib

import pytest


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
