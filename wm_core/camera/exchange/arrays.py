"""Array files: .npy as numpy.lib.format specifies it (NEP 1), read by hand so that nothing is allocated on trust.

The header is a Python dictionary as text. It is matched, never evaluated, and objects (pickles) are refused.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from .source import open_source
from .stored import StoredCameras

_MAGIC = b"\x93NUMPY"
MAX_VALUES = 16 * MAX_FRAMES
MAX_HEADER_BYTES = 10_000
_MOST_AXES = 8
_SQUARE_SHAPES = {(4, 4), (3, 4), (4, 3)}
_FIELDS = {
    "descr": re.compile(r"'descr'\s*:\s*'([<>|=][fiu][1248])'"),
    "fortran_order": re.compile(r"'fortran_order'\s*:\s*(True|False)"),
    "shape": re.compile(r"'shape'\s*:\s*\(([0-9,\s]{0,200})\)"),
}


def read_npy(file: Path) -> StoredCameras:
    """Matrices of an .npy file: (f, 4, 4), (f, 3, 4), or one camera without the f."""
    return StoredCameras(as_matrices(read_array_file(file), str(file)))


def write_npy(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """The matrices in `file`, the intrinsics in walk_intrinsics.npy beside walk.npy or walk_pose.npy; float32."""
    beside = file.with_name(file.stem.removesuffix("_pose") + "_intrinsics.npy")
    return {file: array_bytes(stored.matrices), beside: array_bytes(stored.intrinsics)}


def is_npy(head: bytes) -> bool:
    return head.startswith(_MAGIC)


def read_array_file(file: Path) -> NDArray:
    """The numbers of one .npy file, float64."""
    with open_source(file) as (opened, length):
        return read_array(opened, length, str(file))


def read_array(opened: BinaryIO, length: int, place: str) -> NDArray:
    """The numbers of an .npy stream of `length` bytes, float64 of its own shape; errors begin with `place`."""
    dtype, in_fortran_order, shape = _header(opened, place)
    count = math.prod(shape)
    if len(shape) > _MOST_AXES or max(count, *shape, 0) > MAX_VALUES:
        raise CameraError(
            f"{place}: its header tells of numbers {shape!s:.80}, wanted those of at most {MAX_FRAMES} cameras; "
            "split it into takes"
        )
    present = length - opened.tell()
    if present != count * dtype.itemsize:
        raise CameraError(
            f"{place}: its header tells of {count * dtype.itemsize} bytes {shape}, got {present}; write it again"
        )
    with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused as any other
        flat = np.frombuffer(opened.read(present), dtype=dtype).astype(np.float64)
    return flat.reshape(shape[::-1]).T if in_fortran_order else flat.reshape(shape)


def as_matrices(values: NDArray, place: str) -> NDArray:
    """Camera matrices (f, 4, 4), (f, 3, 4) or (f, 4, 3) from those or one of them; errors begin with `place`."""
    if values.shape in _SQUARE_SHAPES:
        values = values[None]
    if values.ndim != 3 or values.shape[1:] not in _SQUARE_SHAPES or not len(values):
        raise CameraError(
            f"{place}: matrices must be (f, 4, 4) or (f, 3, 4) with f >= 1, got {values.shape}; "
            "reshape them, one matrix for each frame"
        )
    return values


def array_bytes(values: NDArray) -> bytes:
    """An .npy file of float32."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values, dtype=np.float32), allow_pickle=False)
    return stream.getvalue()


def _header(opened: BinaryIO, place: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    start = opened.read(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise CameraError(f"{place}: is not an .npy array, it begins with {start[:6]!r}; save it with numpy.save")
    size = int.from_bytes(opened.read(2 if start[6] == 1 else 4), "little")
    if size > MAX_HEADER_BYTES:
        raise CameraError(f"{place}: its header tells of {size} bytes of header, wanted up to {MAX_HEADER_BYTES}")
    text = opened.read(size).decode("latin-1")
    found = {name: pattern.search(text) for name, pattern in _FIELDS.items()}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise CameraError(
            f"{place}: its header has no {missing[0]} of plain numbers, got {text.strip()!r:.120}; "
            "save float32, objects and pickles are never read"
        )
    descr, order, shape = (match[1] for match in found.values())
    sizes = tuple(int(n[:19]) for n in re.findall("[0-9]+", shape))  # 19 digits are too many already
    if descr[1:] == "f1":
        raise CameraError(f"{place}: its numbers are {descr!r}, which is no type; save float32")
    return np.dtype(descr), order == "True", sizes
