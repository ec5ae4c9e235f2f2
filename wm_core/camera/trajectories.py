"""Camera moves by name. A row of PRESETS is a function of progress, 0 to 1, that gives rotation and centre.

Every preset starts at the identity, moves by its amount, and keeps OpenCV axes (x right, y down, z forward).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError
from .intrinsics import choose_intrinsics
from .path import CameraPath, Provenance
from .rotation import pitch_rotation, rigid, yaw_rotation

Poses = tuple[NDArray, NDArray]  # rotations (f, 3, 3) and centres (f, 3)

EASINGS: dict[str, Callable[[NDArray], NDArray]] = {
    "linear": lambda progress: progress,
    "smooth": lambda progress: progress**2 * (3 - 2 * progress),  # starts and ends at rest
}


@dataclass(frozen=True)
class Preset:
    """A named move; unit is that of its amount, distance says whether it moves around a point ahead."""

    name: str
    move: Callable[[NDArray, float], Poses]  # (amount reached per frame, distance) -> poses
    unit: Literal["m", "deg"]
    amount: float
    uses_distance: bool = False


def preset_path(
    name: str,
    *,
    frames: int,
    size: tuple[int, int],
    amount: float | None = None,
    distance: float = 3.0,
    easing: str = "smooth",
    fov_deg: float | None = None,
    intrinsics: ArrayLike | None = None,
    fps: float = 16.0,
) -> CameraPath:
    """The path of a preset.

    amount: metres or degrees, by the preset; None takes its default, a negative one goes the other way.
    distance: metres to the point that orbit and crane look at. size: (h, w) pixels; fov_deg and intrinsics as in
    choose_intrinsics.
    """
    preset = _find(name)
    if easing not in EASINGS:
        raise CameraError(f"easing must be one of {', '.join(EASINGS)}, got {easing!r}")
    if frames < 1:
        raise CameraError(f"a path has at least 1 frame, got {frames}")
    if not (math.isfinite(distance) and distance > 0):
        raise CameraError(f"distance must be a positive number of metres, got {distance}")
    amount = preset.amount if amount is None else amount
    if not math.isfinite(amount):
        raise CameraError(f"amount must be a finite number ({preset.unit}), got {amount}")
    reached = EASINGS[easing](np.arange(frames) / max(1, frames - 1)) * amount
    c2w = rigid(*preset.move(np.radians(reached) if preset.unit == "deg" else reached, distance))
    rows, intrinsics_source = choose_intrinsics(size, frames, intrinsics=intrinsics, fov_deg=fov_deg)
    around = f" at {distance:g} m" if preset.uses_distance else ""
    source = f"preset:{name} {amount:g} {preset.unit}{around} {easing}" if amount else f"preset:{name}"
    return CameraPath(c2w, rows, size, fps, Provenance(source=source, intrinsics_source=intrinsics_source))


def _find(name: str) -> Preset:
    if name not in PRESETS:
        raise CameraError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def _travel(reached: NDArray, distance: float, *, along: tuple[int, int, int]) -> Poses:
    return _facing_ahead(len(reached)), reached[:, None] * np.array(along)


def _pan(reached: NDArray, distance: float, *, sign: int) -> Poses:
    return yaw_rotation(sign * reached), np.zeros((len(reached), 3))


def _tilt(reached: NDArray, distance: float, *, sign: int) -> Poses:
    return pitch_rotation(sign * reached), np.zeros((len(reached), 3))


def _orbit(reached: NDArray, distance: float, *, sign: int) -> Poses:
    """Circle the point `distance` ahead; moving to the right means turning to the left."""
    rotation = yaw_rotation(-sign * reached)
    return rotation, distance * ((0, 0, 1) - rotation[:, :, 2])


def _crane(reached: NDArray, distance: float, *, sign: int) -> Poses:
    """Rise or sink and keep looking at the point `distance` ahead."""
    height = sign * reached
    centre = height[:, None] * np.array((0, -1, 0))
    return pitch_rotation(-np.arctan2(height, distance)), centre


def _facing_ahead(frames: int) -> NDArray:
    return np.tile(np.eye(3), (frames, 1, 1))


PRESETS = {
    row.name: row
    for row in (
        Preset("hold", partial(_travel, along=(0, 0, 0)), "m", 0.0),
        Preset("dolly-in", partial(_travel, along=(0, 0, 1)), "m", 2.0),
        Preset("dolly-out", partial(_travel, along=(0, 0, -1)), "m", 2.0),
        Preset("truck-left", partial(_travel, along=(-1, 0, 0)), "m", 1.5),
        Preset("truck-right", partial(_travel, along=(1, 0, 0)), "m", 1.5),
        Preset("pedestal-up", partial(_travel, along=(0, -1, 0)), "m", 1.0),
        Preset("pedestal-down", partial(_travel, along=(0, 1, 0)), "m", 1.0),
        Preset("pan-left", partial(_pan, sign=-1), "deg", 45.0),
        Preset("pan-right", partial(_pan, sign=1), "deg", 45.0),
        Preset("tilt-up", partial(_tilt, sign=1), "deg", 25.0),
        Preset("tilt-down", partial(_tilt, sign=-1), "deg", 25.0),
        Preset("orbit-left", partial(_orbit, sign=-1), "deg", 60.0, uses_distance=True),
        Preset("orbit-right", partial(_orbit, sign=1), "deg", 60.0, uses_distance=True),
        Preset("crane-up", partial(_crane, sign=1), "m", 1.0, uses_distance=True),
        Preset("crane-down", partial(_crane, sign=-1), "m", 1.0, uses_distance=True),
    )
}
