"""What a preflight has found, pointed out on a preview: frames of warnings in red, places come back to, and the warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import ALERT, MUTED, TEXT, Box, Canvas, Colour
from .preflight import Preflight

RETURN: Colour = (226, 238, 110)
MOST_WARNINGS = 3
_SIZE, _PITCH = 12.0, 16.0  # of the listed text, design units
_TITLE, _FOOT = 28.0, 8.0
_RING = np.stack([np.cos(np.linspace(0, 2 * math.pi, 33)), np.sin(np.linspace(0, 2 * math.pi, 33))], axis=1)


@dataclass(frozen=True)
class Listing:
    """Warnings as they are written below each other: lines, and whether one begins a warning."""

    count: int
    lines: tuple[tuple[str, bool], ...]

    @property
    def height(self) -> float:
        """Design units of the panel; 0 without warnings."""
        return _TITLE + _PITCH * len(self.lines) + _FOOT if self.count else 0.0


def warned_frames(found: Preflight) -> tuple[range, ...]:
    """Where the warnings are; those of the whole path are nowhere."""
    return tuple(where for finding in found.warnings for where in finding.frames)


def list_warnings(canvas: Canvas, found: Preflight, width: float) -> Listing:
    """The warnings for a panel of that width: two lines each at most, three warnings, and how many more."""
    lines = []
    for finding in found.warnings[:MOST_WARNINGS]:
        wrapped = canvas.wrap(finding.text, _SIZE, width - 34, 2)
        lines += [(line, n == 0) for n, line in enumerate(wrapped)]
    more = len(found.warnings) - MOST_WARNINGS
    if more > 0:
        lines.append((f"and {more} more", False))
    return Listing(len(found.warnings), tuple(lines))


def draw_warnings(canvas: Canvas, box: Box, listing: Listing) -> None:
    canvas.panel(box, "1 warning" if listing.count == 1 else f"{listing.count} warnings")
    for n, (line, begins) in enumerate(listing.lines):
        y = box.top + _TITLE + _PITCH * (n + 0.5)
        if begins:
            canvas.dot((box.left + 15, y), 3, ALERT)
        canvas.text((box.left + 24, y), line, _SIZE, TEXT, anchor="lm")


def draw_marks(canvas: Canvas, points: NDArray, found: Preflight) -> None:
    """Dots for warnings too short to be seen as a line, and rings for places come back to, over a drawn path.

    points: (f, 2) design units, where its cameras are.
    """
    for where in warned_frames(found):
        if np.ptp(points[where.start : where.stop + 1], axis=0).max() < 8:
            canvas.dot(points[where.start], 3, ALERT)
    for pair in found.revisits:
        for frame in (pair.first, pair.later):
            canvas.line(points[frame] + 8 * _RING, RETURN, 1.6)


def shade_warned(canvas: Canvas, plot: Box, frames: int, warned: Sequence[range]) -> None:
    """Tint the times of warned frames in a chart that shows a path of that many frames from edge to edge."""
    for where in warned if frames > 1 else ():
        start, stop = (plot.left + plot.width * min(n, frames - 1) / (frames - 1) for n in (where.start, where.stop))
        canvas.shade(Box(min(start, plot.right - 1.5), plot.top, max(stop, start + 1.5), plot.bottom), ALERT)


def draw_marks_key(canvas: Canvas, left: float, y: float, found: Preflight) -> None:
    """What red and rings mean, or that nothing is warned of; `y` is the middle of the line, as of the time key."""
    if not found.warnings:
        canvas.text((left, y), "no warnings", 11, MUTED, anchor="lm", halo=3)
        left += 76
    if warned_frames(found):
        canvas.line([(left, y), (left + 16, y)], ALERT, 4)
        canvas.text((left + 21, y), "warned of", 11, MUTED, anchor="lm", halo=3)
        left += 88
    if found.revisits:
        canvas.line((left + 5, y) + 5 * _RING, RETURN, 1.6)
        canvas.text((left + 15, y), "comes back", 11, MUTED, anchor="lm", halo=3)
