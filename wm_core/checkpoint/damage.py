"""Why a file cannot be opened as safetensors: what it is instead, or how much of it is there."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import CheckpointError

MAX_HEADER = 100_000_000  # bytes; the limit of the format

# How files begin that often carry the wrong name, and what to do about each.
BEGINNINGS = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the weights; run `git lfs pull` or download the file itself",
    ),
    (b"<", "is a web page, not weights; the download wanted a login or another link"),
    (
        b"PK\x03\x04",
        "is a pickle of PyTorch under another name; name it .pt and run `python3 -m tools.convert FILE` in this node pack",
    ),
    (
        b"\x80\x02\x8a\n",
        "is an old pickle of PyTorch under another name and is not read; take a .safetensors file of the same model",
    ),
    (b"GGUF", "is a GGUF file under another name; quantised weights are not read yet, take the bf16 or fp32 file"),
)


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """The error to raise for a file that safetensors refused with `error`."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as f:
            start = f.read(64)
            length = int.from_bytes(start[:8], "little")
            header = (start[8:] + f.read(length))[:length] if length <= MAX_HEADER else b""
    except OSError as reason:
        return CheckpointError(f"{path} cannot be opened: {reason}")
    for beginning, what in BEGINNINGS:
        if start.startswith(beginning):
            return CheckpointError(f"{path.name} {what}")
    missing = _shortfall(header, length, size)
    return CheckpointError(f"{path.name} {missing or f'is not a safetensors file ({error}); download it again'}")


def _shortfall(header: bytes, length: int, size: int) -> str | None:
    """What is wrong with a file of `size` bytes whose header should have `length`; None if it is not safetensors."""
    if size == 0:
        return "is empty (0 bytes); download it again"
    if size < 8:
        return f"is cut off after {size} bytes; download it again"
    if length > MAX_HEADER or header[:1] not in (b"{", b""):
        return None
    if len(header) < length:
        return f"is cut off inside its header: {size:,} bytes of more than {8 + length:,}; download it again"
    try:
        entries = json.loads(header).items()
        end = max((entry["data_offsets"][1] for key, entry in entries if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "has a damaged header; download it again"
    wanted = 8 + length + end
    if size == wanted:
        return None
    if size < wanted:
        return f"is cut off: {size:,} of {wanted:,} bytes; download it again"
    return f"is longer than its header says: {size:,} bytes instead of {wanted:,}; download it again"
