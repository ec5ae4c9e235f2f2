"""What a viewer could notice in each frame of a clip, in numbers, and how far two clips of one moment lie apart.

Frames are fed as they come and measured one by one, so that how a clip is parted changes nothing and no clip is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ShapeError

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as the grey picture of the sharpness
_BLUE, _RED = 0.564, 0.713  # from a difference to luma to Cb and Cr, BT.601


@dataclass(frozen=True, eq=False)
class ClipCurves:
    """One number for each of n frames. Values are those of pixels in [0, 1].

    sharpness: (n,) variance of the Laplacian of the grey picture. difference: (n,) mean absolute difference to the frame
    before, 0 for the first. colour: (n, 3) means r, g, b.
    """

    sharpness: NDArray = field(repr=False)
    difference: NDArray = field(repr=False)
    colour: NDArray = field(repr=False)

    @property
    def frames(self) -> int:
        return len(self.sharpness)

    @property
    def mean_difference(self) -> float:
        """The mean change from frame to frame; 0 for a single frame, which has none."""
        return float(self.difference[1:].mean()) if self.frames > 1 else 0.0

    def brightness_drift(self, reference: NDArray | None = None) -> NDArray:
        """Luma of the mean colour less that of `reference` (3,), by default the first frame's mean colour: (n,)."""
        return _brightness(self.colour - self._reference(reference))

    def chroma_drift(self, reference: NDArray | None = None) -> NDArray:
        """Distance of the mean colour from `reference` (3,) in the plane of Cb and Cr, whatever the brightness: (n,)."""
        return _chroma(self.colour - self._reference(reference))

    def _reference(self, given: NDArray | None) -> NDArray:
        return self.colour[0] if given is None else np.asarray(given)


@dataclass(frozen=True, eq=False)
class PairCurves:
    """Two clips of n frames, frame n of one beside frame n of the other.

    squared_error: (n,) mean squared difference between the two, of pixels in [0, 1].
    """

    first: ClipCurves
    second: ClipCurves
    squared_error: NDArray = field(repr=False)

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio between the clips in dB, over all their values; inf if they are the same."""
        error = float(self.squared_error.mean())
        return math.inf if error == 0 else -10 * math.log10(error)

    @property
    def brightness_apart(self) -> NDArray:
        """Luma of the second clip's mean colour less that of the first's: (n,)."""
        return _brightness(self.second.colour - self.first.colour)

    @property
    def chroma_apart(self) -> NDArray:
        """Distance of their mean colours in the plane of Cb and Cr, whatever the brightness: (n,)."""
        return _chroma(self.second.colour - self.first.colour)


class ClipMeter:
    """Measures a clip frame by frame as it passes; holds the last frame and the numbers."""

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._rows: list[list[float]] = []

    def add(self, frames: Tensor) -> None:
        """The clip's next frames (f, h, w, 3), uint8 or floating point in [0, 1]."""
        _check(frames)
        for frame in frames:
            picture = unit_picture(frame)
            before = picture if self._before is None else self._before
            if before.shape != picture.shape:
                raise ShapeError(
                    f"frames must keep one size, got {_size(before)} and then {_size(picture)}; resize them"
                )
            row = sharpness(picture), (picture - before).abs().mean(), *picture.mean((1, 2))
            self._rows.append([float(value) for value in row])
            self._before = picture

    def curves(self) -> ClipCurves:
        """Of the frames so far; ShapeError if there were none."""
        if not self._rows:
            raise ShapeError("a clip must have 1 frame or more, got none; add its frames first")
        values = np.array(self._rows)
        return ClipCurves(values[:, 0], values[:, 1], values[:, 2:])


class PairMeter:
    """Measures two clips side by side; holds the last frame of each and the numbers."""

    def __init__(self) -> None:
        self._meters = ClipMeter(), ClipMeter()
        self._errors: list[float] = []

    def add(self, first: Tensor, second: Tensor) -> None:
        """The next frames of both clips, (f, h, w, 3) each, uint8 or floating point in [0, 1]."""
        if first.shape != second.shape:
            raise ShapeError(
                f"both clips must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}; give the same frames "
                "of both"
            )
        for meter, frames in zip(self._meters, (first, second)):
            meter.add(frames)
        self._errors += [float((unit_picture(a) - unit_picture(b)).square().mean()) for a, b in zip(first, second)]

    def curves(self) -> PairCurves:
        """Of the frames so far; ShapeError if there were none."""
        first, second = (meter.curves() for meter in self._meters)
        return PairCurves(first, second, np.array(self._errors))


def unit_picture(frame: Tensor) -> Tensor:
    """A frame (h, w, 3), uint8 or floating point in [0, 1], as (3, h, w) float32 in [0, 1]."""
    pixels = frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()
    return rearrange(pixels, "h w c -> c h w")


def sharpness(picture: Tensor) -> Tensor:
    """Variance of the Laplacian of the grey picture (3, h, w): ()."""
    from kornia.color import rgb_to_grayscale
    from kornia.filters import laplacian

    return laplacian(rgb_to_grayscale(picture[None]), 3, normalized=False).var()


def _brightness(change: NDArray) -> NDArray:
    """Luma of changes of colour (n, 3): (n,)."""
    return change @ _LUMA


def _chroma(change: NDArray) -> NDArray:
    """Length of changes of colour (n, 3) in the plane of Cb and Cr: (n,)."""
    luma = change @ _LUMA
    return np.hypot(_BLUE * (change[:, 2] - luma), _RED * (change[:, 0] - luma))


def _check(frames: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 2:
        raise ShapeError(f"frames must be (f, h, w, 3), at least 2 x 2 pixels, got {tuple(frames.shape)}")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise ShapeError(f"frames must be uint8 or floating point in [0, 1], got {frames.dtype}; convert them")


def _size(picture: Tensor) -> str:
    return f"{picture.shape[2]} x {picture.shape[1]}"
