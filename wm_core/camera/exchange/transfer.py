"""Path transfer: other programs' camera files in and out of this package, by the rows of FORMATS."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ...errors import CameraError, SanaWMError, StorageError
from ..path import CameraPath, Provenance
from .arrays import read_array_file
from .conversion import Axes, from_c2w, to_c2w
from .lens import LensWish, choose_lens
from .stored import Direction, StoredCameras
from .table import Format, find_format, format_for_writing, recognise
from .timing import choose_fps
from .whole_files import write_whole


def import_path(
    file: str | Path,
    *,
    format: str | None = None,
    convention: str | None = None,
    matrices: Direction | None = None,
    metres: float = 1.0,
    transposed: bool = False,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    intrinsics: ArrayLike | str | Path | None = None,
    fov_deg: float | None = None,
) -> CameraPath:
    """A camera path out of another program's file, or folder for COLMAP; the path keeps the file's world.

    format: a row of FORMATS; None: by name and content. convention: a row of CONVENTIONS, matrices: "c2w" or "w2c";
    None: the format's own. metres: length of the file's unit, 0.01 for centimetres. transposed: the program writes its
    matrices column by column. size: (h, w) pixels. intrinsics: pixels of size, any shape of choose_intrinsics, or an
    .npy file of it. fov_deg: horizontal degrees. fps: frames per second.

    What the caller gives wins over what the file says. What neither says is assumed and named in the provenance: 16
    frames per second, 704 x 1280 pixels, a field of view; sizes that pixels depend on are not assumed.
    CameraError names the file, and the line or frame.
    """
    file = Path(file)
    row = find_format(format) if format is not None else recognise(file)
    if row.is_folder and os.path.isfile(file):
        file = file.parent
    if transposed and not row.holds_matrices:
        raise CameraError(f"{row.name} holds quaternions, which are not transposed; leave transposed out")
    asked = Axes(convention or row.convention, matrices or row.direction, metres, transposed)
    wish = _lens_wish(size, intrinsics, fov_deg)
    stored = row.read(file)
    try:
        axes = Axes(asked.convention, _direction(stored, row, matrices), metres, transposed)
        return _assemble(stored, axes, wish, fps, f"file:{file.name} as {row.name}")
    except SanaWMError as error:
        raise CameraError(f"{file}: {error}") from error


def export_path(
    path: CameraPath,
    file: str | Path,
    *,
    format: str | None = None,
    convention: str | None = None,
    matrices: Direction | None = None,
    metres: float = 1.0,
) -> list[Path]:
    """Write a path as another program's file, or folder for COLMAP, and return the files written: all, or none.

    format: a row of FORMATS; None: by the name, where that is enough. convention, matrices, metres: as in import_path.
    What a format does not carry (Format.carries) is left out, but .npy gets a second file of intrinsics beside it.
    CameraError for what cannot be meant, StorageError for what cannot be written.
    """
    file = Path(file)
    row = find_format(format) if format is not None else format_for_writing(file)
    axes = Axes(convention or row.convention, matrices or row.direction, metres)
    contents = _contents(path, file, row, axes)
    if row.is_folder:
        _make_folder(file)
    return write_whole(contents)


def exported_text(path: CameraPath, format: str) -> str:
    """What export_path writes into the single file of a text format, in the format's own axes."""
    row = find_format(format)
    (content,) = _contents(path, Path(f"camera{row.names[0]}"), row, Axes(row.convention, row.direction)).values()
    return content.decode()


def _contents(path: CameraPath, file: Path, row: Format, axes: Axes) -> dict[Path, bytes]:
    """What each file of the format is to hold."""
    height, width = path.size
    stored = StoredCameras(
        from_c2w(path.c2w, axes),
        path.intrinsics.astype(np.float64),
        size=(height, width),
        times_s=np.arange(path.frames) / path.fps,
        fps=path.fps,
        direction=axes.direction,
    )
    return row.write(stored, file)


def _direction(stored: StoredCameras, row: Format, asked: Direction | None) -> Direction:
    direction = asked or stored.direction or row.direction
    if direction == "unsaid":
        raise CameraError(
            "its matrices are called extrinsics, which is w2c in some programs and c2w in others; give matrices"
        )
    return direction


def _lens_wish(
    size: tuple[int, int] | None, intrinsics: ArrayLike | str | Path | None, fov_deg: float | None
) -> LensWish:
    if isinstance(intrinsics, (str, Path)):
        return LensWish(size, read_array_file(Path(intrinsics)), fov_deg, Path(intrinsics).name)
    return LensWish(size, intrinsics, fov_deg)


def _assemble(stored: StoredCameras, axes: Axes, wish: LensWish, fps: float | None, source: str) -> CameraPath:
    c2w, done = to_c2w(stored.matrices, axes)
    lens = choose_lens(stored, wish)
    rate, timed = choose_fps(stored, fps)
    conversions = (*stored.notes, *done, *lens.notes, *timed)
    provenance = Provenance(source=source, conversions=conversions, intrinsics_source=lens.source)
    return CameraPath(c2w, lens.intrinsics, lens.size, rate, provenance)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be made: {error}; choose another") from error
