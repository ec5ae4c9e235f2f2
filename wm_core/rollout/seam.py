"""Whether a join can be seen: numbers for each frame around it, measured as the frames pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..metrics.clip_curves import sharpness, unit_picture

VISIBLE_JUMP = 2.0  # times the usual change from frame to frame
STRIP = 8  # frames of the picture
_NEAR = 12  # frames on either side of a seam that say what is usual
_STILL = 0.5 / 255  # the change that a picture in rest is taken to have


@dataclass(frozen=True, eq=False)
class SeamReport:
    """What a viewer could notice in frames first to first + n - 1 of a clip, and where its seam lies.

    seam: joined frames, or slice(i, i) for a cut before frame i. Values are those of pixels in [0, 1].
    difference: (n,) mean absolute difference to the frame before, 0 for the clip's first. colour: (n, 3) means r, g, b.
    sharpness: (n,) variance of the Laplacian of the grey picture.
    """

    seam: slice
    first: int
    difference: NDArray = field(repr=False)
    colour: NDArray = field(repr=False)
    sharpness: NDArray = field(repr=False)

    @property
    def frames(self) -> NDArray:
        """Numbers of the measured frames, (n,)."""
        return self.first + np.arange(len(self.difference))

    @property
    def jump(self) -> float:
        """The greatest change at the seam over the usual change beside it; about 1 for a join that cannot be seen."""
        at_seam = (self.frames >= self.seam.start) & (self.frames <= self.seam.stop)
        usual = max([_STILL, *self._beside(self.difference, self.frames <= self.seam.stop)])
        return float(self.difference[at_seam].max(initial=0.0)) / usual

    @property
    def sharpness_kept(self) -> float:
        """The least sharpness within the seam over that beside it; low where a blend shows two pictures at once."""
        within = self.sharpness[(self.frames >= self.seam.start) & (self.frames < self.seam.stop)]
        usual = min(self._beside(self.sharpness, self.frames < self.seam.stop), default=0.0)
        return float(within.min()) / usual if len(within) and usual > 0 else 1.0

    def _beside(self, values: NDArray, until: NDArray) -> list[float]:
        """Medians of values before and behind the seam, near it: a clip may move fast on one side and rest on the other.

        until: which frames are not behind the seam.
        """
        sides = values[(self.frames > 0) & (self.frames < self.seam.start)][-_NEAR:], values[~until][:_NEAR]
        return [float(np.median(side)) for side in sides if len(side)]


class SeamMeter:
    """Measures a seam and `around` frames on either side of it while the joined clip passes, frame by frame.

    seam: as in `Joined`. total: frames of the joined clip. strip: the frames to show, by number: (h, w, 3) uint8. Of
    the others only the last is held.
    """

    def __init__(self, seam: slice, total: int, *, around: int = 24):
        if seam.step not in (None, 1) or not 0 <= (seam.start or 0) <= (seam.stop or 0) <= total:
            raise ConfigError(f"the seam must lie in a clip of {total} frames, got {seam}; give Joined.seam")
        if around < 1:
            raise ConfigError(f"around must be 1 or more frames on either side of the seam, got {around}")
        self.seam, self.total, self.seen = slice(seam.start or 0, seam.stop or 0), total, 0
        self.strip: dict[int, NDArray] = {}
        self._window = range(max(0, self.seam.start - around), min(total, self.seam.stop + around))
        self._shown = set(strip_frames(self.seam, total))
        self._before: Tensor | None = None
        self._rows: list[list[float]] = []

    def add(self, frames: Tensor) -> None:
        """The clip's next frames (f, h, w, 3), uint8 or floating point in [0, 1]."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 2:
            raise ShapeError(f"frames must be (f, h, w, 3), at least 2 x 2 pixels, got {tuple(frames.shape)}")
        first = max(0, self._window.start - 1 - self.seen)
        for number, frame in enumerate(frames[first : max(0, self._window.stop - self.seen)], self.seen + first):
            picture = unit_picture(frame)
            if number in self._window:
                before = picture if self._before is None else self._before
                row = (picture - before).abs().mean(), sharpness(picture), *picture.mean((1, 2))
                self._rows.append([float(value) for value in row])
            if number in self._shown:
                self.strip[number] = eight_bit_frame(frame)
            self._before = picture
        self.seen += len(frames)

    def report(self) -> SeamReport:
        """The report, once every frame around the seam has passed."""
        if len(self._rows) < len(self._window):
            raise ConfigError(
                f"the report is of frames {self._window.start} to {self._window.stop - 1}, got frames up to "
                f"{self.seen - 1}; add the rest of the clip first"
            )
        values = np.array(self._rows).reshape(-1, 5)
        return SeamReport(self.seam, self._window.start, values[:, 0], values[:, 2:], values[:, 1])


def seam_report(frames: Tensor, seam: slice, *, around: int = 24) -> SeamReport:
    """Measure a seam and `around` frames on either side of it, one frame at a time.

    frames: (f, h, w, 3), uint8 or floating point in [0, 1]. seam: as in `Joined`.
    """
    if not len(frames):
        raise ShapeError(f"frames must be (f, h, w, 3), f >= 1, got {tuple(frames.shape)}; give the joined clip")
    meter = SeamMeter(seam, len(frames), around=around)
    meter.add(frames)
    return meter.report()


def strip_frames(seam: slice, total: int) -> list[int]:
    """Numbers of the frames that are shown of a seam: from both sides of it and from within."""
    side = STRIP // 2
    if seam.stop - seam.start <= 1:  # every frame, the joined one among them
        shown = np.arange(seam.start - side, seam.start + side)
    else:
        shown = np.linspace(seam.start - side, seam.stop + side - 1, STRIP).round().astype(int)
    return np.unique(shown.clip(0, total - 1)).tolist()


def eight_bit_frame(frame: Tensor) -> NDArray:
    """A frame (h, w, 3), uint8 or floating point in [0, 1], as uint8."""
    levels = frame if frame.dtype == torch.uint8 else (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.cpu().numpy()
