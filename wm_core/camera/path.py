"""The camera type of this package: where the camera stands, what it sees, and where that came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError, ShapeError
from .intrinsics import Crop
from .rotation import relative_to_first, rigid_inverse

ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Provenance:
    """Where a path came from, so that a saved video can say which camera it was made with."""

    dialect: str | None = None
    actions: str | None = None
    source: str = "given"  # such as "actions" or "preset:orbit-left"
    conversions: tuple[str, ...] = ()  # what was done to the path since, oldest first
    intrinsics_source: str = "given"  # such as "given", "field of view", "EXIF: ..." or "guess"

    def noting(self, conversion: str) -> Provenance:
        """The same origin with one more conversion."""
        return replace(self, conversions=(*self.conversions, conversion))


@dataclass(frozen=True, eq=False)
class CameraPath:
    """One camera per pixel frame. Arrays are copied on the way in and cannot be written to.

    c2w: (f, 4, 4) float32, OpenCV axes, camera to world, metres.
    intrinsics: (f, 4) float32, fx, fy, cx, cy in pixels of `size`.
    size: (h, w) pixels. fps: frames per second.
    """

    c2w: NDArray = field(repr=False)
    intrinsics: NDArray = field(repr=False)
    size: tuple[int, int]
    fps: float
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        object.__setattr__(self, "c2w", _frozen(self.c2w))
        object.__setattr__(self, "intrinsics", _frozen(self.intrinsics))
        _check_c2w(self.c2w)
        _check_intrinsics(self.intrinsics, len(self.c2w))
        if len(self.size) != 2 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in self.size):
            raise ShapeError(f"size must be (height, width) in whole pixels, got {self.size}")
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise CameraError(f"fps must be a positive number of frames per second, got {self.fps}")
        object.__setattr__(self, "fps", float(self.fps))

    @property
    def frames(self) -> int:
        return len(self.c2w)

    def relative_to_first(self) -> CameraPath:
        """The path seen from its first camera, whose matrix becomes the identity."""
        c2w = relative_to_first(self.c2w)
        return replace(self, c2w=c2w, provenance=self.provenance.noting("relative to the first frame"))

    def slice(self, start: int, stop: int) -> CameraPath:
        """Frames [start, stop), in the same world."""
        if not 0 <= start < stop <= self.frames:
            raise CameraError(f"frames [{start}, {stop}) are not part of a path of {self.frames} frames")
        if (start, stop) == (0, self.frames):
            return self
        return self.picked(np.arange(start, stop), f"frames {start} to {stop - 1}")

    def with_length(self, frames: int) -> CameraPath:
        """The path with exactly `frames` frames: cut, or the last camera held."""
        if frames < 1:
            raise CameraError(f"a path has at least 1 frame, got {frames}")
        if frames == self.frames:
            return self
        step = f"cut to {frames} frames" if frames < self.frames else f"last frame held to {frames} frames"
        return self.picked(np.minimum(np.arange(frames), self.frames - 1), step)

    def picked(self, index: NDArray, step: str) -> CameraPath:
        """Frames in the order of index (n,), for which `step` is noted."""
        c2w, intrinsics = self.c2w[index], self.intrinsics[index]
        return replace(self, c2w=c2w, intrinsics=intrinsics, provenance=self.provenance.noting(step))

    def then(self, following: CameraPath) -> CameraPath:
        """This path, then `following` moved so that its first camera stands on this path's last.

        The two share that frame, so the result has frames + following.frames - 1 frames. Intrinsics are not blended.
        """
        if (following.size, following.fps) != (self.size, self.fps):
            raise CameraError(
                f"only paths of one picture size and fps can be joined, got {self.size} at {self.fps:g} fps "
                f"and {following.size} at {following.fps:g} fps; crop or remake one of them"
            )
        join = self.c2w[-1].astype(np.float64) @ rigid_inverse(following.c2w[0])
        return replace(
            self,
            c2w=np.concatenate([self.c2w, join @ following.c2w[1:]]),
            intrinsics=np.concatenate([self.intrinsics, following.intrinsics[1:]]),
            provenance=self.provenance.noting(f"joined with {following.frames} frames of {_origin(following)}"),
        )

    def noted(self, step: str) -> CameraPath:
        """The same path with one more step in its provenance."""
        return replace(self, provenance=self.provenance.noting(step))

    def seen_through(self, intrinsics: NDArray, source: str) -> CameraPath:
        """The same cameras with other intrinsics, (4,) for all or (f, 4), in pixels of this size. source: how they are known."""
        rows = np.broadcast_to(np.asarray(intrinsics, np.float32), (self.frames, 4))
        return replace(self, intrinsics=rows, provenance=replace(self.provenance, intrinsics_source=source))

    def cropped(self, crop: Crop) -> CameraPath:
        """The same cameras with intrinsics in pixels of the cropped picture."""
        if crop.source != self.size:
            raise CameraError(
                f"the crop is for pictures of {crop.source} (h, w), the path's intrinsics are for {self.size}; "
                "make the crop with fit_crop(path.size, target)"
            )
        (h, w), (new_h, new_w) = crop.source, crop.target
        return replace(
            self,
            intrinsics=crop.apply_to_intrinsics(self.intrinsics),
            size=crop.target,
            provenance=self.provenance.noting(f"cropped {w}x{h} to {new_w}x{new_h}"),
        )


def _origin(path: CameraPath) -> str:
    return repr(path.provenance.actions) if path.provenance.actions else path.provenance.source


def _frozen(values: ArrayLike) -> NDArray:
    copy = np.array(values, dtype=np.float32)
    copy.setflags(write=False)
    return copy


def _check_c2w(c2w: NDArray) -> None:
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4) or not len(c2w):
        raise ShapeError(f"c2w must be (f, 4, 4) with f >= 1, got {c2w.shape}; append the row 0 0 0 1 to a 3x4 matrix")
    _refuse_first(~np.isfinite(c2w).all((1, 2)), "c2w must be finite", "remove the frame or fix its numbers")
    bottom = np.abs(c2w[:, 3] - (0, 0, 0, 1)).max(1) > 1e-5
    _refuse_first(bottom, "the last row of c2w must be 0 0 0 1", "a transposed matrix has its translation there")
    rotation = c2w[:, :3, :3].astype(np.float64)
    skewed = np.abs(np.swapaxes(rotation, 1, 2) @ rotation - np.eye(3)).max((1, 2)) > ROTATION_TOLERANCE
    _refuse_first(skewed, "c2w must be rotation and translation only", "divide the scale out of its 3x3 part")
    mirrored = np.linalg.det(rotation) < 0
    _refuse_first(mirrored, "c2w must not mirror", "one axis has the wrong sign; convert the camera axes to OpenCV")


def _check_intrinsics(intrinsics: NDArray, frames: int) -> None:
    if intrinsics.shape != (frames, 4):
        raise ShapeError(
            f"intrinsics must be ({frames}, 4), one fx, fy, cx, cy for each c2w, got {intrinsics.shape}; "
            "see resample_intrinsics"
        )
    _refuse_first(~np.isfinite(intrinsics).all(1), "intrinsics must be finite", "give fx, fy, cx, cy in pixels")
    focal = (intrinsics[:, :2] <= 0).any(1)
    _refuse_first(focal, "focal lengths must be positive", "give fx and fy in pixels, not in OpenGL's signs")


def _refuse_first(bad: NDArray, rule: str, advice: str) -> None:
    if bad.any():
        raise CameraError(f"{rule}, frame {int(bad.argmax())} of {len(bad)} is not so; {advice}")
