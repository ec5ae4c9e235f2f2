"""Camera axes of other programs, as one table. Inside wm_core every c2w is OpenCV; files convert at their edge.

A row holds two changes of axes: `camera` takes OpenCV camera axes to the program's camera axes, `world` takes the
program's world to a world with y down and z ahead. Then c2w_opencv = world @ c2w_program @ camera. Both are rotations
where the program is right-handed like OpenCV, and both mirror (determinant -1) where it is left-handed, so that a
rotation stays a rotation either way. The length of the unit is no part of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError, ShapeError

Rows = tuple[tuple[int, int, int], ...]

_SAME: Rows = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_FLIP_Y_Z: Rows = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_Z_UP_TO_Y_DOWN: Rows = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
_FLIP_Y: Rows = ((1, 0, 0), (0, -1, 0), (0, 0, 1))
_TO_X_AHEAD_Z_UP: Rows = ((0, 0, 1), (1, 0, 0), (0, -1, 0))
_FROM_X_AHEAD_Z_UP: Rows = ((0, 1, 0), (0, 0, -1), (1, 0, 0))


@dataclass(frozen=True)
class Convention:
    """How a program's camera and world axes relate to OpenCV's; `camera` and `world` have the same determinant."""

    name: str
    camera: Rows
    world: Rows


CONVENTIONS = {
    row.name: row
    for row in (
        Convention("opencv", _SAME, _SAME),
        Convention("opengl", _FLIP_Y_Z, _FLIP_Y_Z),  # camera looks along -z, y up, in a y-up world
        Convention("blender", _FLIP_Y_Z, _Z_UP_TO_Y_DOWN),  # the same camera in a z-up world, y ahead
        Convention("unreal", _TO_X_AHEAD_Z_UP, _FROM_X_AHEAD_Z_UP),  # left-handed: x ahead, y right, z up; centimetres
        Convention("unity", _FLIP_Y, _FLIP_Y),  # left-handed: x right, y up, z ahead, as transform.localToWorldMatrix
    )
}


def to_opencv(c2w: NDArray, convention: str) -> NDArray:
    """Camera-to-world matrices of `convention` in OpenCV axes; (..., 4, 4) in and out, float64."""
    camera, world = _transforms(c2w, convention)
    return world @ c2w @ camera


def from_opencv(c2w: NDArray, convention: str) -> NDArray:
    """OpenCV camera-to-world matrices in the axes of `convention`; (..., 4, 4) in and out, float64."""
    camera, world = _transforms(c2w, convention)
    return world.T @ c2w @ camera.T


def _transforms(c2w: NDArray, convention: str) -> tuple[NDArray, NDArray]:
    if convention not in CONVENTIONS:
        raise CameraError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    if c2w.shape[-2:] != (4, 4):
        raise ShapeError(f"c2w must be (..., 4, 4), got {c2w.shape}; append the row 0 0 0 1 to a 3x4 matrix")
    row = CONVENTIONS[convention]
    camera, world = np.eye(4), np.eye(4)
    camera[:3, :3], world[:3, :3] = row.camera, row.world
    return camera, world
