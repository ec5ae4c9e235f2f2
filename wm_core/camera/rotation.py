"""Rotations and rigid transforms in OpenCV axes: x right, y down, z forward; c2w maps camera to world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError, ShapeError

_NEAR = 1e-6  # metres within which a point has no direction


def pitch_rotation(angle: ArrayLike) -> NDArray:
    """Turn about the camera's x axis; a positive angle looks up.

    angle: (...) radians. Result: (..., 3, 3) float64.
    """
    cos, sin, zero, one = _circle(angle)
    return _matrix(one, zero, zero, zero, cos, -sin, zero, sin, cos)


def yaw_rotation(angle: ArrayLike) -> NDArray:
    """Turn about the y axis; a positive angle looks right.

    angle: (...) radians. Result: (..., 3, 3) float64.
    """
    cos, sin, zero, one = _circle(angle)
    return _matrix(cos, zero, sin, zero, one, zero, -sin, zero, cos)


def roll_rotation(angle: ArrayLike) -> NDArray:
    """Turn about the view axis z; a positive angle leans the camera to the right, and the picture to the left.

    angle: (...) radians. Result: (..., 3, 3) float64.
    """
    cos, sin, zero, one = _circle(angle)
    return _matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)


def angles_of(rotation: NDArray) -> NDArray:
    """Yaw, pitch and roll (n, 3) radians with yaw @ pitch @ roll = rotation (n, 3, 3). Straight up or down has no roll."""
    rotation = np.asarray(rotation, np.float64)
    pitch = np.arcsin(np.clip(-rotation[:, 1, 2], -1, 1))
    level = np.hypot(rotation[:, 1, 0], rotation[:, 1, 1]) > 1e-9
    yaw = np.where(
        level, np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2]), np.arctan2(-rotation[:, 2, 0], rotation[:, 0, 0])
    )
    roll = np.where(level, np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1]), 0.0)
    return np.stack([yaw, pitch, roll], 1)


def looking_rotation(
    ahead: NDArray, named: str = "camera {}", numbers: Sequence[int] | NDArray | None = None
) -> NDArray:
    """Level rotations (f, 3, 3) float64 whose z axis points along ahead (f, 3), of any length.

    CameraError where that is nowhere, or straight up or down, which leaves level without a meaning; `named`, with the row or
    its one of `numbers`, is what it is called there.
    """
    ahead = np.asarray(ahead, np.float64)
    right = np.cross(np.broadcast_to((0.0, 1.0, 0.0), ahead.shape), ahead)
    size = np.linalg.norm(right, axis=1)
    if (size <= _NEAR).any():
        row = int((size <= _NEAR).argmax())
        which = named.format(row if numbers is None else numbers[row])
        raise CameraError(f"{which} stands on the point to look at, or right above or below it; move the point")
    right /= size[:, None]
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    return np.stack([right, np.cross(ahead, right), ahead], -1)


def rigid(rotation: NDArray, centre: NDArray) -> NDArray:
    """Camera-to-world matrices from rotations (f, 3, 3) and camera centres (f, 3) in metres: (f, 4, 4) float64."""
    c2w = np.zeros((len(rotation), 4, 4))
    c2w[:, :3, :3] = rotation
    c2w[:, :3, 3] = centre
    c2w[:, 3, 3] = 1.0
    return c2w


def rigid_inverse(transform: NDArray) -> NDArray:
    """Inverse of (..., 4, 4) rigid transforms, float64. Rotations are assumed orthonormal; not checked."""
    transform = np.asarray(transform, dtype=np.float64)
    turned = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse = np.zeros_like(transform)
    inverse[..., :3, :3] = turned
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", turned, transform[..., :3, 3])
    inverse[..., 3, 3] = 1.0
    return inverse


def relative_to_first(c2w: NDArray) -> NDArray:
    """Express camera-to-world matrices in the first camera's frame, so result[0] is exactly the identity.

    c2w and result: (f, 4, 4); the result is float64. Rotations are assumed orthonormal; not checked.
    """
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise ShapeError(f"c2w must be (f, 4, 4), got {c2w.shape}; append the row 0 0 0 1 to a 3x4 matrix")
    relative = rigid_inverse(c2w[0]) @ c2w
    relative[0] = np.eye(4)
    return relative


def angle_between(first: NDArray, second: NDArray) -> NDArray:
    """Angle of the rotation that takes `first` to `second`.

    first, second: (..., 3, 3). Result: (...) radians in [0, pi]. The chord between the matrices is used and not the
    trace, because acos loses half of the digits of a small angle.
    """
    chord = np.linalg.norm(np.asarray(second, np.float64) - np.asarray(first, np.float64), axis=(-2, -1))
    return 2 * np.arcsin(np.clip(chord / np.sqrt(8), 0.0, 1.0))


def _circle(angle: ArrayLike) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    angle = np.asarray(angle, dtype=np.float64)
    return np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)


def _matrix(*entries: NDArray) -> NDArray:
    return np.stack(entries, axis=-1).reshape(*entries[0].shape, 3, 3)
