"""A .safetensors file written tensor by tensor, from whatever device they lie on, and its checksum on the way.

The library's own writer wants all of them in host memory at once, where what a rollout carries would take 1.6 GB.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ShapeError

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
