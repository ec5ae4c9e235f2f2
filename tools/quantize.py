"""Write a stage-1 or refiner checkpoint with quantised weights, in the format that ComfyUI publishes.

    python3 -m tools.quantize sana_wm_bf16.safetensors sana_wm_fp8.safetensors --format fp8
    python3 -m tools.quantize refiner/transformer refiner_nvfp4.safetensors --format nvfp4

The large matrices of the blocks become small numbers with scales; all else stays as it is. Needs comfy-kitchen, which newer
ComfyUI brings. One tensor at a time is in memory, and what its rounding takes. The same input gives the same bytes; the file
appears whole or not at all. It holds what the model reads: of LTX-2's transformer not the audio half, nor the text connectors.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from wm_core.checkpoint.files import WeightFile, open_weights
from wm_core.checkpoint.keymaps import REFINER_LAYOUTS, WORLD_LAYOUTS
from wm_core.checkpoint.layouts import read_fitting
from wm_core.checkpoint.quantisable import REFINER_LAYERS, WORLD_LAYERS, quantisable
from wm_core.checkpoint.quantised import FORMATS, METADATA_KEY, TOLD
from wm_core.checkpoint.recognition import recognise, refusal
from wm_core.checkpoint.refiner_config import CONFIG_KEY
from wm_core.checkpoint.refiner_file import open_refiner
from wm_core.checkpoint.refiner_guard import MARK, Verdict, judged
from wm_core.checkpoint.world_file import open_world
from wm_core.dit import WorldDiT
from wm_core.errors import CheckpointError
from wm_core.refiner import VideoRefiner

from .convert import metadata_of
from .streamed import WORDS, OnStep, Slot, check_target, describe, show_step, write_streamed

# What the option is called: the format's published name, and what quantises it in comfy_kitchen.tensor.
CHOICES = {
    "fp8": ("float8_e4m3fn", "TensorCoreFP8Layout"),
    "int8": ("int8_tensorwise", "TensorWiseINT8Layout"),
    "nvfp4": ("nvfp4", "TensorCoreNVFP4Layout"),
}
DTYPES = {word: dtype for dtype, word in WORDS.items()}


@dataclass(frozen=True)
class Options:
    """How to quantise. rounds_inputs: let cards that multiply in the format do so, which rounds a layer's input too."""

    format: str
    rounds_inputs: bool = False
    hashes: bool = True  # name the source by SHA-256, else by size and time
    force: bool = False  # replace an existing file


@dataclass(frozen=True, eq=False)
class Source:
    """A checkpoint to quantise: tensors by parameter name, memory-mapped, in the shapes of the file."""

    file: WeightFile
    tensors: Mapping[str, Tensor]
    layers: tuple[str, ...]  # names of those to quantise
    metadata: Mapping[str, str]
    left_out: int  # bytes of the file that the model does not read


@dataclass
class Kind:
    """Layers of one name in all blocks: how many, bytes before and after, and their error so far."""

    layers: int = 0
    before: int = 0
    after: int = 0
    error: float = 0.0  # sums of squares
    signal: float = 0.0

    @property
    def relative_error(self) -> float:
        return math.sqrt(self.error / self.signal) if self.signal else 0.0


@dataclass
class Report:
    """Bytes of all tensors before and after, and the layers by kind."""

    before: int
    after: int
    left_out: int
    kinds: dict[str, Kind] = field(default_factory=dict)


def quantize(
    source: str | Path, target: str | Path, options: Options, on_step: OnStep = lambda what, done, total: None
) -> Report:
    """Write `source` as `target`. CheckpointError: not a whole model, already quantised, or the target cannot be written."""
    format, layout = CHOICES[options.format][0], _layout(options.format)
    opened, target = _open(Path(source)), Path(target)
    files = sorted(set(opened.file.shards.values()))
    check_target(target, files, options.force)
    settings = {"format": format} | ({} if options.rounds_inputs else {"full_precision_matrix_mult": True})
    told = torch.tensor(list(json.dumps(settings).encode()), dtype=torch.uint8)
    slots = _slots(opened, format, told)
    rest = {
        tensor.dtype for name, tensor in opened.tensors.items() if name.removesuffix(".weight") not in opened.layers
    }
    metadata = dict(opened.metadata) | {
        METADATA_KEY: json.dumps({"format_version": "1.0", "layers": dict.fromkeys(opened.layers, settings)}),
        "sana_wm.precision": "+".join(
            [options.format, *(word.lower() for dtype, word in WORDS.items() if dtype in rest)]
        ),
        "sana_wm.source": describe(files, options.hashes, on_step),
    }
    before = sum(tensor.nbytes for tensor in opened.tensors.values())
    report = Report(before, sum(slot.size for slot in slots.values()), opened.left_out)
    write_streamed(target, slots, metadata, _contents(opened, layout, told, report.kinds), on_step)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a .safetensors file, an index of shards, or a folder")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")
    parser.add_argument("--format", choices=CHOICES, required=True)
    parser.add_argument(
        "--round-inputs",
        action="store_true",
        help="let cards that multiply in this format do so: faster there, but what goes into a layer is rounded too "
        "(fp8 cuts it off at 448). Without it only the weights are small, and the products are as before",
    )
    parser.add_argument("--no-hash", action="store_true", help="name the source by size and time instead of SHA-256")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    given = parser.parse_args()
    options = Options(given.format, given.round_inputs, not given.no_hash, given.force)
    try:
        report = quantize(given.source, given.target, options, show_step)
    except (CheckpointError, OSError) as error:
        sys.exit(f"quantize: {error}")
    except KeyboardInterrupt:
        sys.exit("quantize: stopped; nothing was written")
    print(table(report))
    print(f"{given.target}: {given.format}, {given.target.stat().st_size:,} bytes")


def table(report: Report) -> str:
    """Sizes and errors as text."""
    rows = [f"{'layers':44} {'count':>5} {'before':>10} {'after':>10} {'error':>7}"]
    for name, kind in sorted(report.kinds.items()):
        sizes = f"{kind.before / 1e6:>7,.1f} MB {kind.after / 1e6:>7,.1f} MB"
        rows.append(f"{name:44} {kind.layers:>5} {sizes} {kind.relative_error:>7.2%}")
    rows.append(f"all weights: {report.before / 1e6:,.1f} MB before, {report.after / 1e6:,.1f} MB after")
    if report.left_out:
        rows.append(f"left out, because the model does not read it: {report.left_out / 1e6:,.1f} MB")
    return "\n".join(rows)


def _layout(choice: str):
    try:
        from comfy_kitchen import tensor as kitchen
    except ImportError as error:
        raise CheckpointError(
            f"{choice} needs the package comfy-kitchen, which is not installed here ({error}); run this with the Python of "
            "a ComfyUI that brings it, or `pip install comfy-kitchen`"
        ) from error
    return getattr(kitchen, CHOICES[choice][1])


def _open(path: Path) -> Source:
    file = open_weights(path, (*WORLD_LAYOUTS, *REFINER_LAYOUTS))
    layout = recognise(file.shapes, (*WORLD_LAYOUTS, *REFINER_LAYOUTS))
    if layout in WORLD_LAYOUTS:
        world = open_world(path)
        return _read(
            world.file, world.names, WorldDiT(world.config, device="meta"), WORLD_LAYERS, metadata_of(world, "")
        )
    if layout is None:
        raise refusal(file.path, [*file.shapes, *file.outside], WORLD_LAYOUTS)
    return _open_refiner(path)


def _open_refiner(path: Path) -> Source:
    opened = open_refiner(path)
    file, judgement = opened.file, judged(opened.findings)
    if judgement is Verdict.WRONG:
        found = "; ".join(finding.words for finding in opened.findings if finding.verdict is Verdict.WRONG)
        raise CheckpointError(f"{file.path.name} is not SANA-WM's refiner: {found}. Take that of the SANA-WM release")
    stated = {key: value for key, value in file.metadata.items() if "hash" not in key}
    if judgement is Verdict.RECOGNISED:  # by its own words or its name, which the new file may not have
        stated.setdefault(MARK, "recognised in the source")
    if "LTX2" in str(file.config.get("_class_name", "")):  # for the config.json does not come along
        stated.setdefault(CONFIG_KEY, json.dumps(file.config, sort_keys=True))
    return _read(file, opened.names, VideoRefiner(opened.config, device="meta"), REFINER_LAYERS, stated)


def _read(file: WeightFile, names: Mapping[str, str], model, patterns: tuple[str, ...], metadata) -> Source:
    tensors = read_fitting(file, names, model, "")  # which checks names, sizes and precision
    layers = quantisable(((name, tuple(tensor.shape)) for name, tensor in tensors.items()), patterns)
    if not layers:
        raise CheckpointError(f"{file.path.name} has no layer that can be quantised; it can be used as it is")
    matrices = {f"{layer}.weight" for layer in layers}
    tensors = {n: t if n in matrices else t.reshape(file.shapes[names[n]]) for n, t in tensors.items()}
    read = sum(tensor.nbytes for tensor in tensors.values())
    stored = sum(math.prod(shape) * DTYPES[file.dtypes[key]].itemsize for key, shape in file.shapes.items())
    return Source(file, tensors, tuple(layers), metadata, stored - read)


def _slots(source: Source, format: str, told: Tensor) -> dict[str, Slot]:
    kind = FORMATS[format]
    slots = {name: Slot(tensor.dtype, tuple(tensor.shape)) for name, tensor in source.tensors.items()}
    for layer in source.layers:
        rows, columns = source.tensors[f"{layer}.weight"].shape
        slots[f"{layer}.weight"] = Slot(DTYPES[kind.storage], (rows, columns // kind.packed))
        for name, scale in kind.scales.items():
            slots[f"{layer}.{name}"] = Slot(DTYPES[scale.dtypes[0]], scale.shapes(rows, columns)[0])
        slots[f"{layer}.{TOLD}"] = Slot(told.dtype, tuple(told.shape))
    return slots


def _contents(source: Source, layout, told: Tensor, kinds: dict[str, Kind]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the output; `kinds` is filled on the way."""
    for name, tensor in source.tensors.items():
        layer = name.removesuffix(".weight")
        if layer == name or layer not in source.layers:
            yield name, tensor
            continue
        matrix = tensor.float()
        if not matrix.isfinite().all():
            raise CheckpointError(f"{name} of {source.file.path.name} is not finite; download the file again")
        # A matrix of zeros would have a scale of zero, by which it is divided.
        data, params = layout.quantize(matrix, scale=None if matrix.any() else torch.tensor(1.0))
        parts = {f"{name}{suffix}": part for suffix, part in layout.state_dict_tensors(data, params).items()}
        kind = kinds.setdefault(re.sub(r"\.\d+\.", ".*.", layer, count=1), Kind())
        kind.layers, kind.before = kind.layers + 1, kind.before + tensor.nbytes
        kind.after += sum(part.nbytes for part in parts.values())
        kind.signal += matrix.square().sum().item()
        kind.error += layout.dequantize(data, params).sub_(matrix).square_().sum().item()
        del matrix, data, params
        yield from parts.items()
        yield f"{layer}.{TOLD}", told


if __name__ == "__main__":
    main()
