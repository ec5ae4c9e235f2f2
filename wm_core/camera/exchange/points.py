"""Point clouds: the sparse points of a COLMAP model, for a picture of the place a camera path runs through."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..conventions import CONVENTIONS
from .colmap import ColmapPoint
from .colmap_binary import BINARY_POINTS, read_points_binary
from .colmap_text import TEXT_POINTS, read_points_text
from .conversion import FARTHEST, Axes

MAX_POINTS = 1_000_000
_READERS = {BINARY_POINTS: read_points_binary, TEXT_POINTS: read_points_text}


@dataclass(frozen=True, eq=False)
class Points:
    """positions: (n, 3) float32, metres, OpenCV world. colours: (n, 3) uint8 RGB. n may be 0."""

    positions: NDArray = field(repr=False)
    colours: NDArray = field(repr=False)
    conversions: tuple[str, ...] = ()  # what was done to them, oldest first


def import_points(file: str | Path, *, convention: str = "opencv", metres: float = 1.0) -> Points:
    """The points beside the cameras of a COLMAP folder (or of a file in it), in the world import_path gives.

    `convention` and `metres` are as in import_path and must be the same there and here. More than MAX_POINTS are
    thinned evenly, every second, fourth and so on, and not refused: the points only show a place, half of them show
    it as well, and a user can hardly thin a model by hand. CameraError if there are none, or they are damaged.
    """
    file, axes = Path(file), Axes(convention, "c2w", metres)
    folder = file if file.is_dir() else file.parent
    name = next((name for name in _READERS if (folder / name).is_file()), None)
    if name is None:
        raise CameraError(f"{folder} has no {' or '.join(_READERS)}, wanted a folder of a COLMAP model; check its name")
    values, total = _thinned(_READERS[name](folder))
    if len(values) and np.abs(values[:, :3]).max() > FARTHEST / metres:
        raise CameraError(f"{folder / name}: points must be within {FARTHEST:g} m; check metres")
    world = np.array(CONVENTIONS[axes.convention].world, dtype=np.float64)
    positions = values[:, :3] * metres @ world.T
    notes = (f"thinned from {total} points to {len(values)}",) if total > len(values) else ()
    return Points(positions.astype(np.float32), values[:, 3:].astype(np.uint8), notes)


def _thinned(points: Iterable[ColmapPoint]) -> tuple[NDArray, int]:
    """Evenly chosen rows x, y, z, r, g, b (n, 6) float64 of at most MAX_POINTS points, and how many there were."""
    kept, stride, total = array("d"), 1, 0
    for point in points:
        if total % stride == 0:
            kept.extend(point.position)
            kept.extend(point.colour)
        total += 1
        if len(kept) > 6 * MAX_POINTS:
            kept = array("d", np.frombuffer(kept, dtype=np.float64).reshape(-1, 6)[::2].tobytes())
            stride *= 2
    return np.array(kept, dtype=np.float64).reshape(-1, 6), total
