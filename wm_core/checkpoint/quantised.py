"""Quantised layers of a file, in the format that ComfyUI publishes: small numbers in place of a weight, scales beside it.

Which layers those are is said in the metadata, `_quantization_metadata`, or by a tensor of JSON beside each weight,
`comfy_quant`. Nothing is computed here: the host has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from ..errors import CheckpointError
from .files import WeightFile, json_object, some
from .layouts import check_precision, check_shapes, reshaped

METADATA_KEY = "_quantization_metadata"
TOLD = "comfy_quant"  # beside a weight: the JSON of its layer as bytes
BLOCK_ROWS, BLOCK_COLUMNS = 128, 4  # block scales are stored in tiles of this size


@dataclass(frozen=True)
class Scale:
    """A tensor beside a weight: what it may be, what is written first. shapes: of (rows, columns) of the weight."""

    dtypes: tuple[str, ...]
    shapes: Callable[[int, int], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Format:
    """How a matrix is stored. packed: numbers to an element; optional: tensors that a file may leave out."""

    storage: str  # in the words of safetensors
    scales: Mapping[str, Scale]
    packed: int = 1
    optional: Mapping[str, Scale] = field(default_factory=dict)


def _blocks(length: int, *dtypes: str) -> Scale:
    """A scale to each `length` columns of a row, the whole padded to full tiles."""
    tiled = lambda n, tile: -(-n // tile) * tile
    return Scale(dtypes, lambda r, c: ((tiled(r, BLOCK_ROWS), tiled(-(-c // length), BLOCK_COLUMNS)),))


_ONE = Scale(("F32",), lambda r, c: ((), (1,)))
_ONE_OR_ROWS = Scale(("F32",), lambda r, c: ((), (1,), (r,), (r, 1)))
_INPUT = {"input_scale": _ONE}
FORMATS: Mapping[str, Format] = {
    "float8_e4m3fn": Format("F8_E4M3", {"weight_scale": _ONE}, optional=_INPUT),
    "float8_e5m2": Format("F8_E5M2", {"weight_scale": _ONE}, optional=_INPUT),
    "int8_tensorwise": Format("I8", {"weight_scale": _ONE_OR_ROWS}),
    "mxfp8": Format("F8_E4M3", {"weight_scale": _blocks(32, "F8_E8M0", "U8")}, optional=_INPUT),
    "nvfp4": Format("U8", {"weight_scale": _blocks(16, "F8_E4M3", "U8"), "weight_scale_2": _ONE}, 2, _INPUT),
}


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer of a file: its settings as the host takes them, {"format": ...}, and what lies beside its weight."""

    settings: Mapping[str, Any]
    scales: tuple[str, ...]  # names below the layer's: weight_scale, ...

    @property
    def format(self) -> str:
        return self.settings["format"]


@dataclass(frozen=True, eq=False)
class QuantisedWeights:
    """What a host's model is filled with: tensors by parameter name and scales by theirs; settings by module name."""

    tensors: Mapping[str, Tensor]
    layers: Mapping[str, Mapping[str, Any]]

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(sorted({settings["format"] for settings in self.layers.values()}))


def split_quantised(file: WeightFile) -> tuple[WeightFile, dict[str, QuantisedLayer]]:
    """(the file as if it were not quantised, its quantised layers by the name in the file).

    Without the scales and with the sizes that the weights have once unpacked, the file is recognised, configured and
    checked like any other. A file without quantised layers comes back as it is. CheckpointError: layers of a kind that
    is not known, or scales that are missing or of the wrong size.
    """
    stated = _stated(file)
    if not stated:
        return file, {}
    layers, shapes, unused, problems = {}, dict(file.shapes), set(), []
    for name, settings in stated.items():
        kind = FORMATS[settings["format"]]
        found = _damage(file, name, kind)
        if found:
            problems.append(f"{name}: {found}")
            continue
        present = tuple(s for s in (*kind.scales, *kind.optional) if f"{name}.{s}" in file.shapes)
        layers[name] = QuantisedLayer(settings, present)
        *rows, columns = file.shapes[f"{name}.weight"]
        shapes[f"{name}.weight"] = (*rows, columns * kind.packed)
        unused |= {f"{name}.{extra}" for extra in (*present, TOLD)}
    if problems:
        raise CheckpointError(
            f"{file.path.name}: {len(problems)} of {len(stated)} quantised layers are damaged: {some(problems)}; download "
            "it again, or make it again with tools.quantize"
        )
    keep = [key for key in shapes if key not in unused]
    kept = replace(file, shapes={k: shapes[k] for k in keep}, dtypes={k: file.dtypes[k] for k in keep})
    return kept, layers


def read_quantised(
    file: WeightFile,
    names: Mapping[str, str],
    layers: Mapping[str, QuantisedLayer],
    model: nn.Module,
    layout: str = "",
) -> QuantisedWeights:
    """Weights and scales for `model`, memory-mapped; checked in full before anything is mapped.

    file and layers: of `split_quantised`. names: parameter -> key. model: on the meta device, of plain torch layers. A
    layer that the model leaves unread is left out. CheckpointError if they do not fit exactly.
    """
    chosen = {name: key.removesuffix(".weight") for name, key in names.items()}
    chosen = {name: layer for name, layer in chosen.items() if name.endswith(".weight") and layer in layers}
    check_precision(file, [key for name, key in names.items() if name not in chosen])
    check_shapes({name: file.shapes[key] for name, key in names.items()}, model, file.path.name, layout)
    modules = {name.removesuffix(".weight"): layer for name, layer in chosen.items()}
    for module, layer in modules.items():
        if not isinstance(model.get_submodule(module), nn.Linear):
            raise CheckpointError(
                f"{file.path.name}: {layer} is quantised ({layers[layer].format}), but only linear layers can be; take a "
                "file that leaves it as it is"
            )
    scales = {f"{m}.{scale}": f"{layer}.{scale}" for m, layer in modules.items() for scale in layers[layer].scales}
    tensors = file.read([*names.values(), *scales.values()])
    weights = reshaped({name: tensors[key] for name, key in names.items() if name not in chosen}, model)
    weights |= {name: tensors[names[name]].flatten(1) for name in chosen}
    weights |= {name: tensors[key] for name, key in scales.items()}
    return QuantisedWeights(weights, {module: layers[layer].settings for module, layer in modules.items()})


def _stated(file: WeightFile) -> dict[str, Mapping[str, Any]]:
    """Settings of each layer that the file calls quantised, by its name without the file's prefix."""
    stated = _from_metadata(file)
    keys = [key for key in file.shapes if key.endswith(f".{TOLD}")]
    for key, content in file.read(keys).items():
        name, source = key.removesuffix(f".{TOLD}"), f"{key} of {file.path.name}"
        settings = json_object(bytes(content.flatten().tolist()).decode(errors="replace"), source)
        if name in stated and stated[name].get("format") != settings.get("format"):
            raise CheckpointError(
                f"{source} says {settings.get('format')}, the metadata {stated[name].get('format')}; download it again"
            )
        stated[name] = settings
    for name, settings in stated.items():
        if settings.get("format") not in FORMATS:
            raise CheckpointError(
                f"{file.path.name}: {name} is quantised as {settings.get('format')!r}, wanted one of {', '.join(FORMATS)}; "
                "take a file of one of these, or the same model in bf16, fp16 or fp32"
            )
    return stated


def _from_metadata(file: WeightFile) -> dict[str, Mapping[str, Any]]:
    if METADATA_KEY not in file.metadata:
        return {}
    source = f"metadata {METADATA_KEY} of {file.path.name}"
    layers = json_object(file.metadata[METADATA_KEY], source).get("layers")
    if not isinstance(layers, dict) or not all(isinstance(settings, dict) for settings in layers.values()):
        raise CheckpointError(f"{source} must have an object `layers` of objects; download the file again")
    # Some writers name layers with the prefix of the keys, some without.
    named = {name.removeprefix(file.prefix): settings for name, settings in layers.items()}
    return {name: settings for name, settings in named.items() if not _is_outside(file, name)}


def _is_outside(file: WeightFile, name: str) -> bool:
    """Whether a layer is of another model in the same file."""
    return f"{name}.weight" not in file.shapes and f"{name}.weight" in file.outside


def _damage(file: WeightFile, name: str, kind: Format) -> str | None:
    """What is wrong with a quantised layer, or None."""
    weight = f"{name}.weight"
    if weight not in file.shapes:
        return "weight is missing"
    if file.dtypes[weight] != kind.storage:
        return f"weight must be {kind.storage}, got {file.dtypes[weight]}"
    shape = file.shapes[weight]
    if len(shape) < 2 or (kind.packed > 1 and len(shape) != 2):
        return f"weight must be a matrix, got {shape}"
    rows, columns = shape[0], kind.packed
    for size in shape[1:]:
        columns *= size
    for scale, wanted in {**kind.scales, **kind.optional}.items():
        key, sizes = f"{name}.{scale}", wanted.shapes(rows, columns)
        if key not in file.shapes:
            if scale in kind.scales:
                return f"{scale} is missing"
        elif file.shapes[key] not in sizes or file.dtypes[key] not in wanted.dtypes:
            return f"{scale} must be {wanted.dtypes[0]} {sizes[0]}, got {file.dtypes[key]} {file.shapes[key]}"
    return None
