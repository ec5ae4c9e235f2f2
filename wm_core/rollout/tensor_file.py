"""Checked .safetensors files: written tensor by tensor from whatever device they lie on, named by their checksum.

The library's own writer wants all tensors in host memory at once, where what a rollout carries would take 1.6 GB. An entry
{tensors: file name, sha256: checksum} is how another file names one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError, ShapeError

ALIGNMENT = 64  # bytes, of what torch allocates
HASHED = 2**22  # bytes read at a time

# In the words of the format. Widest first, so that every tensor begins at a multiple of its width.
WORDS = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> str:
    """Write the file and have it on the disk; returns its SHA-256. ShapeError for a dtype that the format lacks."""
    for name, tensor in tensors.items():
        if tensor.dtype not in WORDS:
            raise ShapeError(f"{name} must be one of {', '.join(WORDS.values())}, got {tensor.dtype}; convert it")
    order = list(WORDS)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))
    digest = hashlib.sha256()
    with Path(path).open("wb") as file:
        contents = chain([_header(tensors, names)], (_bytes(tensors[name]) for name in names))
        for content in contents:
            file.write(content)
            digest.update(content)
            del content  # before the next one is made
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def write_entry(tensors: Mapping[str, Tensor], folder: Path, name: str) -> dict[str, str]:
    """Write NAME_checksum.safetensors, whole or not at all; its entry. No file with other tensors has that name."""
    with unfinished(folder) as partial:
        sha256 = write_tensors(partial, tensors)
        file = folder / f"{name}_{sha256[:12]}.safetensors"
        os.replace(partial, file)
    return {"tensors": file.name, "sha256": sha256}


def read_entry(folder: Path, entry: Mapping[str, str], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of an entry; CheckpointError names the file if it is missing or damaged."""
    file = folder / Path(entry["tensors"]).name
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; restore it from a copy")
    if _sha256(file) != entry["sha256"]:
        raise CheckpointError(f"{file.name} is damaged: its checksum is not the one that was written; restore it from a copy")
    try:
        return {name: _aligned(tensor) for name, tensor in load_file(file, device=str(device)).items()}
    except SafetensorError as error:
        raise CheckpointError(f"{file.name} is not whole ({error}); restore it from a copy") from error


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A name to write to first. Always the same, so that what a kill left there is overwritten."""
    partial = folder / ".unfinished"
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor where torch itself would have put it: a CPU's matrix products round by where their operands begin."""
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(HASHED):
            digest.update(block)
    return digest.hexdigest()


def _header(tensors: Mapping[str, Tensor], names: list[str]) -> bytes:
    entries, end = {}, 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": WORDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())
