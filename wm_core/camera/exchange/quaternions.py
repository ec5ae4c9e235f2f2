"""Quaternions of files, (w, x, y, z), Hamilton's; q and -q are the same rotation.

Not camera/quaternion.py, which mixes rotations: here lengths are kept to be judged, and kornia is not loaded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quaternion_to_rotation(quaternion: NDArray) -> NDArray:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4).

    A quaternion of length s gives s^2 times its rotation, so the check of the matrix is the check of the length.
    """
    w, x, y, z = np.moveaxis(np.clip(quaternion, -4, 4), -1, 0)  # the clip keeps nonsense from overflowing
    entries = (
        (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    )
    return np.stack([np.stack(row, axis=-1) for row in entries], axis=-2)


def rotation_to_quaternion(rotation: NDArray) -> NDArray:
    """Quaternions (f, 4) with w >= 0 of rotations (f, 3, 3), which are assumed orthonormal; not checked.

    The matrix 4 q q^T is linear in the rotation; its row with the largest diagonal is q times a number far from 0.
    """
    r = rotation
    xx, yy, zz = r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]
    wx, wy, wz = r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]
    xy, xz, yz = r[:, 1, 0] + r[:, 0, 1], r[:, 0, 2] + r[:, 2, 0], r[:, 2, 1] + r[:, 1, 2]
    rows = (
        (1 + xx + yy + zz, wx, wy, wz),
        (wx, 1 + xx - yy - zz, xy, xz),
        (wy, xy, 1 - xx + yy - zz, yz),
        (wz, xz, yz, 1 - xx - yy + zz),
    )
    outer = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    best = outer[np.arange(len(r)), np.einsum("fii->fi", outer).argmax(1)]
    unit = best / np.linalg.norm(best, axis=1, keepdims=True)
    return np.where(unit[:, :1] < 0, -unit, unit)
