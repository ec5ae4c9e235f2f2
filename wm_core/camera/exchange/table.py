"""The format table: one row for each file format of other programs, and how a file finds its row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ...errors import CameraError
from .archive import is_npz, read_npz, write_npz
from .arrays import is_npy, read_npy, write_npy
from .colmap_binary import BINARY_NAMES, BINARY_POINTS, read_colmap_binary, write_colmap_binary
from .colmap_text import TEXT_NAMES, TEXT_POINTS, read_colmap_text, write_colmap_text
from .nerfstudio import is_nerfstudio, read_nerfstudio, write_nerfstudio
from .source import open_source
from .stored import Direction, StoredCameras
from .trajectory_text import (
    is_kitti,
    is_realestate10k,
    is_tum,
    read_kitti,
    read_realestate10k,
    read_tum,
    write_kitti,
    write_realestate10k,
    write_tum,
)

_HEAD_BYTES = 65536


@dataclass(frozen=True)
class Format:
    """How one program keeps cameras on the disk."""

    name: str
    names: tuple[str, ...]  # suffixes of its file, or the names of the files that its folder must hold
    convention: str  # a row of CONVENTIONS
    direction: Direction
    carries: tuple[str, ...]  # of "intrinsics", "size" and "time"
    read: Callable[[Path], StoredCameras]
    write: Callable[[StoredCameras, Path], dict[Path, bytes]]  # what each file is to hold
    recognises: Callable[[bytes], bool] | None = None  # from the first _HEAD_BYTES of a file; None: a folder
    points: str | None = None  # the third file of a folder; None: the format is a single file
    holds_matrices: bool = True  # no quaternions, so they may be transposed

    @property
    def is_folder(self) -> bool:
        return self.points is not None

    @property
    def label(self) -> str:
        return f"{self.name} ({'+'.join(self.names) if self.is_folder else ' '.join(self.names)})"


_LENS = ("intrinsics", "size")
_ROWS = (
    Format("npy", (".npy",), "opencv", "c2w", (), read_npy, write_npy, is_npy),
    Format("npz", (".npz",), "opencv", "c2w", (*_LENS, "time"), read_npz, write_npz, is_npz),
    Format("tum", (".tum", ".txt"), "opencv", "c2w", ("time",), read_tum, write_tum, is_tum, holds_matrices=False),
    Format("kitti", (".kitti", ".txt"), "opencv", "c2w", (), read_kitti, write_kitti, is_kitti),
    Format(
        "realestate10k",
        (".txt",),
        "opencv",
        "w2c",
        ("intrinsics", "time"),
        read_realestate10k,
        write_realestate10k,
        is_realestate10k,
    ),
    Format("nerfstudio", (".json",), "blender", "c2w", _LENS, read_nerfstudio, write_nerfstudio, is_nerfstudio),
    Format(
        "colmap-binary",
        BINARY_NAMES,
        "opencv",
        "w2c",
        _LENS,
        read_colmap_binary,
        write_colmap_binary,
        points=BINARY_POINTS,
        holds_matrices=False,
    ),
    Format(
        "colmap-text",
        TEXT_NAMES,
        "opencv",
        "w2c",
        _LENS,
        read_colmap_text,
        write_colmap_text,
        points=TEXT_POINTS,
        holds_matrices=False,
    ),
)
FORMATS: Mapping[str, Format] = MappingProxyType({row.name: row for row in _ROWS})


def find_format(name: str) -> Format:
    """The row of that name; CameraError names the known ones."""
    if name not in FORMATS:
        raise CameraError(f"format must be one of {', '.join(FORMATS)}, got {name!r:.60}")
    return FORMATS[name]


def recognise(file: Path) -> Format:
    """The row of an existing file or folder: by name, and where several share it, by content. COLMAP prefers binary."""
    folders = [row for row in FORMATS.values() if row.is_folder]
    if os.path.isdir(file):
        whole = [row for row in folders if all(os.path.isfile(file / name) for name in row.names)]
        if not whole:
            inner = file / "sparse" / "0"
            advice = f"choose {inner}" if os.path.isdir(inner) else "choose the folder of one model, such as sparse/0"
            raise CameraError(f"{file} holds none of {_labels(folders)}; {advice}")
        return whole[0]
    for row in folders:
        if file.name in (*row.names, row.points):
            return row
    named = _named(file)
    if len(named) == 1:
        return named[0]
    with open_source(file) as (opened, _):
        head = opened.read(_HEAD_BYTES)
    for row in FORMATS.values():
        if row.recognises and row.recognises(head):
            return row
    raise CameraError(
        f"{file} is in none of the known formats, it begins with {head[:24]!r}; known are {_labels(FORMATS.values())}"
    )


def format_for_writing(file: Path) -> Format:
    """The row that the name of a file yet to be written means; CameraError if several do, or none."""
    named = (
        [row for row in FORMATS.values() if row.is_folder] if os.path.isdir(file) or not file.suffix else _named(file)
    )
    if len(named) != 1:
        among = _labels(named or FORMATS.values())
        raise CameraError(f"the name {file.name} does not tell a format; give format as one of {among}")
    return named[0]


def _named(file: Path) -> list[Format]:
    return [row for row in FORMATS.values() if not row.is_folder and file.suffix.lower() in row.names]


def _labels(rows: Iterable[Format]) -> str:
    return ", ".join(row.label for row in rows)
