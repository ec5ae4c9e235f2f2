"""What a camera file says before anything is converted: the record every reader fills and every writer takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from numpy.typing import NDArray

Direction = Literal["c2w", "w2c"]
DIRECTIONS: tuple[Direction, ...] = ("c2w", "w2c")


@dataclass(frozen=True, eq=False)
class StoredCameras:
    """Cameras in the axes, the unit of length and the direction of a file; all arrays float64.

    matrices: (f, 4, 4) or (f, 3, 4); (f, 4, 3) where a program wrote 3x4 matrices transposed.
    intrinsics: (n, 4), (4,), (n, 3, 3) or (3, 3) in `lens_unit`, a key of lens.LENS_UNITS.
    size: (h, w) pixels. times_s: (f,) seconds. What a file does not say is None.
    """

    matrices: NDArray = field(repr=False)
    intrinsics: NDArray | None = field(default=None, repr=False)
    lens_unit: str = "pixels"
    size: tuple[int, int] | None = None
    times_s: NDArray | None = field(default=None, repr=False)
    fps: float | None = None
    direction: Direction | Literal["unsaid"] | None = None  # None: as this format always has it
    notes: tuple[str, ...] = ()  # what the reader chose, for the provenance
