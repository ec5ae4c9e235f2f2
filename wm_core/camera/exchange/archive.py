"""Array archives: .npz, a zip file of .npy arrays. Only the members that are wanted are unpacked, none beyond its size."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from .arrays import MAX_HEADER_BYTES, MAX_VALUES, as_matrices, read_array
from .lens import check_size
from .source import open_source
from .stored import Direction, StoredCameras

# What the matrices under each key are. Extrinsics are w2c in half of the programs and c2w in the other half.
MATRIX_KEYS = {"c2w": "c2w", "poses": "c2w", "w2c": "w2c", "extrinsics": "unsaid"}
LENS_KEYS = ("intrinsics", "K")
MAX_DIRECTORY_BYTES = 2**20
_MAX_MEMBER_BYTES = 8 * MAX_VALUES + MAX_HEADER_BYTES
_END = struct.Struct("<4s4H2LH")  # end of central directory, APPNOTE.TXT 4.3.16
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def read_npz(file: Path) -> StoredCameras:
    """Matrices under c2w, poses, w2c or extrinsics; intrinsics or K, size (h, w) and fps where they are there."""
    with open_source(file) as (opened, length):
        _check_end(opened, length, file)
        try:
            with zipfile.ZipFile(opened) as archive:
                keys = [name.removesuffix(".npy") for name in archive.namelist()]
                arrays = {key: _member(archive, key, file) for key in _wanted(keys, file)}
        except CameraError:
            raise
        except _DAMAGE as error:
            raise CameraError(f"{file} is not a whole .npz archive ({error!s:.80}); save it again") from error
    (matrix_key, matrices), *rest = arrays.items()
    others = dict(rest)
    lens = next((others[key] for key in LENS_KEYS if key in others), None)
    return StoredCameras(
        as_matrices(matrices, f"{file}, {matrix_key}"),
        lens,
        size=_size(others["size"], file) if "size" in others else None,
        fps=_fps(others["fps"], file) if "fps" in others else None,
        direction=MATRIX_KEYS[matrix_key],
    )


def write_npz(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """Arrays c2w or w2c, intrinsics (f, 4) float32, size (h, w) and fps."""
    direction: Direction = "w2c" if stored.direction == "w2c" else "c2w"
    stream = io.BytesIO()
    np.savez(
        stream,
        **{direction: stored.matrices.astype(np.float32)},
        intrinsics=stored.intrinsics.astype(np.float32),
        size=np.array(stored.size),
        fps=np.array(stored.fps),
    )
    return {file: stream.getvalue()}


def is_npz(head: bytes) -> bool:
    return head.startswith(b"PK")


def _wanted(keys: list[str], file: Path) -> list[str]:
    """The key of the matrices, then the others that are of use."""
    matrices = next((key for key in MATRIX_KEYS if key in keys), None)
    if matrices is None:
        found = ", ".join(repr(key) for key in keys[:12]) or "nothing"
        raise CameraError(f"{file} holds {found:.200}, wanted an array {', '.join(MATRIX_KEYS)}; rename the matrices")
    return [matrices, *(key for key in (*LENS_KEYS, "size", "fps") if key in keys)]


def _member(archive: zipfile.ZipFile, key: str, file: Path) -> NDArray:
    place = f"{file}, {key}"
    names = [name for name in (f"{key}.npy", key) if name in archive.namelist()]
    info = archive.getinfo(names[0])
    if info.file_size > _MAX_MEMBER_BYTES:
        raise CameraError(
            f"{place}: unpacks to {info.file_size:.3g} bytes, wanted at most {_MAX_MEMBER_BYTES:.3g}; split it into takes"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CameraError(f"{place}: is packed by method {info.compress_type}; save it with numpy.savez")
    with archive.open(info) as member:
        data = member.read(info.file_size)  # a limit: without it, more may be unpacked than the directory tells
    return read_array(io.BytesIO(data), len(data), place)


def _check_end(opened: BinaryIO, length: int, file: Path) -> None:
    """Refuse a directory that would itself fill the memory: zipfile reads all of it on opening."""
    opened.seek(max(0, length - _END.size))
    end = opened.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise CameraError(f"{file} is not a whole .npz archive (it does not end like one); save it again")
    directory_bytes = _END.unpack(end)[5]
    opened.seek(max(0, length - _END.size - 20))
    is_zip64 = opened.read(4) == b"PK\6\7"
    if is_zip64 or directory_bytes > MAX_DIRECTORY_BYTES:
        raise CameraError(f"{file} has a directory of far more arrays than cameras need; save only the cameras")
    opened.seek(0)


def _size(values: NDArray, file: Path) -> tuple[int, int]:
    if values.shape != (2,) or not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise CameraError(
            f"{file}, size: must be (height, width) in whole pixels, got {values!r:.60}; save two integers"
        )
    height, width = (int(value) for value in values)
    return check_size((height, width), f"{file}, size")


def _fps(values: NDArray, file: Path) -> float:
    if values.size != 1 or not (np.isfinite(values).all() and values.item() > 0):
        raise CameraError(f"{file}, fps: must be one positive number, got {values!r:.60}; save a scalar")
    return float(values.item())
