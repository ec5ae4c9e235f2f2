"""Names and shapes of the released refiner and its connectors against our models on the meta device, audio left out."""

from __future__ import annotations

import json
import math

import pytest
from cases import GOLDEN

from wm_core.checkpoint.keymaps import CONNECTOR_LAYOUTS, REFINER_LAYOUTS
from wm_core.checkpoint.layouts import check_shapes, connector_names, refiner_names
from wm_core.checkpoint.recognition import known_prefix, recognise
from wm_core.config import ConnectorConfig, RefinerConfig
from wm_core.refiner import TextConnector, VideoRefiner

PREFIX = "model.diffusion_model."


def listed(name):
    return {
        key: tuple(shape) for key, shape in json.loads((GOLDEN / "names" / f"{name}.json").read_text())["names"].items()
    }


def shapes_of(names, shapes):
    return {name: shapes[key] for name, key in names.items()}


@pytest.fixture(scope="module")
def refiner():
    return VideoRefiner(RefinerConfig("split"), device="meta")


@pytest.fixture(scope="module")
def connector():
    return TextConnector(ConnectorConfig("split"), device="meta")


def original(part):
    """The transformer's keys of an original file, without their prefix, or all keys of the file."""
    whole = listed("ltx2_original")
    return {key.removeprefix(PREFIX): s for key, s in whole.items() if key.startswith(PREFIX)} if part else whole


def test_counts_are_those_of_the_release(refiner):
    names = listed("refiner_diffusers")
    assert len(names) == 3510 and sum(map(math.prod, names.values())) == 18_876_174_592
    assert sum(p.numel() for p in refiner.parameters()) == 13_041_520_768


@pytest.mark.parametrize("shapes", [listed("refiner_diffusers"), original(True)], ids=["diffusers", "original"])
def test_released_names_fill_the_refiner(refiner, shapes):
    names = refiner_names(shapes)
    check_shapes(shapes_of(names, shapes), refiner, "refiner")
    assert set(names) == set(refiner.state_dict())
    ignored = [key for key in set(shapes) - set(names.values()) if "embeddings_connector" not in key]
    audio = ("audio_", "video_to_audio", "a2v", "av_ca_", "av_cross_attn_")
    assert len(ignored) == 3510 - len(names) and all(any(word in key for word in audio) for key in ignored)
    assert sum(math.prod(shapes[key]) for key in ignored) == 18_876_174_592 - 13_041_520_768


@pytest.mark.parametrize("shapes", [listed("connectors_diffusers"), original(False)], ids=["diffusers", "original"])
def test_released_names_fill_the_connectors(connector, shapes):
    names = connector_names(shapes)
    check_shapes(shapes_of(names, shapes), connector, "connectors")
    assert set(names) == set(connector.state_dict())


@pytest.mark.parametrize(("shapes", "layout"), [(listed("refiner_diffusers"), 0), (original(True), 1)])
@pytest.mark.parametrize("prefix", ["", PREFIX, "transformer."])
def test_layouts_of_the_refiner(shapes, layout, prefix):
    keys = {prefix + key for key in shapes}
    assert known_prefix(keys, REFINER_LAYOUTS) == prefix
    assert recognise(shapes, REFINER_LAYOUTS) == REFINER_LAYOUTS[layout]
    assert recognise(shapes) is None, "no stage 1 and no VAE"


def test_layouts_of_the_connectors():
    assert recognise(listed("connectors_diffusers"), CONNECTOR_LAYOUTS) == CONNECTOR_LAYOUTS[0]
    assert recognise(original(False), CONNECTOR_LAYOUTS) == CONNECTOR_LAYOUTS[1]
