"""Smooth curves through points."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def catmull_rom(points: ArrayLike, at: NDArray) -> NDArray:
    """A curve through all points (n, d), one a unit of time; at (m,) in [0, n - 1]. Catmull and Rom 1974.

    At a point it goes as from the one before to the one after; at both ends it goes on straight.
    """
    points = np.asarray(points, np.float64)
    if len(points) == 1:
        return np.repeat(points, len(at), 0)
    tangents = np.gradient(points, axis=0)
    piece = np.clip(np.floor(at).astype(int), 0, len(points) - 2)
    return hermite(points[piece], points[piece + 1], tangents[piece], tangents[piece + 1], at - piece)


def hermite(first: NDArray, last: NDArray, leaving: NDArray, meeting: NDArray, share: NDArray) -> NDArray:
    """The cubic from first to last (n, d) with these tangents at its ends; share (n,) in [0, 1]."""
    s = np.asarray(share)[:, None]
    return (
        (1 + 2 * s) * (1 - s) ** 2 * first
        + s**2 * (3 - 2 * s) * last
        + s * (1 - s) ** 2 * leaving
        - s**2 * (1 - s) * meeting
    )
