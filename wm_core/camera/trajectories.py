"""Camera moves by name. A row of PRESETS is a function of how far a move has come, which gives rotation and centre.

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
from .intrinsics import MAX_FOV_DEG, MIN_FOV_DEG, choose_intrinsics
from .path import CameraPath, Provenance
from .rotation import pitch_rotation, rigid, roll_rotation, yaw_rotation

Poses = tuple[NDArray, NDArray]  # rotations (f, 3, 3) and centres (f, 3)
Zoom = Callable[[NDArray, float, float], NDArray]  # (amount reached, distance, half the field of view) -> focal factor

FALL, SWING = 6.0, 8.0  # of "settle": how fast it comes to rest and how fast it swings, in the time of the move

EASINGS: dict[str, Callable[[NDArray], NDArray]] = {
    "linear": lambda progress: progress,
    "smooth": lambda progress: progress**2 * (3 - 2 * progress),  # starts and ends at rest
    "slow start": lambda progress: progress**2,
    "slow end": lambda progress: progress * (2 - progress),
    "settle": lambda progress: _spring(progress) / _spring(np.float64(1)),  # a tenth too far, and back to rest
}


@dataclass(frozen=True)
class Preset:
    """A named move; unit is that of its amount, distance says whether it moves around a point ahead.

    easing: what it is unless another is asked for; zoom: of moves that change the focal length.
    """

    name: str
    move: Callable[[NDArray, float], Poses]  # (amount reached per frame, distance) -> poses
    unit: Literal["m", "deg"]
    amount: float
    uses_distance: bool = False
    zoom: Zoom | None = None
    easing: str = "smooth"


def preset_path(
    name: str,
    *,
    frames: int,
    size: tuple[int, int],
    amount: float | None = None,
    distance: float = 3.0,
    easing: str | None = None,
    fov_deg: float | None = None,
    intrinsics: ArrayLike | None = None,
    fps: float = 16.0,
) -> CameraPath:
    """The path of a preset.

    amount: metres or degrees, by the preset; None takes its default, a negative one goes the other way.
    distance: metres to the point that orbit, crane, spiral and dolly-zoom look at. easing: None takes the preset's. size: (h, w) pixels; fov_deg and intrinsics as in
    choose_intrinsics.
    """
    preset = _find(name)
    easing = preset.easing if easing is None else easing
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
    reached = np.radians(reached) if preset.unit == "deg" else reached
    c2w = rigid(*preset.move(reached, distance))
    rows, intrinsics_source = choose_intrinsics(size, frames, intrinsics=intrinsics, fov_deg=fov_deg)
    rows = rows if preset.zoom is None else _zoomed(rows, preset, reached, distance, size)
    around = f" at {distance:g} m" if preset.uses_distance else ""
    source = f"preset:{name} {amount:g} {preset.unit}{around} {easing}" if amount else f"preset:{name}"
    return CameraPath(c2w, rows, size, fps, Provenance(source=source, intrinsics_source=intrinsics_source))


def _find(name: str) -> Preset:
    if name not in PRESETS:
        raise CameraError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def _zoomed(rows: NDArray, preset: Preset, reached: NDArray, distance: float, size: tuple[int, int]) -> NDArray:
    """Intrinsics (f, 4) with the focal lengths that the move gives; CameraError outside the fields of view that exist."""
    half = np.arctan(size[1] / 2 / rows[0, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = preset.zoom(reached, distance, half)
        degrees = 2 * np.degrees(np.arctan(np.tan(half) / factor))
    outside = ~((factor > 0) & (degrees >= MIN_FOV_DEG) & (degrees <= MAX_FOV_DEG))
    if outside.any():
        raise CameraError(
            f"{preset.name} leaves fields of view of {MIN_FOV_DEG:g} to {MAX_FOV_DEG:g} degrees at frame {int(outside.argmax())} "
            f"of {len(rows)}, from {2 * np.degrees(half):.0f} degrees at the start; take a smaller amount"
            + (", or a larger distance" if preset.uses_distance else "")
        )
    return np.concatenate([rows[:, :2] * factor[:, None], rows[:, 2:]], 1)


def _spring(progress: NDArray) -> NDArray:
    """Step response of a spring with too little damping, at rest at the start."""
    swing = np.cos(SWING * progress) + FALL / SWING * np.sin(SWING * progress)
    return 1 - np.exp(-FALL * progress) * swing


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


def _roll(reached: NDArray, distance: float, *, sign: int) -> Poses:
    return roll_rotation(sign * reached), np.zeros((len(reached), 3))


def _spiral(reached: NDArray, distance: float, *, sign: int) -> Poses:
    """An orbit that comes nearer as it goes: every full turn halves the distance."""
    rotation, _ = _orbit(reached, distance, sign=sign)
    near = distance * 0.5 ** (np.abs(reached) / (2 * np.pi))
    return rotation, distance * np.array((0, 0, 1)) - near[:, None] * rotation[:, :, 2]


def _figure_eight(reached: NDArray, distance: float, *, size: float = 1.0) -> Poses:
    """A lying eight on the ground, once for every full turn, facing ahead; `size` metres to each side."""
    x, z = np.sin(reached), np.sin(2 * reached) / 2
    return _facing_ahead(len(reached)), size * np.stack([x, np.zeros_like(x), z], 1)


def _zoom(reached: NDArray, distance: float, half: float, *, sign: int) -> NDArray:
    """The field of view narrows by `reached` radians."""
    return np.tan(half) / np.tan(half - sign * reached / 2)


def _dolly_zoom(reached: NDArray, distance: float, half: float, *, sign: int) -> NDArray:
    """What stands `distance` ahead keeps its size while the camera comes nearer or goes away."""
    return (distance - sign * reached) / distance


def _facing_ahead(frames: int) -> NDArray:
    return np.tile(np.eye(3), (frames, 1, 1))


_STILL, _AHEAD, _BACK = (partial(_travel, along=(0, 0, z)) for z in (0, 1, -1))

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
        Preset("roll-left", partial(_roll, sign=-1), "deg", 15.0),
        Preset("roll-right", partial(_roll, sign=1), "deg", 15.0),
        Preset("zoom-in", _STILL, "deg", 20.0, zoom=partial(_zoom, sign=1)),
        Preset("zoom-out", _STILL, "deg", 20.0, zoom=partial(_zoom, sign=-1)),
        Preset("dolly-zoom-in", _AHEAD, "m", 1.5, uses_distance=True, zoom=partial(_dolly_zoom, sign=1)),
        Preset("dolly-zoom-out", _BACK, "m", 1.5, uses_distance=True, zoom=partial(_dolly_zoom, sign=-1)),
        Preset("push-in", _AHEAD, "m", 1.5, easing="settle"),
        Preset("spiral-left", partial(_spiral, sign=-1), "deg", 180.0, uses_distance=True),
        Preset("spiral-right", partial(_spiral, sign=1), "deg", 180.0, uses_distance=True),
        Preset("360-left", partial(_pan, sign=-1), "deg", 360.0),
        Preset("360-right", partial(_pan, sign=1), "deg", 360.0),
        Preset("figure-eight", _figure_eight, "deg", 360.0),
        Preset("crane-up", partial(_crane, sign=1), "m", 1.0, uses_distance=True),
        Preset("crane-down", partial(_crane, sign=-1), "m", 1.0, uses_distance=True),
    )
}
