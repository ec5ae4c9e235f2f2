"""Lens choice: picture size and intrinsics out of what the file says, what the caller says, and what is assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import CameraError
from ..intrinsics import choose_intrinsics
from .stored import StoredCameras

ASSUMED_SIZE = (704, 1280)  # (h, w) of the released model
MAX_SIDE = 100_000
LARGEST = 1e9  # pixels

# What fx, fy, cx, cy are multiples of, for a picture of (h, w).
LENS_UNITS: Mapping[str, Callable[[int, int], tuple[int, int, int, int]]] = MappingProxyType(
    {
        "pixels": lambda h, w: (1, 1, 1, 1),
        "fractions": lambda h, w: (w, h, w, h),  # RealEstate10K
        "widths": lambda h, w: (w, w, w, h),  # a horizontal field of view of square pixels
    }
)


@dataclass(frozen=True, eq=False)
class Lens:
    """intrinsics (f, 4) float32 in pixels of `size` (h, w), their label for the provenance, and notes."""

    size: tuple[int, int]
    intrinsics: NDArray
    source: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LensWish:
    """What the caller says: size (h, w) pixels, and intrinsics in pixels or a horizontal field of view in degrees."""

    size: tuple[int, int] | None = None
    intrinsics: ArrayLike | None = None
    fov_deg: float | None = None
    file: str | None = None  # the name of the file that intrinsics were read from


def choose_lens(stored: StoredCameras, wish: LensWish) -> Lens:
    """Intrinsics for every camera of `stored`. What the caller gives wins over what the file says.

    A size that nobody says is assumed only where no pixel depends on it. CameraError otherwise, and where the caller's
    size contradicts the file's whose intrinsics are used: a crop is CameraPath.cropped, not a different reading.
    """
    if wish.size is not None:
        check_size(wish.size, "size")
    if wish.intrinsics is None and wish.fov_deg is None and stored.intrinsics is not None:
        return _lens_of_file(stored, wish.size)
    frames, given = len(stored.matrices), wish.intrinsics is not None
    size, notes = _size(wish.size or stored.size, pixels_are_known=given)
    intrinsics = checked(wish.intrinsics) if given else None
    rows, source = choose_intrinsics(size, frames, intrinsics=intrinsics, fov_deg=wish.fov_deg)
    if wish.file is not None:
        source, notes = "file", (*notes, f"intrinsics of {wish.file}")
    if intrinsics is not None:
        notes += _stretch(intrinsics, frames)
    if stored.intrinsics is not None:
        notes = (*notes, "the file's intrinsics not used")
    return Lens(size, rows, source, notes)


def check_size(size: tuple[int, int], place: str) -> tuple[int, int]:
    """The size (h, w) in plain ints; the CameraError begins with `place`."""
    whole = len(size) == 2 and all(isinstance(n, (int, np.integer)) and 1 <= n <= MAX_SIDE for n in size)
    if not whole:
        raise CameraError(f"{place} must be (height, width) in whole pixels, at most {MAX_SIDE} each, got {size!r:.60}")
    return int(size[0]), int(size[1])


def checked(intrinsics: ArrayLike) -> NDArray:
    """Intrinsics of any accepted shape as float64 numbers that single precision can hold."""
    try:
        values = np.asarray(intrinsics, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CameraError(f"intrinsics must be numbers fx, fy, cx, cy or 3x3 matrices K: {error}") from error
    if not values.size or not (np.abs(values) <= LARGEST).all():  # false for NaN too
        raise CameraError(f"intrinsics must be finite numbers up to {LARGEST:g}, got {values!r:.80}; give pixels")
    return values


def _lens_of_file(stored: StoredCameras, wished: tuple[int, int] | None) -> Lens:
    if wished is not None and stored.size is not None and tuple(wished) != stored.size:
        raise CameraError(
            f"the file's intrinsics are for pictures of {stored.size} (h, w), size says {tuple(wished)}; "
            "leave size out and crop the path, or give intrinsics or fov_deg too"
        )
    size, notes = _size(wished or stored.size, pixels_are_known=stored.lens_unit != "widths")
    frames = len(stored.matrices)
    values = checked(stored.intrinsics)
    rows, _ = choose_intrinsics(size, frames, intrinsics=values)
    # fp32: camera geometry, and what a path keeps
    scaled = rows * np.array(LENS_UNITS[stored.lens_unit](*size), dtype=np.float32)
    return Lens(size, scaled, "file", notes + _stretch(values, frames))


def _stretch(intrinsics: NDArray, frames: int) -> tuple[str, ...]:
    """The note for intrinsics of another number of frames, which choose_intrinsics interpolates."""
    known = intrinsics.size // (9 if intrinsics.shape[-2:] == (3, 3) else 4)
    return () if known in (1, frames) else (f"intrinsics of {known} frames stretched to {frames}",)


def _size(size: tuple[int, int] | None, *, pixels_are_known: bool) -> tuple[tuple[int, int], tuple[str, ...]]:
    if size is not None:
        return (int(size[0]), int(size[1])), ()
    if pixels_are_known:
        raise CameraError(
            "the size of the pictures is not in the file, and its intrinsics depend on it; give size=(height, width)"
        )
    height, width = ASSUMED_SIZE
    return ASSUMED_SIZE, (f"size {width}x{height} assumed",)
