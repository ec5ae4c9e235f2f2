"""checkpoint/quantised.py: which layers a file calls quantised, and that nothing of it is lost or taken for something else."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tools.make_tiny_checkpoints import TINY_WORLD, diffusers_world_name, released_tensors, tiny_world
from wm_core.checkpoint import load_world_model, open_world
from wm_core.checkpoint.files import open_weights
from wm_core.checkpoint.quantisable import REFINER_LAYERS, WORLD_LAYERS, quantisable
from wm_core.checkpoint.quantised import FORMATS, METADATA_KEY, read_quantised, split_quantised
from wm_core.config import RELEASED_DIT, RefinerConfig
from wm_core.dit import WorldDiT
from wm_core.errors import CheckpointError
from wm_core.refiner import VideoRefiner
from wm_core.rollout import fingerprint_model
from wm_core.rollout.session import fingerprint_weights

LAYER = "blocks.0.attn.qkv"
POINT = "blocks.1.mlp.point_conv.conv"  # a convolution in a released file
DTYPES = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I8": torch.int8, "U8": torch.uint8}
DTYPES |= {"F32": torch.float32, "F8_E8M0": torch.float8_e8m0fnu}


def weights() -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in released_tensors(tiny_world()).items()}


def stored(matrix: Tensor, format: str) -> dict[str, Tensor]:
    """What a file holds for a layer of that format, by name below it; numbers that mean something for fp8 alone."""
    kind = FORMATS[format]
    rows, columns = matrix.flatten(1).shape
    scale = matrix.abs().max() / 448
    data = (matrix / scale).to(torch.float8_e4m3fn) if format == "float8_e4m3fn" else None
    if data is None:
        data = torch.zeros(rows, columns // kind.packed).to(DTYPES[kind.storage])
    parts = {"weight": data}
    for name, beside in kind.scales.items():
        parts[name] = torch.ones(beside.shapes(rows, columns)[0]).to(DTYPES[beside.dtypes[0]])
    if format == "float8_e4m3fn":
        parts["weight_scale"] = scale.reshape(())
    return parts


def told(settings: dict) -> Tensor:
    return torch.tensor(list(json.dumps(settings).encode()), dtype=torch.uint8)


def write(path, layers: dict[str, str], *, by="both", prefix="", named_with_prefix=False, rename=str, edit=None):
    """A stage-1 file in which `layers` {name: format} are quantised; `edit` changes its tensors and metadata."""
    tensors, metadata = weights(), {}
    for layer, format in layers.items():
        for name, part in stored(tensors.pop(f"{layer}.weight"), format).items():
            tensors[f"{layer}.{name}"] = part
        if by != "metadata":
            tensors[f"{layer}.comfy_quant"] = told({"format": format})
    if by != "tensors":
        names = {(prefix if named_with_prefix else "") + layer: {"format": f} for layer, f in layers.items()}
        metadata[METADATA_KEY] = json.dumps({"format_version": "1.0", "layers": names})
    if edit:
        edit(tensors, metadata)
    save_file({prefix + rename(name): tensor for name, tensor in tensors.items()}, path, metadata)
    return path


def read(path):
    opened = open_world(path)
    plain = WorldDiT(opened.config, device="meta")
    return read_quantised(opened.file, opened.names, opened.quantised, plain, opened.info.layout)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("by", ["metadata", "tensors", "both"])
def test_a_quantised_file_looks_like_its_plain_twin(tmp_path, format, by):
    twin = tmp_path / "twin.safetensors"
    save_file(weights(), twin)
    twin, opened = open_world(twin), open_world(write(tmp_path / "q.safetensors", {LAYER: format}, by=by))
    assert opened.config == twin.config and opened.info.parameters == twin.info.parameters
    assert dict(opened.file.shapes) == dict(twin.file.shapes) and opened.names == twin.names
    assert {name: layer.format for name, layer in opened.quantised.items()} == {LAYER: format}
    assert opened.quantised[LAYER].scales == tuple(FORMATS[format].scales)


def test_a_plain_file_comes_back_as_it_is(tmp_path):
    save_file(weights(), tmp_path / "plain.safetensors")
    file = open_weights(tmp_path / "plain.safetensors")
    assert split_quantised(file) == (file, {}) and split_quantised(file)[0] is file


PLACES = {
    "bare": {},
    "prefix, layers named without it": {"prefix": "model.diffusion_model.", "by": "metadata"},
    "prefix, layers named with it": {"prefix": "model.", "by": "metadata", "named_with_prefix": True},
    "prefix, told by tensors": {"prefix": "model.diffusion_model.", "by": "tensors"},
    "diffusers names": {"rename": diffusers_world_name},
}


@pytest.mark.parametrize("place", PLACES)
def test_written_is_read(tmp_path, place):
    layers = dict.fromkeys((LAYER, POINT), "float8_e4m3fn")
    got = read(write(tmp_path / "q.safetensors", layers, **PLACES[place]))
    assert got.layers == {layer: {"format": "float8_e4m3fn"} for layer in layers} and got.formats == ("float8_e4m3fn",)
    own = tiny_world().state_dict()
    assert set(got.tensors) == set(own) | {f"{layer}.weight_scale" for layer in layers}
    for name, tensor in own.items():
        if name.removesuffix(".weight") not in layers:
            assert torch.equal(got.tensors[name], tensor), name
            continue
        numbers = got.tensors[name].float() * got.tensors[f"{name}_scale"]
        error = ((numbers - tensor).norm() / tensor.norm()).item()
        assert got.tensors[name].dtype == torch.float8_e4m3fn and got.tensors[name].shape == tensor.shape
        assert 0.023 < error < 0.031, f"{name}: {error:.4f}"


def test_settings_reach_the_host_whole(tmp_path):
    def more(tensors, metadata):
        tensors[f"{LAYER}.comfy_quant"] = told({"format": "nvfp4", "full_precision_matrix_mult": True})
        tensors[f"{LAYER}.input_scale"] = torch.ones(1)

    got = read(write(tmp_path / "q.safetensors", {LAYER: "nvfp4"}, by="tensors", edit=more))
    assert got.layers[LAYER] == {"format": "nvfp4", "full_precision_matrix_mult": True}
    assert torch.equal(got.tensors[f"{LAYER}.input_scale"], torch.ones(1))
    assert got.tensors[f"{LAYER}.weight"].shape == (96, 16), "packed: two numbers to a byte"


def test_a_layer_that_the_model_does_not_read_is_left_out(tmp_path):
    unread = "blocks.3.attn.beta_proj"  # of a softmax block
    got = read(write(tmp_path / "q.safetensors", {LAYER: "int8_tensorwise", unread: "int8_tensorwise"}))
    assert set(got.layers) == {LAYER} and not any(name.startswith(unread) for name in got.tensors)


def without(name):
    return lambda tensors, metadata: tensors.pop(name)


def having(name, tensor):
    return lambda tensors, metadata: tensors.__setitem__(name, tensor)


def stating(text):
    return lambda tensors, metadata: metadata.__setitem__(METADATA_KEY, text)


SCALE = f"{LAYER}.weight_scale"
BROKEN = {
    "no scale": ("float8_e4m3fn", without(SCALE), ["1 of 1 quantised layers", f"{LAYER}: weight_scale is missing"]),
    "no second scale": ("nvfp4", without(f"{SCALE}_2"), [f"{LAYER}: weight_scale_2 is missing"]),
    "no weight": ("float8_e4m3fn", without(f"{LAYER}.weight"), [f"{LAYER}: weight is missing"]),
    "scale of another size": ("float8_e4m3fn", having(SCALE, torch.ones(3)), ["weight_scale must be F32 ()", "(3,)"]),
    "block scales without their tiles": (
        "nvfp4",
        having(SCALE, torch.ones(96, 2).to(torch.float8_e4m3fn)),
        ["weight_scale must be F8_E4M3 (128, 4), got F8_E4M3 (96, 2)"],
    ),
    "weight of another type": (
        "int8_tensorwise",
        having(f"{LAYER}.weight", torch.ones(96, 32)),
        ["must be I8, got F32"],
    ),
    "not packed": (
        "nvfp4",
        having(f"{LAYER}.weight", torch.ones(96, 32).byte()),
        ["1 of another size", f"{LAYER}.weight (96, 64)"],
    ),
    "unknown format": (
        "float8_e4m3fn",
        having(f"{LAYER}.comfy_quant", told({"format": "int3"})),
        ["says int3, the metadata float8_e4m3fn"],
    ),
    "stray scale": ("float8_e4m3fn", having("blocks.0.attn.proj.weight_scale", torch.ones(1)), ["scales beside"]),
    "scale of another format": ("int8_tensorwise", having(f"{LAYER}.input_scale", torch.ones(1)), ["scales beside"]),
    "metadata without layers": ("float8_e4m3fn", stating("{}"), [METADATA_KEY, "`layers`"]),
    "metadata is not JSON": ("float8_e4m3fn", stating("layers"), [METADATA_KEY, "not valid JSON"]),
    "a layer is no object": ("float8_e4m3fn", stating(json.dumps({"layers": {LAYER: "fp8"}})), ["`layers` of objects"]),
    "unknown to all": (
        "float8_e4m3fn",
        stating(json.dumps({"layers": {"blocks.0.attn.proj": {"format": "int3"}}})),
        ["quantised as 'int3'", "float8_e4m3fn", "bf16"],
    ),
    "plain numbers called quantised": (
        "float8_e4m3fn",
        having("blocks.0.attn.proj.comfy_quant", told({"format": "float8_e4m3fn"})),
        ["blocks.0.attn.proj: weight must be F8_E4M3, got F32"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_damaged_is_one_clear_error(tmp_path, case):
    format, edit, words = BROKEN[case]
    path = write(tmp_path / "broken.safetensors", {LAYER: format}, edit=edit)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    for word in ["broken.safetensors", *words]:
        assert word in str(caught.value), str(caught.value)


def test_only_linear_layers_can_be(tmp_path):
    path = write(tmp_path / "q.safetensors", {"blocks.0.attn.conv_k": "float8_e4m3fn"})
    with pytest.raises(CheckpointError, match="only linear layers"):
        read(path)


def test_without_a_host_it_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is quantised: F8_E4M3"):
        load_world_model(write(tmp_path / "q.safetensors", {LAYER: "float8_e4m3fn"}))


def test_the_fingerprint_is_of_the_file_s_numbers(tmp_path):
    one, two = (read(write(tmp_path / f"{i}.safetensors", {LAYER: "float8_e4m3fn"})).tensors for i in range(2))
    marks = [fingerprint_weights(TINY_WORLD, tensors) for tensors in (one, two, one | {SCALE: one[SCALE] * 2})]
    assert marks[0] == marks[1] != marks[2]
    plain = tiny_world()
    assert fingerprint_model(plain) == fingerprint_weights(plain.config, plain.state_dict()) != marks[0]


@pytest.mark.parametrize(
    ("model", "patterns", "share"),
    [(lambda: WorldDiT(RELEASED_DIT, device="meta"), WORLD_LAYERS, 0.94),
     (lambda: VideoRefiner(RefinerConfig("split"), device="meta"), REFINER_LAYERS, 0.98)],
    ids=["stage 1", "refiner"],
)  # fmt: skip
def test_what_may_be_quantised_is_nearly_all_of_the_released_models(model, patterns, share):
    shapes = {name: tuple(tensor.shape) for name, tensor in model().state_dict().items()}
    layers = quantisable(shapes.items(), patterns)
    kinds = {layer.split(".", 2)[2] for layer in layers}
    assert all(any(word in kind for word in ("attn", "mlp", "ff", "plucker_proj")) for kind in kinds), kinds
    assert not any(word in kind for kind in kinds for word in ("gate", "norm", "table", "conv_k", "depth", "embed"))
    part = sum(math.prod(shapes[f"{layer}.weight"]) for layer in layers) / sum(map(math.prod, shapes.values()))
    assert share < part < 0.995, f"{part:.4f}"
