"""Keyframes of a path that has none: as few keys as keep the path to a tolerance, so that it can be edited by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError
from . import quaternion
from .intrinsics import centred_views_deg
from .keyframes import MAX_KEYS, Key, Keyframes, keyframed_path
from .path import CameraPath
from .rotation import angle_between, angles_of
from .trajectories import PRESETS, preset_path

METRES, DEGREES = 0.01, 0.25  # that much off in a frame is not seen


@dataclass(frozen=True)
class Fit:
    """Keyframes, and how far their path is from the given one in the worst frame: metres, degrees, degrees of view."""

    keyframes: Keyframes
    metres: float
    degrees: float
    view_degrees: float


def keyframes_of(path: CameraPath, *, metres: float = METRES, degrees: float = DEGREES) -> Fit:
    """Keys whose path stays within metres and degrees (of turn, and of view) of a path of at least one frame.

    Between two keys the position is the cubic Bezier curve nearest to the path in least squares (Schneider 1990), the turn
    is even, the field of view linear. Where they are too far off, one more key is set at the worst frame. The principal
    point and a view that is not square are not kept: keys have one horizontal field of view. CameraError if MAX_KEYS do
    not suffice.
    """
    if not (metres > 0 and degrees > 0):
        raise CameraError(f"tolerances must be above 0, got {metres:g} m and {degrees:g} degrees")
    measured = _Measured.of(path)
    at = _split(measured, metres, degrees)
    keyframes = Keyframes(
        _keys(measured, at), path.frames, path.size, path.fps, positions="bezier", turns="slerp", timing="keys"
    )
    return Fit(keyframes, *_apart(path, keyframed_path(keyframes)))


def preset_keyframes(name: str, *, easing: str | None = None, **options: Any) -> Fit:
    """Keyframes of a preset: two keys and the easing between them where that is the same move, else those of its path.

    options: as in preset_path.
    """
    path = preset_path(name, easing=easing, **options)
    even = _Measured.of(preset_path(name, easing="linear", **options))
    first, *rest = _keys(even, sorted({0, path.frames - 1}))
    keys = (replace(first, easing=easing or PRESETS[name].easing), *rest)
    for turns in ("slerp", "angles"):  # angles: of a full turn, whose ends are the same
        keyframes = Keyframes(keys, path.frames, path.size, path.fps, positions="bezier", turns=turns)
        fit = Fit(keyframes, *_apart(path, keyframed_path(keyframes)))
        if fit.metres <= METRES and max(fit.degrees, fit.view_degrees) <= DEGREES:
            return fit
    return keyframes_of(path)


@dataclass(frozen=True)
class _Measured:
    centre: NDArray  # (f, 3) metres
    turn: NDArray  # (f, 4)
    fov: NDArray  # (f,) degrees
    angles: NDArray  # (f, 3) degrees: yaw without jumps, pitch, roll

    @classmethod
    def of(cls, path: CameraPath) -> _Measured:
        c2w = path.c2w.astype(np.float64)
        angles = np.degrees(np.unwrap(angles_of(c2w[:, :3, :3]), axis=0))
        return cls(c2w[:, :3, 3], quaternion.from_rotation(c2w[:, :3, :3]), centred_views_deg(path.intrinsics, path.size), angles)


def _split(measured: _Measured, metres: float, degrees: float) -> list[int]:
    """Frames of the keys: the worst frame of a piece splits it, until none is too far off."""
    at, open_pieces = {0, len(measured.fov) - 1}, [(0, len(measured.fov) - 1)]
    while open_pieces:
        first, last = open_pieces.pop()
        if last - first < 2:
            continue
        off = _off(measured, first, last) / (metres, degrees, degrees)
        worst = int(off.max(1).argmax())
        if off[worst].max() > 1:
            middle = first + 1 + worst
            at.add(middle)
            if len(at) > MAX_KEYS:
                raise CameraError(
                    f"the path takes more than {MAX_KEYS} keys to stay within {metres:g} m and {degrees:g} degrees; smooth it "
                    "first, or use it as it is"
                )
            open_pieces += [(first, middle), (middle, last)]
    return sorted(at)


def _off(measured: _Measured, first: int, last: int) -> NDArray:
    """(n, 3) metres, degrees of turn and of view that one piece is off, at each frame between its ends."""
    share = np.arange(1, last - first) / (last - first)
    inside = slice(first + 1, last)
    curve = _curve(measured, first, last, *_handles(measured, first, last))
    turn = quaternion.slerp(
        np.repeat(measured.turn[first][None], len(share), 0), np.repeat(measured.turn[last][None], len(share), 0), share
    )
    cosine = np.abs((turn * measured.turn[inside]).sum(1)).clip(0, 1)
    view = measured.fov[first] + (measured.fov[last] - measured.fov[first]) * share
    return np.stack(
        [
            np.linalg.norm(curve - measured.centre[inside], axis=1),
            np.degrees(2 * np.arccos(cosine)),
            np.abs(view - measured.fov[inside]),
        ],
        axis=1,
    )


def _basis(count: int) -> NDArray:
    """(count - 1, 4) weights of the four control points of a cubic at the frames between its ends."""
    s = np.arange(1, count) / count
    return np.stack([(1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3], axis=1)


def _handles(measured: _Measured, first: int, last: int) -> tuple[NDArray, NDArray]:
    """What leaves the first key and arrives at the last one, (3,) each, from the key."""
    here, there = measured.centre[first], measured.centre[last]
    third = (there - here) / 3
    if last - first < 3:  # fewer frames than handles
        return third, -third
    weight = _basis(last - first)
    straight = np.stack([here, here + third, there - third, there])
    rest = measured.centre[first + 1 : last] - weight @ straight
    change = np.linalg.lstsq(weight[:, 1:3], rest, rcond=None)[0]
    return third + change[0], -third + change[1]


def _curve(measured: _Measured, first: int, last: int, leaves: NDArray, arrives: NDArray) -> NDArray:
    here, there = measured.centre[first], measured.centre[last]
    return _basis(last - first) @ np.stack([here, here + leaves, there + arrives, there])


def _keys(measured: _Measured, at: list[int]) -> tuple[Key, ...]:
    handles = [_handles(measured, *piece) for piece in pairwise(at)]
    none = np.zeros(3)
    keys = []
    for number, frame in enumerate(at):
        yaw, pitch, roll = measured.angles[frame].tolist()
        keys.append(
            Key(
                frame,
                tuple(measured.centre[frame].tolist()),
                yaw,
                pitch,
                roll,
                float(measured.fov[frame]),
                arrives=tuple((handles[number - 1][1] if number else none).tolist()),
                leaves=tuple((handles[number][0] if number < len(handles) else none).tolist()),
            )
        )
    return tuple(keys)


def _apart(path: CameraPath, made: CameraPath) -> tuple[float, float, float]:
    a, b = path.c2w.astype(np.float64), made.c2w.astype(np.float64)
    views = [centred_views_deg(each.intrinsics, each.size) for each in (path, made)]
    return (
        float(np.linalg.norm(a[:, :3, 3] - b[:, :3, 3], axis=1).max()),
        float(np.degrees(angle_between(a[:, :3, :3], b[:, :3, :3])).max()),
        float(np.abs(views[0] - views[1]).max()),
    )
