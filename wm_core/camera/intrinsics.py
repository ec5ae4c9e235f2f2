"""Focal lengths and principal points: (fx, fy, cx, cy) in pixels of a stated size, and what a crop does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError, ShapeError

# The pictures published with the model have 73, 93 and 94 degrees; 90 makes the focal length half the width.
GUESSED_FOV_DEG = 90.0
MIN_FOV_DEG, MAX_FOV_DEG = 5.0, 170.0


@dataclass(frozen=True)
class Crop:
    """Resize to cover the target, then cut out the centre. Sizes are (h, w), offsets pixels of the resized picture."""

    source: tuple[int, int]
    resized: tuple[int, int]
    left: int
    top: int
    target: tuple[int, int]

    def apply_to_intrinsics(self, intrinsics: ArrayLike) -> NDArray:
        """Intrinsics of `source` pixels in `target` pixels; (..., 4) in and out, float32."""
        scale_y, scale_x = self.resized[0] / self.source[0], self.resized[1] / self.source[1]
        # fp32: the released code scales in single precision; doing likewise gives its numbers to the last bit.
        scale = np.array((scale_x, scale_y, scale_x, scale_y), dtype=np.float32)
        return np.asarray(intrinsics, dtype=np.float32) * scale - np.array((0, 0, self.left, self.top), np.float32)

    def apply_to_image(self, picture: NDArray) -> NDArray:
        """Lanczos resize and centre crop of an RGB picture of the source size.

        picture: (h, w, 3), uint8, or float in [0, 1]. A float picture is rounded to 8 bit first, as the released
        code only ever sees 8 bit files, and comes back as float32 in steps of 1/255.
        """
        if picture.shape != (*self.source, 3):
            raise ShapeError(f"picture must be {(*self.source, 3)} as the crop was made for, got {picture.shape}")
        if picture.dtype == np.uint8:
            return self._cut(picture)
        if not np.issubdtype(picture.dtype, np.floating):
            raise ShapeError(f"picture must be uint8, or float in [0, 1], got {picture.dtype}")
        eight_bit = np.rint(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)
        return self._cut(eight_bit).astype(np.float32) / 255

    def _cut(self, picture: NDArray) -> NDArray:
        from PIL import Image

        resized = Image.fromarray(picture).resize(self.resized[::-1], Image.Resampling.LANCZOS)
        height, width = self.target
        return np.array(resized.crop((self.left, self.top, self.left + width, self.top + height)))


def fit_crop(source: tuple[int, int], target: tuple[int, int]) -> Crop:
    """The released crop from a `source` (h, w) picture to a `target` (h, w): cover, round half to even, floor offsets."""
    if min(*source, *target) < 1:
        raise ShapeError(f"picture sizes must be at least 1 x 1 pixel, got source {source} and target {target}")
    scale = max(target[0] / source[0], target[1] / source[1])
    resized = (max(target[0], round(source[0] * scale)), max(target[1], round(source[1] * scale)))
    return Crop(source, resized, (resized[1] - target[1]) // 2, (resized[0] - target[0]) // 2, target)


def from_fov(fov_deg: float, size: tuple[int, int]) -> NDArray:
    """Intrinsics (4,) float32 of a centred camera with square pixels and this horizontal field of view.

    fov_deg: degrees. size: (h, w) pixels.
    """
    if not MIN_FOV_DEG <= fov_deg <= MAX_FOV_DEG:
        raise CameraError(
            f"horizontal field of view must be {MIN_FOV_DEG:g} to {MAX_FOV_DEG:g} degrees, got {fov_deg:g}; "
            "a photo has 40 to 75, a wide game camera about 90"
        )
    height, width = size
    focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return np.array([focal, focal, width / 2, height / 2], dtype=np.float32)


def field_of_view_deg(intrinsics: ArrayLike, size: tuple[int, int]) -> tuple[float, float]:
    """Horizontal and vertical field of view in degrees of intrinsics (4,) of a `size` (h, w) picture."""
    fx, fy, cx, cy = (float(value) for value in np.asarray(intrinsics))
    height, width = size
    horizontal = math.atan(cx / fx) + math.atan((width - cx) / fx)
    vertical = math.atan(cy / fy) + math.atan((height - cy) / fy)
    return math.degrees(horizontal), math.degrees(vertical)


def centred_views_deg(intrinsics: NDArray, size: tuple[int, int]) -> NDArray:
    """Horizontal fields of view (n,) in degrees of intrinsics (n, 4), as if every lens looked at the middle of its picture."""
    return np.degrees(2 * np.arctan(size[1] / 2 / intrinsics[:, 0].astype(np.float64)))


def choose_intrinsics(
    size: tuple[int, int], frames: int, *, intrinsics: ArrayLike | None = None, fov_deg: float | None = None
) -> tuple[NDArray, str]:
    """Intrinsics (f, 4) float32 from what the caller knows, and the label that says where they come from.

    intrinsics: (4,), (3, 3), (n, 4) or (n, 3, 3), pixels of `size` (h, w); n other than `frames` is interpolated.
    fov_deg: horizontal degrees. With neither, a field of view is guessed and labelled so. Both is an error.
    """
    if intrinsics is not None and fov_deg is not None:
        raise CameraError("both intrinsics and a field of view were given, wanted one of them; leave one out")
    if intrinsics is not None:
        return resample_intrinsics(_as_rows(intrinsics), frames), "given"
    if fov_deg is not None:
        return np.tile(from_fov(fov_deg, size), (frames, 1)), "field of view"
    return np.tile(from_fov(GUESSED_FOV_DEG, size), (frames, 1)), "guess"


def resample_intrinsics(intrinsics: NDArray, frames: int) -> NDArray:
    """Per-frame intrinsics (n, 4) stretched to (frames, 4) float32: linear in time, first and last row kept."""
    if len(intrinsics) == frames:
        return np.array(intrinsics, dtype=np.float32)
    at = np.linspace(0, len(intrinsics) - 1, frames)
    known = np.arange(len(intrinsics))
    return np.stack([np.interp(at, known, column) for column in np.asarray(intrinsics).T], axis=1).astype(np.float32)


def _as_rows(intrinsics: ArrayLike) -> NDArray:
    """(n, 4) from a vector, a 3x3 matrix K, or a stack of either."""
    given = np.asarray(intrinsics, dtype=np.float64)
    if given.shape[-2:] == (3, 3):
        if np.abs(given[..., 0, 1]).max() > 1e-3:
            raise CameraError(f"K must have no skew, got {np.abs(given[..., 0, 1]).max():g}; undistort the picture")
        given = np.stack([given[..., 0, 0], given[..., 1, 1], given[..., 0, 2], given[..., 1, 2]], axis=-1)
    rows = np.atleast_2d(given)
    if rows.ndim != 2 or rows.shape[1] != 4 or not len(rows):
        raise ShapeError(
            f"intrinsics must be (4,), (f, 4), (3, 3) or (f, 3, 3), got {given.shape}; give fx, fy, cx, cy in pixels"
        )
    return rows
