"""What our own glTF scenes say of a camera beside glTF: its pictures, its rate, and the lens of every frame.

Core glTF has one view for the whole animation, and no principal point. They stand in the extras of the camera's node, which other
programs keep or leave alone: {"sana_wm": {"width", "height", "fps", "frames", "fx": [...], "fy", "cx", "cy"}}, in pixels, one
number where all frames have the same. Lists of plain numbers, because Blender takes no deeper ones as properties of an object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from ..intrinsics import resample_intrinsics
from ..path import CameraPath
from .lens import LARGEST, check_size
from .timing import MAX_FPS, MIN_FPS

KEY = "sana_wm"
_LENS = ("fx", "fy", "cx", "cy")
_NEAR_VIEW = 1e-4  # radians between the view of the scene and that of these extras
_NEAR_FRAME = 0.05  # frames between the end of the animation and that of these extras
_NEXT = "remove the extras of the camera, or export the scene again"


@dataclass(frozen=True, eq=False)
class OwnLens:
    """size (h, w) pixels, frames per second, and intrinsics (f, 4) float32 in pixels of size."""

    size: tuple[int, int]
    fps: float
    intrinsics: NDArray = field(repr=False)

    @property
    def yfov(self) -> float:
        """The vertical view of the first frame in radians, which is what the scene itself says."""
        return vertical_view(self.intrinsics[0], self.size)

    def fits(self, yfov: float, end_s: float) -> bool:
        """Whether the scene is still the one that these extras were written with: nobody changed its view or its length."""
        last = len(self.intrinsics) - 1
        return abs(yfov - self.yfov) < _NEAR_VIEW and abs(end_s * self.fps - last) < _NEAR_FRAME

    def rows(self, frames: int, fps: float, size: tuple[int, int]) -> NDArray:
        """Intrinsics (frames, 4) float32 at `fps`, in pixels of pictures of another size (h, w) with the same vertical view."""
        at = np.arange(frames) * (self.fps / fps)
        known = np.arange(len(self.intrinsics))
        rows = np.stack([np.interp(at, known, column) for column in self.intrinsics.T], 1)
        middle = np.array((0, 0, self.size[1] / 2, self.size[0] / 2))
        new_middle = np.array((0, 0, size[1] / 2, size[0] / 2))
        return ((rows - middle) * (size[0] / self.size[0]) + new_middle).astype(np.float32)


def vertical_view(intrinsics: NDArray, size: tuple[int, int]) -> float:
    """Radians that intrinsics (4,) see of a picture (h, w) from top to bottom, as if its centre were in the middle."""
    return 2 * math.atan(size[0] / 2 / float(intrinsics[1]))


def write_extras(path: CameraPath) -> dict[str, Any]:
    """The extras of a node with this path's camera."""
    height, width = path.size
    columns = {}
    for name, column in zip(_LENS, path.intrinsics.T, strict=True):
        kept = column[:1] if (column == column[0]).all() else column
        columns[name] = [float(str(number)) for number in kept]  # the shortest text that gives the float32 again
    return {KEY: {"width": width, "height": height, "fps": path.fps, "frames": path.frames, **columns}}


def read_extras(node: Mapping[str, Any], place: str) -> OwnLens | None:
    """What write_extras put into a node; None if there is nothing of it. The CameraError begins with `place`."""
    extras = node.get("extras")
    given = extras.get(KEY) if isinstance(extras, Mapping) else None
    if given is None:
        return None
    place = f"{place}, extras {KEY}"
    if not isinstance(given, Mapping):
        raise CameraError(f"{place}: must be an object, got {given!r:.60}; {_NEXT}")
    fps, frames = given.get("fps"), given.get("frames")
    if not _is_within(fps, MIN_FPS, MAX_FPS):
        raise CameraError(f"{place}: fps must be {MIN_FPS:g} to {MAX_FPS:g}, got {fps!r:.40}; {_NEXT}")
    if not isinstance(frames, int) or not _is_within(frames, 1, MAX_FRAMES):
        raise CameraError(f"{place}: frames must be 1 to {MAX_FRAMES}, got {frames!r:.40}; {_NEXT}")
    size = check_size((given.get("height"), given.get("width")), f"{place}: height and width")
    columns = [_column(given.get(name), frames, f"{place}: {name}") for name in _LENS]
    lens = np.stack(columns, 1)
    if (lens[:, :2] <= 0).any():
        raise CameraError(f"{place}: focal lengths must be positive pixels, got {lens[:, :2].min():g}; {_NEXT}")
    return OwnLens(size, float(fps), lens)


def _column(given: Any, frames: int, place: str) -> NDArray:
    """(frames,) float32 of a list of as many numbers, or of one."""
    if not isinstance(given, list) or len(given) not in (1, frames) or not all(map(_is_pixel, given)):
        raise CameraError(f"{place} must be 1 or {frames} numbers, got {given!r:.60}; {_NEXT}")
    return resample_intrinsics(np.array(given, np.float64)[:, None], frames)[:, 0]


def _is_pixel(value: Any) -> bool:
    return _is_within(value, -LARGEST, LARGEST)


def _is_within(value: Any, low: float, high: float) -> bool:
    """Whether it is a number from low to high; NaN is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
