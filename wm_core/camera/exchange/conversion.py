"""Axis conversion at the edge: matrices as a program writes them to OpenCV c2w in metres, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from ..conventions import CONVENTIONS, from_opencv, to_opencv
from ..rotation import rigid_inverse
from .repair import as_rigid
from .stored import DIRECTIONS, Direction

FARTHEST = 1e9  # metres; float32 still tells 100 m apart there
MIN_METRES, MAX_METRES = 1e-6, 1e6


@dataclass(frozen=True)
class Axes:
    """How a program writes a camera: its convention, its direction, the length of its unit, and whether transposed."""

    convention: str
    direction: Direction
    metres: float = 1.0
    transposed: bool = False

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise CameraError(f"convention must be one of {', '.join(CONVENTIONS)}, got {self.convention!r}")
        if self.direction not in DIRECTIONS:
            raise CameraError(f"matrices must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}")
        if not MIN_METRES <= self.metres <= MAX_METRES:
            raise CameraError(
                f"metres is the length of the file's unit, wanted {MIN_METRES:g} to {MAX_METRES:g}, got {self.metres}; "
                "0.01 is a centimetre"
            )


def to_c2w(matrices: NDArray, axes: Axes) -> tuple[NDArray, tuple[str, ...]]:
    """OpenCV c2w (f, 4, 4) float64 in metres of a file's matrices, and what was done, in words.

    matrices: (f, 4, 4), (f, 3, 4) or (f, 4, 3), as StoredCameras has them.
    """
    square = _as_square(matrices, axes.transposed)
    if not 1 <= len(square) <= MAX_FRAMES:
        raise CameraError(f"wanted 1 to {MAX_FRAMES} cameras, got {len(square)}; split longer paths into takes")
    rigid, notes = as_rigid(square)
    far = np.abs(rigid[:, :3, 3]).max(1) > FARTHEST / axes.metres
    if far.any():
        raise CameraError(f"positions must be within {FARTHEST:g} m, frame {int(far.argmax())} is not so; check metres")
    rigid[:, :3, 3] *= axes.metres
    steps = [
        (axes.transposed, "matrices transposed"),
        (bool(notes), "".join(notes)),
        (axes.metres != 1, f"unit of {axes.metres:g} m to metres"),
        (axes.direction == "w2c", "w2c inverted"),
        (axes.convention != "opencv", f"{axes.convention} axes to opencv"),
    ]
    c2w = rigid_inverse(rigid) if axes.direction == "w2c" else rigid
    return to_opencv(c2w, axes.convention), tuple(step for done, step in steps if done)


def from_c2w(c2w: NDArray, axes: Axes) -> NDArray:
    """Matrices (f, 4, 4) float64 as a program writes them, of OpenCV c2w (f, 4, 4) in metres."""
    rigid, _ = as_rigid(from_opencv(np.asarray(c2w, dtype=np.float64), axes.convention))
    rigid[:, :3, 3] /= axes.metres
    return rigid_inverse(rigid) if axes.direction == "w2c" else rigid


def _as_square(matrices: NDArray, transposed: bool) -> NDArray:
    """(f, 4, 4) from any of the stored shapes."""
    frames, shape = len(matrices), matrices.shape[1:]
    if transposed:
        # The 12 numbers of a transposed 3x4 come column by column, whichever way they were folded.
        matrices = np.swapaxes(matrices if shape == (4, 4) else matrices.reshape(frames, 4, 3), 1, 2)
    elif shape == (4, 3):
        raise CameraError(f"matrices must be 4x4 or 3x4, got {matrices.shape}; transposed ones need transposed=True")
    if matrices.shape[1:] == (4, 4):
        return matrices
    return np.concatenate([matrices, np.broadcast_to((0.0, 0.0, 0.0, 1.0), (frames, 1, 4))], axis=1)
