"""Animations of glTF 2.0: values at any time, by the three interpolations of its appendix C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import quaternion
from ..spline import hermite


@dataclass(frozen=True, eq=False)
class Motion:
    """times (k,) seconds, rising; values (k, 1, d), or (k, 3, d) arriving tangent, value, leaving tangent of CUBICSPLINE.

    is_turn: the values are quaternions (x, y, z, w), which LINEAR turns evenly and the shorter way.
    """

    times: NDArray
    values: NDArray
    way: str
    is_turn: bool


def frame_times(frames: int, fps: float) -> NDArray:
    """The second of every frame, (f,) float32: files hold no more, so a file's own frames are met exactly."""
    return (np.arange(frames) / fps).astype(np.float32)


def sampled(motion: Motion, seconds: NDArray) -> NDArray:
    """Values (f, d); before the first and after the last key they stay."""
    times, values = motion.times, motion.values
    at = np.clip(seconds, times[0], times[-1])
    if len(times) == 1:
        return np.repeat(values[:, values.shape[1] // 2], len(at), 0)
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    gap = times[i + 1] - times[i]
    share = (at - times[i]) / gap
    if motion.way == "CUBICSPLINE":
        first, last = values[i], values[i + 1]
        return hermite(first[:, 1], last[:, 1], gap[:, None] * first[:, 2], gap[:, None] * last[:, 0], share)
    first, last = values[i, 0], values[i + 1, 0]
    if motion.way == "STEP":
        return np.where((share >= 1)[:, None], last, first)
    if not motion.is_turn:
        return first + (last - first) * share[:, None]
    ends = (q[:, [3, 0, 1, 2]] / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-12) for q in (first, last))
    return quaternion.slerp(*ends, share)[:, [1, 2, 3, 0]]
