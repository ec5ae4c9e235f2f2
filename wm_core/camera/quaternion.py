"""Unit quaternions (w, x, y, z) between rotations. kornia converts; it is imported on first use, which takes a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STRAIGHT = 1e-9  # radians below which a turn has no axis


def from_rotation(rotation: NDArray) -> NDArray:
    """Rotations (n, 3, 3) as quaternions (n, 4) float64, each on the side of the one before it, so that a run is smooth."""
    import torch
    from kornia.geometry.conversions import rotation_matrix_to_quaternion

    matrices = torch.from_numpy(np.array(rotation, np.float64))  # fp64: camera geometry
    return continuous(_unit(rotation_matrix_to_quaternion(matrices).numpy()))


def continuous(quaternion: NDArray) -> NDArray:
    """Quaternions (n, 4), each on the side of the one before it."""
    flips = np.where((quaternion[1:] * quaternion[:-1]).sum(1) < 0, -1.0, 1.0)
    return quaternion * np.concatenate([[1.0], np.cumprod(flips)])[:, None]


def to_rotation(quaternion: NDArray) -> NDArray:
    """Quaternions (n, 4) as rotations (n, 3, 3) float64."""
    import torch
    from kornia.geometry.conversions import quaternion_to_rotation_matrix

    return quaternion_to_rotation_matrix(torch.from_numpy(_unit(np.asarray(quaternion, np.float64)))).numpy()


def slerp(first: NDArray, second: NDArray, share: NDArray) -> NDArray:
    """The turn from first to second (n, 4) at an even rate, the shorter way; share (n,), 0 gives first. Shoemake 1985."""
    second = np.where((first * second).sum(-1, keepdims=True) < 0, -second, second)
    return multiplied(first, power(multiplied(inverse(first), second), share))


def piecewise(quaternion: NDArray, at: NDArray) -> NDArray:
    """Slerp from each quaternion (n, 4) to the next, one a unit of time; at (m,) in [0, n - 1]."""
    if len(quaternion) == 1:
        return np.repeat(quaternion, len(at), 0)
    first = np.clip(np.floor(at).astype(int), 0, len(quaternion) - 2)
    return slerp(quaternion[first], quaternion[first + 1], at - first)


def squad(quaternion: NDArray, at: NDArray) -> NDArray:
    """A smooth turn through all quaternions (n, 4), one a unit of time; at (m,) in [0, n - 1]. Shoemake 1987.

    The rate is continuous where two pieces meet; at both ends the turn goes on as it is.
    """
    if len(quaternion) == 1:
        return np.repeat(quaternion, len(at), 0)
    before, after = np.roll(quaternion, 1, 0), np.roll(quaternion, -1, 0)
    inner = multiplied(quaternion, exp(-(_log_between(quaternion, after) + _log_between(quaternion, before)) / 4))
    inner[0], inner[-1] = quaternion[0], quaternion[-1]
    piece = np.clip(np.floor(at).astype(int), 0, len(quaternion) - 2)
    share = at - piece
    ends = slerp(quaternion[piece], quaternion[piece + 1], share)
    middles = slerp(inner[piece], inner[piece + 1], share)
    return slerp(ends, middles, 2 * share * (1 - share))


def multiplied(first: NDArray, second: NDArray) -> NDArray:
    """Hamilton products of (..., 4): the turn `second`, then `first`."""
    a, b = first[..., 0, None], second[..., 0, None]
    u, v = first[..., 1:], second[..., 1:]
    scalar = a * b - (u * v).sum(-1, keepdims=True)
    return np.concatenate([scalar, a * v + b * u + np.cross(u, v)], -1)


def inverse(quaternion: NDArray) -> NDArray:
    return quaternion * np.array((1.0, -1.0, -1.0, -1.0))


def log(quaternion: NDArray) -> NDArray:
    """Half of the rotation vector, (..., 3)."""
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    half = np.arctan2(sine, quaternion[..., :1])
    return quaternion[..., 1:] * np.where(sine > _STRAIGHT, half / np.maximum(sine, _STRAIGHT), 1.0)


def exp(vector: NDArray) -> NDArray:
    """The inverse of log, (..., 3) -> (..., 4)."""
    half = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.concatenate([np.cos(half), vector * np.sinc(half / np.pi)], -1)


def power(quaternion: NDArray, share: NDArray) -> NDArray:
    """A share of the turn: (..., 4), (...)."""
    return exp(log(quaternion) * np.asarray(share)[..., None])


def _log_between(first: NDArray, second: NDArray) -> NDArray:
    turn = multiplied(inverse(first), second)
    return log(np.where(turn[..., :1] < 0, -turn, turn))


def _unit(quaternion: NDArray) -> NDArray:
    return quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
