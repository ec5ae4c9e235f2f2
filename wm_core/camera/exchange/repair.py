"""Rigid matrices out of what files hold: rounded rotations are made exact, anything worse is refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError

ROUNDING = 5e-6  # what single precision and six digits leave of an exact rotation
REPAIRABLE = 1e-2


def as_rigid(matrices: NDArray) -> tuple[NDArray, tuple[str, ...]]:
    """Rigid transforms (f, 4, 4) float64 from (f, 4, 4), and what was repaired, in words.

    R^T R may differ from the identity by ROUNDING, which is left alone, or by REPAIRABLE, which the nearest rotation
    mends. CameraError names the first frame that is not finite, mirrored, transposed, scaled or worse.
    """
    _refuse_first(~np.isfinite(matrices).all((1, 2)), "numbers must be finite", "remove the camera or fix its numbers")
    bottom = np.abs(matrices[:, 3] - (0, 0, 0, 1)).max(1) > 1e-5
    _refuse_first(
        bottom, "the last row of a matrix must be 0 0 0 1", "if its translation stands there, give transposed=True"
    )
    rotation = matrices[:, :3, :3]
    error = _distance_from_rotation(rotation)
    _refuse_first(
        error > REPAIRABLE,
        f"rotations must be orthonormal to {REPAIRABLE:g}",
        "divide the scale out, or the length of the quaternion",
        [f", got {value:.3g}" for value in error],
    )
    mirrored = np.linalg.det(rotation) < 0
    _refuse_first(mirrored, "matrices must not mirror", "one camera axis has the wrong sign, turn it round")
    rough = error > ROUNDING
    rigid = np.array(matrices, dtype=np.float64)
    rigid[:, 3] = 0, 0, 0, 1
    if not rough.any():
        return rigid, ()
    rigid[rough, :3, :3] = nearest_rotation(rotation[rough])
    return rigid, (f"rotations of {rough.sum()} frames repaired, off by up to {error.max():.1g}",)


def nearest_rotation(matrices: NDArray) -> NDArray:
    """The rotations (f, 3, 3) closest to (f, 3, 3) with positive determinant, in the Frobenius norm."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def _distance_from_rotation(rotation: NDArray) -> NDArray:
    """Largest entry of |R^T R - 1| for each of (f, 3, 3)."""
    bounded = np.clip(rotation, -4, 4)  # no entry of a rotation is above 1, and huge ones would overflow
    return np.abs(np.swapaxes(bounded, 1, 2) @ bounded - np.eye(3)).max((1, 2))


def _refuse_first(bad: NDArray, rule: str, advice: str, got: list[str] | None = None) -> None:
    if bad.any():
        frame = int(bad.argmax())
        raise CameraError(f"{rule}{got[frame] if got else ''}, frame {frame} of {len(bad)} is not so; {advice}")
