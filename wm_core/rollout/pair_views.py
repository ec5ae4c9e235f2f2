"""Two clips in one picture, frame n of one beside frame n of the other: next to each other, wiped, or subtracted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..camera.canvas import BACKGROUND, LINE, Canvas
from ..errors import ConfigError
from .stitch import in_pieces

Names = tuple[str, str]  # what the first and the second clip are called
PAIR_NAMES: Names = ("stage 1", "refined")
WIPE_S = 4.0  # seconds in which the line goes from left to right and back
AMPLIFICATION = 4  # of a difference
GREY = 128  # what no difference looks like
GAP = 4  # pixels between pictures that stand side by side
_LINE_COLOUR = (255, 255, 255)


class PairView:
    """Draws pairs of frames (h, w, 3) uint8 at `fps` in one of VIEWS, in an even size that H.264 can take.

    names: of the first and the second clip, burnt into their upper corners but in the difference, which is of both.
    """

    def __init__(self, view: str, fps: float, names: Names = PAIR_NAMES):
        if view not in VIEWS:
            raise ConfigError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
        self.view, self.fps, self.names = view, fps, names
        self._labels: tuple[NDArray, NDArray] | None = None

    def draw(self, first: NDArray, second: NDArray, number: int) -> NDArray:
        """The picture of frame `number`, (h', w', 3) uint8; an odd size grows by one repeated row or column."""
        if self.view != "difference":
            first, second = self._labelled(first, second)
        return _even(VIEWS[self.view](first, second, number / self.fps))

    def draw_piece(self, first: NDArray, second: NDArray, start: int) -> NDArray:
        """The pictures of the frames `start` and following, (f, h', w', 3) uint8 from both clips' (f, h, w, 3)."""
        pairs = zip(first, second, strict=True)
        return np.stack([self.draw(*pair, start + n) for n, pair in enumerate(pairs)])

    def _labelled(self, first: NDArray, second: NDArray) -> tuple[NDArray, NDArray]:
        """Copies with the clips' names: the first one's at the left, the second one's at the right where a wipe shows it."""
        if self._labels is None:
            self._labels = tuple(_label(name, first.shape[0]) for name in self.names)
        first, second = first.copy(), second.copy()
        height, width = first.shape[:2]
        for picture, label, at_right in zip((first, second), self._labels, (False, self.view == "wipe")):
            label = label[:height, :width]
            left = width - label.shape[1] if at_right else 0
            picture[: label.shape[0], left : left + label.shape[1]] = label
        return first, second


def frame_pairs(
    first: Iterable[Tensor | NDArray], second: Iterable[Tensor | NDArray], count: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same frames (f, h, w, 3) of two clips that come in any pieces, `count` at a time; none is left out."""
    return zip(*(in_pieces(map(torch.as_tensor, pieces), count) for pieces in (first, second)), strict=True)


def side_by_side(first: NDArray, second: NDArray, time_s: float) -> NDArray:
    """Both pictures (h, w, 3) whole, the first at the left: (h, 2 w + 4, 3)."""
    gap = np.full((len(first), GAP, 3), LINE, np.uint8)
    return np.concatenate([first, gap, second], axis=1)


def wipe(first: NDArray, second: NDArray, time_s: float) -> NDArray:
    """The first picture left of a line and the second right of it; the line goes there and back in WIPE_S seconds."""
    width = first.shape[1]
    at = line_position(time_s, width)
    picture = second.copy()
    picture[:, :at] = first[:, :at]
    half = max(1, round(width / 1280))  # 2 pixels up to 1080p
    picture[:, max(0, at - half) : at + half] = _LINE_COLOUR
    return picture


def line_position(time_s: float, width: int) -> int:
    """The column where the second picture begins: 0 at the start, `width` after half of WIPE_S, then back, steadily."""
    return round(width * (1 - abs(1 - 2 * (time_s / WIPE_S % 1))))


def difference(first: NDArray, second: NDArray, time_s: float) -> NDArray:
    """Mid-grey where both are the same, else as far from it as 4 times the absolute difference: lighter where the
    second is lighter, darker where it is darker, each channel for itself. (h, w, 3).
    """
    change = second.astype(np.int16) - first
    return (GREY + AMPLIFICATION * change).clip(0, 255).astype(np.uint8)


VIEWS: dict[str, Callable[[NDArray, NDArray, float], NDArray]] = {
    "side by side": side_by_side,
    "wipe": wipe,
    "difference": difference,
}


def _even(picture: NDArray) -> NDArray:
    odd = [(0, n % 2) for n in picture.shape[:2]]
    return np.pad(picture, [*odd, (0, 0)], mode="edge") if any(more for _, more in odd) else picture


def _label(words: str, height: int) -> NDArray:
    """A name on a dark plate, (h', w', 3) uint8: a twenty-eighth of the picture high, and never too small to read."""
    size = max(11, height / 28)
    canvas = Canvas(round(1.7 * size), round(size * (len(words) + 2)))
    canvas.text((0.6 * size, 0.85 * size), words, size, anchor="lm")
    plate = canvas.finish()
    written = np.flatnonzero((plate != BACKGROUND).any((0, 2)))
    return plate[:, : written[-1] + round(0.6 * size)]
