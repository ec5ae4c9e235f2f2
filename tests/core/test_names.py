"""wm_core/checkpoint key maps against the names and shapes of the released files, without weights."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from cases import GOLDEN, needs_diffusers

from tools.make_name_lists import LISTS, render
from wm_core.checkpoint.keymaps import PREFIXES, VAE_LAYOUTS, WORLD_LAYOUTS
from wm_core.checkpoint.layouts import check_shapes, vae_names, world_names
from wm_core.checkpoint.recognition import known_prefix, recognise
from wm_core.config import RELEASED_DIT, RELEASED_VAE
from wm_core.dit import WorldDiT
from wm_core.errors import CheckpointError
from wm_core.vae import VideoVAE

PARTS = {
    "blocks": 850, "y_embedder": 5, "t_embedder": 4, "t_block": 2, "x_embedder": 2, "final_layer": 3,
    "plucker_embedder": 2, "raymap_embedder": 2, "pos_embed": 1, "attention_y_norm": 1,
}  # fmt: skip
# Buffers of the reference class that are not parameters: recall_gate, one in each block.
RECALL_GATES = 20


def listed(name: str) -> dict[str, tuple[int, ...]]:
    data = json.loads((GOLDEN / "names" / f"{name}.json").read_text())
    return {key: tuple(shape) for key, shape in data.get("names", data).items()}


@pytest.fixture(scope="module")
def world() -> WorldDiT:
    return WorldDiT(RELEASED_DIT, device="meta")


@pytest.fixture(scope="module")
def vae() -> VideoVAE:
    return VideoVAE(RELEASED_VAE, device="meta")


def test_counts_are_those_of_the_release():
    released, diffusers = listed("world_released"), listed("world_diffusers")
    assert len(released) == 872 and len(diffusers) == 870
    assert Counter(name.split(".")[0] for name in released) == PARTS
    assert sum(map(math.prod, diffusers.values())) - RECALL_GATES == 2_661_800_448
    of_blocks = Counter(name.split(".")[1] for name in diffusers if name.startswith("blocks."))
    assert of_blocks == {str(i): 41 if i % 4 == 3 else 43 for i in range(20)}
    assert len(listed("vae")) == 184


@pytest.mark.parametrize("name", ["world_released", "world_diffusers"])
def test_released_world_names_fill_the_model(world, name):
    shapes = listed(name)
    names = world_names(shapes, RELEASED_DIT)
    check_shapes({parameter: shapes[key] for parameter, key in names.items()}, world, name)
    assert set(names) == set(world.state_dict())
    ignored = {key.split(".", 2)[-1] if key.startswith("blocks.") else key for key in set(shapes) - set(names.values())}
    gates = {f"attn.{gate}_proj.{part}" for gate in ("beta", "gate") for part in ("weight", "bias")}
    known = {"attn.recall_gate", "attn.A_log", "attn.dt_bias", *gates}
    known |= {"raymap_embedder.proj.weight", "raymap_embedder.proj.bias"}
    assert ignored - {"pos_embed", "y_embedder.y_embedding"} == known


@pytest.mark.parametrize("name", ["vae", "vae_original"])
def test_released_vae_names_fill_the_model(vae, name):
    shapes = listed(name)
    names = vae_names(shapes, RELEASED_VAE)
    check_shapes({parameter: shapes[key] for parameter, key in names.items()}, vae, name)
    assert set(names) == set(vae.state_dict())
    ignored = sorted(set(shapes) - set(names.values()))
    assert [key.rsplit(".", 1)[1] for key in ignored] == (
        ["channel", "mean-of-stds", "mean-of-stds_over_std-of-means"] if name == "vae_original" else []
    )


def test_original_vae_names_go_to_the_places_that_diffusers_gives_them():
    names = {key: parameter for parameter, key in vae_names(listed("vae_original"), RELEASED_VAE).items()}
    assert (
        names["encoder.down_blocks.0.res_blocks.3.conv1.conv.weight"]
        == "encoder.down_blocks.0.resnets.3.conv1.conv.weight"
    )
    assert names["encoder.down_blocks.7.conv.conv.bias"] == "encoder.down_blocks.3.downsamplers.0.conv.conv.bias"
    assert names["encoder.down_blocks.8.res_blocks.1.conv2.conv.bias"] == "encoder.mid_block.resnets.1.conv2.conv.bias"
    assert names["decoder.up_blocks.0.res_blocks.0.conv1.conv.bias"] == "decoder.mid_block.resnets.0.conv1.conv.bias"
    assert names["decoder.up_blocks.1.conv.conv.weight"] == "decoder.up_blocks.0.upsamplers.0.conv.conv.weight"
    assert names["decoder.up_blocks.6.res_blocks.4.conv2.conv.bias"] == "decoder.up_blocks.2.resnets.4.conv2.conv.bias"


@pytest.mark.parametrize(
    ("name", "layout"),
    list(zip(("world_released", "world_diffusers", "vae", "vae_original"), (*WORLD_LAYOUTS, *VAE_LAYOUTS))),
)
@pytest.mark.parametrize("prefix", ["", *PREFIXES, "model._inner."])
def test_every_prefix_is_found(name, layout, prefix):
    keys = {prefix + key for key in listed(name)}
    assert known_prefix(keys) == prefix
    assert recognise({key[len(prefix) :] for key in keys}) == layout


def test_unknown_prefix_is_not_taken():
    keys = {"net." + key for key in listed("world_released")}
    assert known_prefix(keys) == "" and recognise(keys) is None


def test_one_name_less_or_more_is_noticed(world):
    shapes = listed("world_released")
    del shapes["blocks.19.mlp.t_conv.weight"]
    shapes["blocks.0.extra.weight"] = (1,)
    names = world_names(shapes, RELEASED_DIT)
    with pytest.raises(CheckpointError) as error:
        check_shapes({parameter: shapes[key] for parameter, key in names.items()}, world, "x.safetensors")
    assert "1 of" in str(error.value) and "blocks.19.mlp.t_conv.weight" in str(error.value)
    assert "1 unknown: blocks.0.extra.weight" in str(error.value)


@needs_diffusers
@pytest.mark.parametrize("name", LISTS)
def test_lists_are_what_the_script_writes(name):
    assert (GOLDEN / "names" / f"{name}.json").read_text() == render(name)
