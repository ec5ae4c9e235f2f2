"""A .safetensors file written tensor by tensor: one of them is in memory at a time, and it appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wm_core.errors import CheckpointError

# In the words of the format, widest first: in this order every tensor lies at a multiple of its width.
WORDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.uint8: "U8",
}
HASH_BLOCK = 1 << 22
SAMPLED = 32  # tensors that are read back

OnStep = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass(frozen=True)
class Slot:
    """The place of a tensor in the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_streamed(
    target: Path,
    slots: Mapping[str, Slot],
    metadata: Mapping[str, str],
    tensors: Iterable[tuple[str, Tensor]],
    on_step: OnStep = lambda what, done, total: None,
) -> None:
    """Write `tensors`, (name, tensor) in any order, each into its slot. The same input gives the same bytes.

    CheckpointError: the file cannot be written, or a sample of it does not read back as it was written.
    """
    metadata = dict(sorted(metadata.items()))
    partial = target.with_name(f"{target.name}.partial")  # one name, so that what a kill left is overwritten
    try:
        sums = _write(partial, slots, metadata, tensors, on_step)
        _check_written(partial, metadata, sums)
        os.replace(partial, target)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error}; free the space or choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def check_target(target: Path, sources: Iterable[Path], force: bool) -> None:
    """CheckpointError unless `target` is a name for a new file, or with `force` for one that is no source."""
    if target.suffix != ".safetensors":
        raise CheckpointError(f"the target must be a .safetensors file or an existing folder, got {target}")
    if not target.parent.is_dir():
        raise CheckpointError(f"there is no folder {target.parent} for {target.name}; make it or choose another place")
    if target.exists() and any(target.samefile(file) for file in sources):
        raise CheckpointError(f"{target} is the source itself; choose another name")
    if target.exists() and not force:
        raise CheckpointError(f"{target} exists; choose another name, or replace it with --force")


def describe(files: list[Path], hashes: bool, on_step: OnStep) -> str:
    """Names of the source's files, each with its SHA-256, or with size and time of change."""
    total, done, parts = sum(file.stat().st_size for file in files), 0, []
    for file in files:
        if not hashes:
            changed = datetime.fromtimestamp(int(file.stat().st_mtime), timezone.utc).isoformat()
            parts.append(f"{file.name} {file.stat().st_size} bytes, changed {changed}")
            continue
        digest = hashlib.sha256()
        with open(file, "rb") as f:
            while block := f.read(HASH_BLOCK):
                digest.update(block)
                done += len(block)
                on_step("hashing", done, total)
        parts.append(f"{file.name} sha256:{digest.hexdigest()}")
    return "; ".join(parts)


def show_step(what: str, done: int, total: int) -> None:
    """One line that grows, on a terminal; elsewhere the end of each part."""
    if done == total or sys.stderr.isatty():
        end = "\n" if done == total else "\r"
        print(f"{what}: {done / 1e9:.2f} of {total / 1e9:.2f} GB", end=end, file=sys.stderr, flush=True)


def in_order(slots: Mapping[str, Slot]) -> list[str]:
    """Names as the safetensors library orders them: by type, then by name."""
    order = list(WORDS)
    return sorted(slots, key=lambda name: (order.index(slots[name].dtype), name))


def _write(
    path: Path,
    slots: Mapping[str, Slot],
    metadata: Mapping[str, str],
    tensors: Iterable[tuple[str, Tensor]],
    on_step: OnStep,
) -> dict[str, int]:
    """Header, then each tensor's bytes without gaps, as the format wants; the checksum of each tensor, in file order."""
    header, places, total, done, sums = {"__metadata__": metadata}, {}, 0, 0, {}
    for name in in_order(slots):
        slot = slots[name]
        places[name], total = total, total + slot.size
        header[name] = {"dtype": WORDS[slot.dtype], "shape": list(slot.shape), "data_offsets": [places[name], total]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    free = shutil.disk_usage(path.parent).free
    if total > free:
        raise CheckpointError(f"{path.parent} has {free:,} bytes free, wanted {total:,}; choose another place")
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors:
            slot = slots[name]
            if (tensor.dtype, tuple(tensor.shape)) != (slot.dtype, slot.shape) or name in sums:
                raise CheckpointError(f"{name} became {tensor.dtype} {tuple(tensor.shape)}, wanted {slot}; report this")
            content = _bytes(tensor)
            f.seek(8 + len(text) + places[name])
            done += f.write(content)
            sums[name] = zlib.crc32(content)
            on_step("writing", done, total)
            del tensor, content  # before the next one is made
        f.flush()
        os.fsync(f.fileno())
    return {name: sums[name] for name in places}


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _check_written(path: Path, metadata: Mapping[str, str], sums: Mapping[str, int]) -> None:
    """CheckpointError unless names, metadata and the bytes of a sample read back as they were written."""
    names = list(sums)
    sample = names[:: max(1, len(names) // SAMPLED)] + names[-1:]
    try:
        with safe_open(path, framework="pt") as f:
            same = f.metadata() == metadata and set(f.keys()) == set(sums)
            same = same and all(zlib.crc32(_bytes(f.get_tensor(name))) == sums[name] for name in sample)
    except SafetensorError:
        same = False
    if not same:
        raise CheckpointError(f"{path.name} does not read back as it was written; check the disk and convert again")
