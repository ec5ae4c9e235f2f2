"""What is left out: sentences about the parts of a lens that a format has no place for."""

from __future__ import annotations

import numpy as np

from ..path import CameraPath

_SEEN = 0.01  # pixels that nobody can see


def off_centre(path: CameraPath) -> str | None:
    """How far the principal point is from the middle of the picture at most, in words; None if it is there."""
    height, width = path.size
    pixels = float(np.abs(path.intrinsics[:, 2:] - (width / 2, height / 2)).max())
    return f"the principal point is up to {pixels:.4g} pixels off the middle" if pixels > _SEEN else None


def stretched(path: CameraPath) -> str | None:
    """How far fx is from fy at most, in words; None if pixels are square."""
    fx, fy = path.intrinsics[:, :2].astype(np.float64).T
    share = float(np.abs(fx / fy - 1).max())
    return f"fx and fy differ by up to {share:.3g} of fy" if share * path.size[1] / 2 > _SEEN else None
