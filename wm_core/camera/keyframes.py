"""Keyframes: a few cameras at stated frames, and the path through all of them.

Every rule here is plain arithmetic of few lines, because the editor in the browser draws the same path with its own copy.
Between two keys a share of 0 to 1 passes by the first one's easing; place = number of the first key + that share. Position,
turn and field of view are curves over place. Before the first key and behind the last one the camera stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError
from . import quaternion
from .actions import MAX_FRAMES
from .intrinsics import GUESSED_FOV_DEG, MAX_FOV_DEG, MIN_FOV_DEG, from_fov
from .path import CameraPath, Provenance
from .rotation import looking_rotation, pitch_rotation, rigid, roll_rotation, yaw_rotation
from .spline import catmull_rom, hermite
from .trajectories import EASINGS

POSITIONS = ("catmull-rom", "bezier", "linear")
TURNS = ("squad", "slerp", "angles")
TIMINGS = ("keys", "even")
MAX_KEYS = 1000
PIECES = 64  # straight pieces that the length of a curve between two keys is the sum of

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Key:
    """One camera. Metres and degrees, OpenCV: x right, y down, z ahead; yaw to the right, pitch up, roll to the right.

    arrives, leaves: handles of a Bezier curve from the position, towards the key before and the key behind. pivot: a point
    that the camera looks at here, whatever yaw and pitch say; between two keys with pivots it looks at what lies between them.
    """

    frame: int
    position: Point = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fov: float = GUESSED_FOV_DEG
    easing: str = "linear"
    arrives: Point = (0.0, 0.0, 0.0)
    leaves: Point = (0.0, 0.0, 0.0)
    pivot: Point | None = None

    def __post_init__(self) -> None:
        numbers = (*self.position, self.yaw, self.pitch, self.roll, *self.arrives, *self.leaves, *(self.pivot or ()))
        if not all(math.isfinite(number) for number in numbers):
            raise CameraError(f"the key at frame {self.frame} must have finite numbers; type them again")
        if not MIN_FOV_DEG <= self.fov <= MAX_FOV_DEG:
            raise CameraError(
                f"the key at frame {self.frame} has a field of view of {self.fov:g} degrees, wanted {MIN_FOV_DEG:g} to "
                f"{MAX_FOV_DEG:g}; a photo has 40 to 75"
            )
        if self.easing not in EASINGS:
            raise CameraError(f"the key at frame {self.frame} must ease by {', '.join(EASINGS)}, got {self.easing!r}")


@dataclass(frozen=True)
class Keyframes:
    """Keys in the order of their frames, and how the path goes through them.

    size: (h, w) pixels. positions: see POSITIONS, Catmull-Rom needs no handles. turns: squad is smooth, slerp even between
    two keys, both the shorter way; angles turns yaw, pitch and roll as numbers, so that 360 degrees are a full turn.
    timing: keys, or even: from the first key to the last in equal steps in metres, with the first key's easing.
    """

    keys: tuple[Key, ...]
    frames: int
    size: tuple[int, int]
    fps: float = 16.0
    positions: str = "catmull-rom"
    turns: str = "squad"
    timing: str = "keys"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("positions", self.positions, POSITIONS),
            ("turns", self.turns, TURNS),
            ("timing", self.timing, TIMINGS),
        ):
            if value not in known:
                raise CameraError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not 0 < self.frames <= MAX_FRAMES:
            raise CameraError(f"a path has 1 to {MAX_FRAMES} frames, got {self.frames}; split it into takes")
        if not 0 < len(self.keys) <= MAX_KEYS:
            raise CameraError(f"a path has 1 to {MAX_KEYS} keys, got {len(self.keys)}; import a longer one as a file")
        at = [key.frame for key in self.keys]
        if at[0] < 0 or any(b <= a for a, b in pairwise(at)):
            raise CameraError(f"keys must stand at frames from 0 on, each behind the one before it, got {at[:20]}")


def keyframed_path(keyframes: Keyframes) -> CameraPath:
    """The camera at every frame."""
    keys = keyframes.keys
    place = _places(keyframes)
    centre = _centres(keyframes, place)
    rotation = _rotations(keyframes, place, centre)
    fov = np.interp(place, np.arange(len(keys)), [key.fov for key in keys])
    views, at = np.unique(fov, return_inverse=True)
    rows = np.stack([from_fov(float(view), keyframes.size) for view in views])[at]
    source = f"{len(keys)} keyframe{'s' if len(keys) > 1 else ''}"
    provenance = Provenance(source=source, intrinsics_source="field of view")
    return CameraPath(rigid(rotation, centre), rows, keyframes.size, keyframes.fps, provenance)


def _places(keyframes: Keyframes) -> NDArray:
    """Where between the keys each frame is, (f,) in [0, keys - 1]."""
    keys = keyframes.keys
    at = np.array([key.frame for key in keys], np.float64)
    frames = np.clip(np.arange(keyframes.frames), at[0], at[-1])
    if len(keys) == 1:
        return np.zeros(len(frames))
    if keyframes.timing == "even":
        share = EASINGS[keys[0].easing]((frames - at[0]) / (at[-1] - at[0]))
        return _evenly(keyframes, np.clip(share, 0, 1))
    first = np.clip(np.searchsorted(at, frames, side="right") - 1, 0, len(keys) - 2)
    share = (frames - at[first]) / (at[first + 1] - at[first])
    for i in np.unique(first):
        share[first == i] = EASINGS[keys[i].easing](share[first == i])
    return first + np.clip(share, 0, 1)  # "settle" would go past the key


def _evenly(keyframes: Keyframes, share: NDArray) -> NDArray:
    """Places at shares of the whole length. A path that stays where it is goes from key to key in equal times."""
    fine = np.arange((len(keyframes.keys) - 1) * PIECES + 1) / PIECES
    steps = np.linalg.norm(np.diff(_centres(keyframes, fine), axis=0), axis=1)
    if not steps.sum() > 0:
        return share * (len(keyframes.keys) - 1)
    return np.interp(share, np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum(), fine)


def _centres(keyframes: Keyframes, place: NDArray) -> NDArray:
    """(n, 3) metres."""
    keys = keyframes.keys
    points = np.array([key.position for key in keys], np.float64)
    if len(keys) == 1:
        return np.repeat(points, len(place), 0)
    if keyframes.positions == "catmull-rom":
        return catmull_rom(points, place)
    first = np.clip(np.floor(place).astype(int), 0, len(keys) - 2)
    share = place - first
    if keyframes.positions == "linear":
        return points[first] + (points[first + 1] - points[first]) * share[:, None]
    leaves = 3 * np.array([key.leaves for key in keys], np.float64)  # a Bezier handle is a third of the tangent
    meets = -3 * np.array([key.arrives for key in keys], np.float64)
    return hermite(points[first], points[first + 1], leaves[first], meets[first + 1], share)


def _rotations(keyframes: Keyframes, place: NDArray, centre: NDArray) -> NDArray:
    """(n, 3, 3), looking at pivots where there are some."""
    keys = keyframes.keys
    angles = np.array([(key.yaw, key.pitch, key.roll) for key in keys], np.float64)
    turned = _turned(np.radians(angles))
    for i, key in enumerate(keys):
        if key.pivot is not None:
            ahead = np.subtract(key.pivot, key.position)
            looking = looking_rotation(ahead[None], f"key {i + 1}, at frame {key.frame},")[0]
            turned[i] = looking @ roll_rotation(np.radians(key.roll))
    if keyframes.turns == "angles" and not any(key.pivot for key in keys):
        rotation = _turned(np.radians(catmull_rom(angles, place)))
    else:
        ends = quaternion.from_rotation(turned)
        way = quaternion.squad if keyframes.turns == "squad" else quaternion.piecewise
        rotation = quaternion.to_rotation(way(ends, place))
    return _on_pivots(keyframes, place, centre, rotation)


def _on_pivots(keyframes: Keyframes, place: NDArray, centre: NDArray, rotation: NDArray) -> NDArray:
    keys = keyframes.keys
    for i, (key, following) in enumerate(pairwise(keys)):
        if key.pivot is None or following.pivot is None:
            continue
        here = (place >= i) & (place <= i + 1)
        share = (place[here] - i)[:, None]
        point = np.array(key.pivot) + np.subtract(following.pivot, key.pivot) * share
        roll = np.radians(key.roll + (following.roll - key.roll) * share[:, 0])
        looking = looking_rotation(point - centre[here], "the camera of frame {}", np.flatnonzero(here))
        rotation[here] = looking @ roll_rotation(roll)
    return rotation


def _turned(angles: NDArray) -> NDArray:
    """Rotations of (n, 3) yaw, pitch and roll in radians."""
    return yaw_rotation(angles[:, 0]) @ pitch_rotation(angles[:, 1]) @ roll_rotation(angles[:, 2])
