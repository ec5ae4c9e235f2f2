"""A drawing surface for the camera previews: PIL at double size, reduced at the end so that lines are smooth.

All coordinates and sizes are in design units; `unit` says how many pixels of the final picture one of them is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

BACKGROUND: Colour = (32, 32, 32)
PANEL: Colour = (42, 42, 44)
LINE: Colour = (62, 62, 66)
MUTED: Colour = (150, 150, 156)
TEXT: Colour = (226, 226, 230)
WARNING: Colour = (240, 178, 70)
ALERT: Colour = (255, 62, 62)
OVERSAMPLING = 2


class Box(NamedTuple):
    """A rectangle in design units; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def inset(self, left: float, top: float, right: float, bottom: float) -> Box:
        return Box(self.left + left, self.top + top, self.right - right, self.bottom - bottom)


class Canvas:
    """Draws on a picture of (height, width) pixels whose design origin lies at `offset` pixels (x, y)."""

    def __init__(self, height: int, width: int, unit: float = 1.0, offset: tuple[float, float] = (0.0, 0.0)) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), BACKGROUND)
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._scale = unit * OVERSAMPLING
        self._offset = np.array(offset) * OVERSAMPLING

    def finish(self) -> NDArray:
        """The picture as (h, w, 3) uint8."""
        return np.array(self._image.reduce(OVERSAMPLING))

    def panel(self, box: Box, title: str) -> None:
        corners = self._pixels([(box.left, box.top), (box.right, box.bottom)])
        self._draw.rounded_rectangle(corners, radius=6 * self._scale, fill=PANEL)
        self.title(box, title)

    def title(self, box: Box, title: str) -> None:
        """Name a panel; again after what is drawn over its corner."""
        self.text((box.left + 10, box.top + 15), title, 12, MUTED, anchor="lm", halo=3)

    def line(self, points: Sequence | NDArray, colour: Colour, width: float = 1.0) -> None:
        joint = "curve" if width > 2 else None  # the round joints of thin lines look like beads
        self._draw.line(self._pixels(points), fill=colour, width=self._stroke(width), joint=joint)

    def shade(self, box: Box, colour: Colour) -> None:
        """A see-through rectangle, at least a pixel wide."""
        (left, top), (right, bottom) = self._pixels([(box.left, box.top), (box.right, box.bottom)])
        self._draw.rectangle((left, top, max(right, left + OVERSAMPLING), bottom), fill=(*colour, 34))

    def triangle(self, points: Sequence | NDArray, colour: Colour) -> None:
        """A see-through triangle with a solid edge."""
        corners = self._pixels(points)
        self._draw.polygon(corners, fill=(*colour, 36))
        self._draw.line([*corners, corners[0]], fill=(*colour, 215), width=self._stroke(1.2), joint="curve")

    def dot(self, centre: Sequence[float], radius: float, fill: Colour, edge: Colour | None = None) -> None:
        ((x, y),) = self._pixels([centre])
        radius *= self._scale
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, fill=fill, outline=edge, width=self._stroke(2))

    def text(
        self, at: Sequence[float], words: str, size: float, colour: Colour = TEXT, *, anchor: str = "ls", halo: int = 0
    ) -> None:
        """Write one line; `anchor` as in PIL, `halo` the width of a dark rim that keeps it apart from lines."""
        (xy,) = self._pixels([at])
        rim = self._stroke(halo) if halo else 0
        self._draw.text(xy, words, colour, self._font(size), anchor, stroke_width=rim, stroke_fill=PANEL)

    def wrap(self, words: str, size: float, width: float, lines: int) -> list[str]:
        """Break a text at blanks and commas into at most `lines` lines of `width`; what is left over becomes dots."""
        result = [""]
        for piece in re.findall(r"[^\s,]*,?\s*", words[:2000]):
            line = result[-1] + piece
            if self._length(line.rstrip(), size) <= width:
                result[-1] = line
            elif result[-1] and len(result) < lines and self._length(piece.rstrip(), size) <= width:
                result.append(piece)
            else:
                result[-1] = self._shorten(line, size, width)
                break
        return [line.rstrip() for line in result]

    def picture(self, picture: NDArray, box: Box) -> None:
        """Fit an (h, w, 3) uint8 picture into the top right corner of the box."""
        from PIL import Image

        factor = min(box.width / picture.shape[1], box.height / picture.shape[0])
        size = [max(1, round(n * factor * self._scale)) for n in (picture.shape[1], picture.shape[0])]
        ((right, top),) = self._pixels([(box.right, box.top)])
        resized = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
        self._image.paste(resized, (round(right) - size[0], round(top)))

    def _pixels(self, points: Sequence | NDArray) -> list[tuple[float, float]]:
        return [tuple(point) for point in (np.asarray(points, np.float64) * self._scale + self._offset).tolist()]

    def _stroke(self, width: float) -> int:
        return max(1, round(width * self._scale))

    def _font(self, size: float):
        return load_font(max(6, round(size * self._scale)))

    def _shorten(self, words: str, size: float, width: float) -> str:
        while words and self._length(words + "\u2026", size) > width:
            words = words[:-1]
        return words + "\u2026"

    def _length(self, words: str, size: float) -> float:
        return self._font(size).getlength(words) / self._scale


@functools.cache
def load_font(pixels: int):
    """The host's font in that size; read once."""
    from PIL import ImageFont

    return ImageFont.load_default(size=pixels)
