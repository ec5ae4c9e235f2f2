"""Training pickles: `model.pt` of torch.save with `generator`, `critic` and optimisers. Only `generator` is taken.

Nothing in such a file is ever run: PyTorch's weights-only reader makes tensors and plain containers and refuses the
rest. The loaders refuse pickles altogether; `python3 -m tools.convert` is what reads them.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import RELEASED_RECIPES
from ..errors import CheckpointError
from .damage import BEGINNINGS
from .files import WeightFile, some
from .keymaps import WORLD_LAYOUTS
from .layouts import world_names
from .load import read_world_weights
from .recognition import known_prefix, recognise, refusal
from .world_config import world_config
from .world_file import VARIANTS, WorldFile, WorldInfo

TAKEN = "generator"
DROPPED = "pos_embed"  # all zero in the streaming model, RoPE replaced it
# What FSDP, activation checkpointing, torch.compile and DDP put into names, in front or in the middle.
WRAPPERS = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "module")
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
ZIP = b"PK\x03\x04"
LEGACY = (
    b"\x80\x02\x8a\n",
    "is in torch.save's old format, which cannot be memory-mapped; take a newer or a .safetensors file of the model",
)

# Before this version a crafted file could run code in spite of weights_only: CVE-2025-32434, CVE-2026-24747.
SAFE_TORCH = (2, 10)
# What the reader raises for a pickle that is damaged or made to confuse it.
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError,
    OSError, MemoryError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainingPickle(WeightFile):
    """The generator of a training pickle, as a weight file; `prefix` is already cut off its names."""

    tensors: Mapping[str, Tensor]  # memory-mapped

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: self.tensors[name] for name in names}


def open_training_pickle(path: str | Path, *, variant: str = "streaming") -> WorldFile:
    """The generator of a training pickle, checked as strictly as a loaded model is; no weight is read.

    Keys and shapes do not tell the variant; of the released files only the streaming one is a pickle. CheckpointError:
    cut off, not of torch.save, it would have to run code, there is no generator, or that is no SANA-WM stage 1.
    """
    path = Path(path)
    if variant not in VARIANTS:
        raise CheckpointError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    _check_torch(path)
    _check_archive(path)
    _check_globals(path)
    file = _weight_file(path, _generator(path.name, _weights_only(path)))
    layout = recognise(file.shapes)
    if layout not in WORLD_LAYOUTS:
        raise refusal(path, [*file.shapes, *file.outside], WORLD_LAYOUTS)
    if file.outside:
        raise CheckpointError(
            f"{path.name}: the names of {TAKEN} begin with {file.prefix!r}, but not {some(file.outside)}; it holds more "
            "than the model, choose the released file"
        )
    config = world_config(file, None)
    info = WorldInfo(
        name=path.stem,
        variant=variant,
        source=f"{TAKEN} of a training pickle" if variant == "streaming" else "your choice",
        layout=layout.name,
        sampling=RELEASED_RECIPES[variant],
        parameters=sum(math.prod(shape) for shape in file.shapes.values()),
    )
    opened = WorldFile(file, config, info, world_names(file.shapes, config, path.name))
    read_world_weights(opened)  # which checks names, sizes and precision
    return opened


def _check_torch(path: Path) -> None:
    found = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if found < SAFE_TORCH:
        raise CheckpointError(
            f"{path.name} is a pickle, and PyTorch {torch.__version__} cannot read pickles safely (CVE-2025-32434, "
            f"CVE-2026-24747); convert it with PyTorch {'.'.join(map(str, SAFE_TORCH))} or newer, any Python will do"
        )


def _check_archive(path: Path) -> None:
    """CheckpointError unless this is a whole archive of torch.save, with its tensors stored as they are."""
    try:
        with open(path, "rb") as f:
            start = f.read(64)
        if not start.startswith(ZIP):
            raise CheckpointError(f"{path.name} {_instead(start)}")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error}") from error
    except (zipfile.BadZipFile, ValueError, struct.error) as error:
        raise CheckpointError(
            f"{path.name} is cut off or damaged: after {path.stat().st_size:,} bytes it has no valid zip directory "
            f"({error}); download it again"
        ) from error
    names = [record.filename.partition("/")[2] for record in records]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise CheckpointError(
            f"{path.name} is a TorchScript archive, which is a program; take the weights, as torch.save or safetensors"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path.name} is a zip file without data.pkl, so not of torch.save; choose another file")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise CheckpointError(
            f"{path.name} was compressed after torch.save wrote it and cannot be memory-mapped; take the original file"
        )


def _instead(start: bytes) -> str:
    if not start:
        return "is empty (0 bytes); download it again"
    if start[8:9] == b"{":
        return "is a safetensors file under another name; rename it to .safetensors"
    known = next((what for beginning, what in (LEGACY, *BEGINNINGS) if start.startswith(beginning)), None)
    return known or f"is not a file of torch.save: it begins with {start[:8]!r}; choose or download it again"


def _check_globals(path: Path) -> None:
    """CheckpointError that lists what the pickle would call; found by reading it, without running it."""
    try:
        unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except UNREADABLE as error:
        raise _not_only_weights(path.name, error) from error
    if unsafe:
        raise CheckpointError(
            f"{path.name} needs more than tensors to be opened: it calls {some(unsafe)}. Nothing of it was run. Such "
            "files are not read; take a .safetensors file of the same model, or one that holds tensors only"
        )


def _weights_only(path: Path) -> Any:
    try:
        return torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)
    except UNREADABLE as error:
        raise _not_only_weights(path.name, error) from None


def _not_only_weights(name: str, error: BaseException) -> CheckpointError:
    # PyTorch's texts advise weights_only=False; only what was found is passed on, in their last line or their first.
    text = str(error).partition("WeightsUnpickler error:")[2] or str(error) or type(error).__name__
    reason = text.strip().split("\n")[0][:200]
    return CheckpointError(
        f"{name} is damaged, or needs more than tensors to be opened ({reason}). Nothing of it was run; download it "
        "again, or take a .safetensors file of the same model"
    )


def _generator(name: str, loaded: Any) -> dict[str, Tensor]:
    """The state dict below `generator`, under the names that the file has."""
    if not isinstance(loaded, Mapping) or TAKEN not in loaded:
        keys = some(map(str, loaded)) or "nothing" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
        raise CheckpointError(
            f"{name} has no {TAKEN} at its top level, but {keys}; choose SANA-WM's streaming model.pt"
        )
    found = loaded[TAKEN]
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(
            f"{name}: {TAKEN} must be names with tensors, got {type(found).__name__} with "
            f"{len(found) if isinstance(found, Mapping) else 'no'} entries; choose SANA-WM's streaming model.pt"
        )
    for key, tensor in found.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{name}: {key!r} in {TAKEN} is a {type(tensor).__name__}, not a tensor with a name")
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise CheckpointError(f"{name}: {key} in {TAKEN} has no plain numbers ({tensor.layout}, {tensor.device})")
    return {key: tensor.detach() for key, tensor in found.items()}


def _weight_file(path: Path, generator: Mapping[str, Tensor]) -> TrainingPickle:
    bare: dict[str, Tensor] = {}
    for key, tensor in generator.items():
        name = ".".join(part for part in key.split(".") if part not in WRAPPERS)
        if name in bare:
            raise CheckpointError(f"{path.name}: {name} is there twice under different wrappers, such as in {key}")
        bare[name] = tensor
    prefix = known_prefix(bare, WORLD_LAYOUTS)
    inside = {name[len(prefix) :]: tensor for name, tensor in bare.items() if name.startswith(prefix)}
    inside.pop(DROPPED, None)
    return TrainingPickle(
        path=path,
        shapes={name: tuple(tensor.shape) for name, tensor in inside.items()},
        dtypes={name: DTYPES.get(tensor.dtype, str(tensor.dtype)) for name, tensor in inside.items()},
        metadata={},
        config={},
        prefix=prefix,
        outside=tuple(sorted(name for name in bare if not name.startswith(prefix))),
        shards={},
        tensors=inside,
    )
