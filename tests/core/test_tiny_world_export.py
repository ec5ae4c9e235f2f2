"""The tiny world's export writes files that the ordinary loader opens."""

from dataclasses import replace

import pytest
import torch
from refiner_models import random_refiner
from tiny import random_world

from tools.make_tiny_checkpoints import TINY_WORLD
from tools.tiny_world.export import export_refiner, export_set, export_world, unpack_set
from tools.tiny_world.files import REFINER, REFINER_PROMPT, TEXT, WorldFile
from tools.tiny_world.generate import constant_prompt
from tools.tiny_world.settings import load_settings
from wm_core.checkpoint import Verdict, judged, load_refiner, load_world_model, open_refiner
from wm_core.shapes import Stride
from wm_core.text import load_embedding


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


def write_refiner(folder):
    """An exported random refiner of the tiny world's strides, and the module."""
    refiner = random_refiner(dtype=torch.float16).float()
    config = replace(refiner.config, stride=Stride(8, 8, 8))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"modules": {"average": refiner.state_dict()}}, folder / "refiner.pt")
    recipe = replace(load_settings().refiner, model=config)
    return recipe, refiner, export_refiner(recipe, folder / "refiner.pt", folder / "models")


def test_an_exported_refiner_is_recognised_and_opens_as_it_was(tmp_path):
    recipe, refiner, (file, _) = write_refiner(tmp_path)
    opened = open_refiner(file)
    assert judged(opened.findings) is Verdict.RECOGNISED
    loaded = load_refiner(file)
    assert opened.config == loaded.config == recipe.model
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, refiner.state_dict()[name]), name


def test_its_prompt_is_what_it_was_trained_with(tmp_path):
    recipe, _, (_, prompt) = write_refiner(tmp_path)
    assert torch.equal(load_embedding(prompt).embedding, constant_prompt(recipe.model))


def test_an_unpacked_refiner_is_exported_again_to_the_same_bytes(tmp_path):
    recipe, _, files = write_refiner(tmp_path)
    before = {file: file.read_bytes() for file in files}
    models, settings = tmp_path / "models", replace(load_settings(), refiner=recipe)
    (models / TEXT).parent.mkdir()
    (models / TEXT).write_bytes(b"")
    unpack_set(settings, tmp_path / "again", models)
    assert export_set(settings, tmp_path / "again", models) == [models / REFINER, models / REFINER_PROMPT]
    assert {file: file.read_bytes() for file in files} == before
