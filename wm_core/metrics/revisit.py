"""Whether a clip shows the same when its camera comes back: the likeness of pairs of frames of one view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..camera import Revisit
from ..errors import ConfigError, ShapeError
from .clip_curves import unit_picture
from .image import SSIM_WINDOW, ssim


@dataclass(frozen=True)
class RevisitLikeness:
    """SSIM of each of two clips with itself, for each of the pairs of one camera path; none if it comes back nowhere."""

    pairs: Sequence[Revisit]
    first: Sequence[float]
    second: Sequence[float]

    @property
    def means(self) -> tuple[float, float]:
        """Over all pairs, of either clip; nan without pairs."""
        return tuple(float(np.mean(values)) if len(values) else math.nan for values in (self.first, self.second))


class RevisitMeter:
    """SSIM within each pair of a clip's frames while the clip passes; a frame is held until its last pair is complete."""

    def __init__(self, pairs: Sequence[Revisit]):
        self.pairs = tuple(pairs)
        self._seen = 0
        self._held: dict[int, Tensor] = {}
        self._likeness: dict[Revisit, float] = {}

    @property
    def held(self) -> int:
        """Frames that are in memory now."""
        return len(self._held)

    def add(self, frames: Tensor) -> None:
        """The clip's next frames (f, h, w, 3), uint8 or floating point in [0, 1]; at least 11 x 11 pixels."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < SSIM_WINDOW:
            raise ShapeError(
                f"frames must be (f, h, w, 3), at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, got {tuple(frames.shape)}"
            )
        for number in sorted({n for pair in self.pairs for n in (pair.first, pair.later)}):
            if self._seen <= number < self._seen + len(frames):
                self._take(number, frames[number - self._seen])
        self._seen += len(frames)

    def likeness(self) -> list[float]:
        """SSIM of each pair, in their order; ConfigError if a pair has not passed yet."""
        missing = [pair.later for pair in self.pairs if pair not in self._likeness]
        if missing:
            raise ConfigError(f"frame {max(missing)} is needed, got frames up to {self._seen - 1}; add the whole clip")
        return [self._likeness[pair] for pair in self.pairs]

    def _take(self, number: int, frame: Tensor) -> None:
        picture = unit_picture(frame)[None]
        for pair in self.pairs:
            if pair.later == number:
                self._likeness[pair] = ssim(picture, self._held[pair.first])
        self._held[number] = picture
        waiting = {pair.first for pair in self.pairs if pair.later > number}
        self._held = {n: held for n, held in self._held.items() if n in waiting}
