"""The tiny world's export writes files that the ordinary loader opens."""

from dataclasses import replace

import pytest
import torch
from tiny import random_world

from tools.make_tiny_checkpoints import TINY_WORLD
from tools.tiny_world.export import export_world
from tools.tiny_world.files import WorldFile
from tools.tiny_world.settings import load_settings
from wm_core.checkpoint import load_world_model


@pytest.mark.parametrize("patch", [(1, 1, 1), (1, 2, 2)])
def test_an_exported_world_opens_whatever_its_patches(patch, tmp_path):
    world = random_world(replace(TINY_WORLD, patch_size=patch), dtype=torch.float16)
    torch.save({"modules": {"average": world.float().state_dict()}}, tmp_path / "world.pt")
    recipe = replace(load_settings().world, model=world.config)
    file = export_world(recipe, tmp_path / "world.pt", tmp_path, WorldFile("any.safetensors", "bidirectional", 6))
    loaded = load_world_model(file)
    assert loaded.config == replace(world.config, reference=recipe.model.reference)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, world.state_dict()[name]), name
