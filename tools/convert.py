"""Write a SANA-WM stage-1 checkpoint as one safetensors file in the released names, which says what it is.

    python3 -m tools.convert model.pt                              # the streaming model, out of its training pickle
    python3 -m tools.convert sana_wm_1600m_720p.safetensors --precision bf16

Reads the released training pickle (tensors only, nothing in it is run), a .safetensors file, shards or a diffusers
folder. One tensor at a time is in memory. The same input gives the same bytes; the file appears whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wm_core.checkpoint import PICKLES, VARIANTS, WorldFile, open_training_pickle, open_world, read_world_weights
from wm_core.errors import CheckpointError

from .streamed import WORDS, OnStep, Slot, check_target, describe, show_step, write_streamed

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
UNTOLD_NAMES = ("", "model", "pytorch_model", "diffusion_pytorch_model", "transformer", "dit", "sana_dit")
FORMAT = "1"  # of the sana_wm.* metadata


@dataclass(frozen=True)
class Options:
    """How to convert; the defaults keep the numbers as they are."""

    precision: str = "keep"
    variant: str | None = None  # what the file says; streaming for a training pickle
    hashes: bool = True  # name the source by SHA-256, else by size and time
    force: bool = False  # replace an existing file


@dataclass(frozen=True)
class Entry:
    """A tensor of the output."""

    name: str
    source: Tensor  # memory-mapped
    dtype: torch.dtype


def convert(
    source: str | Path,
    target: str | Path | None = None,
    options: Options = Options(),
    on_step: OnStep = lambda what, done, total: None,
) -> Path:
    """Write `source` as `target`, by default beside it under a name that says variant and precision.

    CheckpointError: the source is not a whole SANA-WM stage 1, or the target exists or cannot be written.
    """
    opened = _open(Path(source), options.variant)
    entries = _entries(opened, None if options.precision == "keep" else DTYPES[options.precision])
    precision = "+".join(name for name, dtype in DTYPES.items() if any(e.dtype == dtype for e in entries))
    target = _target(Path(source), target, opened, precision, options.force)
    described = describe(_files(opened), options.hashes, on_step)
    metadata = metadata_of(opened, precision) | {"sana_wm.source": described}
    slots = {e.name: Slot(e.dtype, tuple(e.source.shape)) for e in entries}
    write_streamed(target, slots, metadata, ((e.name, _cast(e)) for e in entries), on_step)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="model.pt, a .safetensors file, an index of shards, or a folder")
    parser.add_argument("--out", type=Path, help="file or existing folder; default: beside the source")
    parser.add_argument("--precision", choices=("keep", "bf16", "fp16", "fp32"), default="keep")
    parser.add_argument("--variant", choices=VARIANTS, help="default: what the source says; streaming for a pickle")
    parser.add_argument("--no-hash", action="store_true", help="name the source by size and time instead of SHA-256")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    given = parser.parse_args()
    options = Options(given.precision, given.variant, not given.no_hash, given.force)
    try:
        target = convert(given.source, given.out, options, show_step)
    except (CheckpointError, OSError) as error:
        sys.exit(f"convert: {error}")
    except KeyboardInterrupt:
        sys.exit("convert: stopped; nothing was written")
    stated = open_world(target).file.metadata
    print(f"{target}: {stated['sana_wm.variant']}, {stated['sana_wm.precision']}, {target.stat().st_size:,} bytes")


def _open(source: Path, variant: str | None) -> WorldFile:
    if source.suffix.lower() in PICKLES and source.is_file():
        return open_training_pickle(source, variant=variant or "streaming")
    opened = open_world(source, variant=variant)
    read_world_weights(opened)  # which checks names, sizes and precision
    return opened


def _entries(opened: WorldFile, dtype: torch.dtype | None) -> list[Entry]:
    """The tensors under their released names, in the order of the safetensors library: by type, then by name."""
    released = {key: name for name, key in opened.names.items()}
    tensors = {released.get(key, key): tensor for key, tensor in opened.file.read(opened.file.shapes).items()}
    dtypes = {name: dtype or tensor.dtype for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise CheckpointError(f"{name} is {tensor.dtype}, wanted floating point; choose another file")
    order = list(DTYPES.values())
    names = sorted(tensors, key=lambda name: (order.index(dtypes[name]), name))
    return [Entry(name, tensors[name], dtypes[name]) for name in names]


def _target(source: Path, out: str | Path | None, opened: WorldFile, precision: str, force: bool) -> Path:
    # Beside a folder and not in it: a second file there would leave a choice to who opens the folder.
    target = Path(out) if out else source.absolute().parent
    if target.is_dir():
        target = target / _safe_name(opened.info.name, opened.info.variant, precision)
    check_target(target, _files(opened), force)
    return target


def _safe_name(name: str, variant: str, precision: str) -> str:
    """Says variant and precision, in letters that every system takes."""
    base = re.sub(r"[^a-z0-9._-]+", "_", name.lower())
    base = re.sub(r"[._-](bf16|fp16|fp32)(?![a-z0-9])", "", base).strip("._-")
    base = "sana_wm" if base in UNTOLD_NAMES else base
    variant = variant.replace("-", "_")
    told = "" if variant in base.replace("-", "_") else f"_{variant}"
    return f"{base}{told}_{precision.replace('+', '_')}.safetensors"


def _files(opened: WorldFile) -> list[Path]:
    return sorted(set(opened.file.shards.values())) or [opened.file.path]


def metadata_of(opened: WorldFile, precision: str) -> dict[str, str]:
    """What the source says of itself, without what the conversion makes untrue, and what it became."""
    file, variant = opened.file, opened.info.variant
    kept = {k: v for k, v in file.metadata.items() if k.startswith(("sana_wm.", "modelspec.")) and "hash" not in k}
    stated = file.config if str(file.config.get("_class_name", "Sana")).startswith("Sana") else {}
    config = {**stated, **json.loads(kept.get("sana_wm.config", "{}"))}
    if config:  # for the config.json does not come along
        kept["sana_wm.config"] = json.dumps(config, sort_keys=True)
    kept.setdefault("modelspec.title", f"SANA-WM stage 1, {variant}")
    return kept | {"sana_wm.format": FORMAT, "sana_wm.variant": variant, "sana_wm.precision": precision}


def _cast(entry: Entry) -> Tensor:
    if entry.dtype == entry.source.dtype:
        return entry.source
    tensor = entry.source.to(entry.dtype)
    if tensor.isinf().any() and not entry.source.isinf().any():
        largest, word = entry.source.abs().max().item(), WORDS[entry.dtype]
        raise CheckpointError(f"{entry.name} reaches {largest:.3g}, too large for {word}; choose another --precision")
    return tensor


if __name__ == "__main__":
    main()
