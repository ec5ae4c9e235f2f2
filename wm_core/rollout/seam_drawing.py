"""The picture of a seam: frames around it, and curves that show what a viewer could notice there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..camera.canvas import LINE, MUTED, TEXT, WARNING, Box, Canvas, Colour
from ..camera.views import Curve
from ..errors import ShapeError
from .seam import STRIP, VISIBLE_JUMP, SeamReport, eight_bit_frame, strip_frames

_WIDTH = 1120  # of the picture, pixels
_MARGIN = 14
_BAND: Colour = (74, 62, 42)
_CHANNELS: tuple[tuple[str, Colour], ...] = (("r", (235, 100, 95)), ("g", (110, 205, 150)), ("b", (120, 170, 255)))
_NEUTRAL: Colour = (205, 205, 212)


def seam_picture(report: SeamReport, frames: Tensor) -> NDArray:
    """Frames around a seam, and curves of difference, colour and sharpness with the seam marked: (h, w, 3) uint8.

    frames: the joined clip that the report is of, (f, h, w, 3).
    """
    if len(frames) < report.first + len(report.difference):
        raise ShapeError(f"the report is of frames up to {report.frames[-1]}, got {len(frames)}; give the same clip")
    return draw_seam(report, {n: eight_bit_frame(frames[n]) for n in strip_frames(report.seam, len(frames))})


def draw_seam(report: SeamReport, strip: Mapping[int, NDArray]) -> NDArray:
    """The same from the frames that a SeamMeter kept: number -> (h, w, 3) uint8."""
    height, width = next(iter(strip.values())).shape[:2]
    step = (_WIDTH - 2 * _MARGIN + 6) / STRIP
    tall = min(190, (step - 6) * height / width)
    top = 50 + tall + 30
    canvas = Canvas(round(top + 3 * 140 + 4), _WIDTH)
    _draw_verdict(canvas, report)
    _draw_strip(canvas, report, strip, Box(_MARGIN, 50, _WIDTH - _MARGIN, 50 + tall), step)
    colour = [Curve(name, 255 * report.colour[:, i], tint) for i, (name, tint) in enumerate(_CHANNELS)]
    charts = (
        ("change to the frame before, levels of 255", [Curve("", 255 * report.difference, _NEUTRAL)], 0.0),
        ("mean colour, levels of 255", colour, None),
        ("sharpness, variance of the Laplacian in levels", [Curve("", 255**2 * report.sharpness, _NEUTRAL)], 0.0),
    )
    for i, (title, curves, floor) in enumerate(charts):
        box = Box(_MARGIN, top + 140 * i, _WIDTH - _MARGIN, top + 140 * i + 130)
        _draw_chart(canvas, box, title, curves, report, floor)
    return canvas.finish()


def _draw_verdict(canvas: Canvas, report: SeamReport) -> None:
    start, stop = report.seam.start, report.seam.stop
    frames = f"frames {start} to {stop - 1}" if stop > start + 1 else f"frame {start}"
    where = f"blended in {frames}" if stop > start else f"hard cut before frame {start}"
    canvas.text((_MARGIN + 2, 30), where, 16, TEXT)
    colour = WARNING if report.jump > VISIBLE_JUMP else MUTED
    words = f"greatest change at the seam: {report.jump:.1f} x the usual"
    canvas.text((_WIDTH - _MARGIN - 2, 30), words, 14, colour, anchor="rs")


def _draw_strip(canvas: Canvas, report: SeamReport, strip: Mapping[int, NDArray], box: Box, step: float) -> None:
    """Frames from both sides of the seam and from within it, with their numbers; those of the seam are underlined."""
    seam = report.seam
    for n, (frame, picture) in enumerate(sorted(strip.items())):
        left = box.left + n * step
        width = min(step - 6, box.height * picture.shape[1] / picture.shape[0])
        canvas.picture(picture, Box(left, box.top, left + width, box.bottom))
        joined = seam.start <= frame < seam.stop
        canvas.text((left + width / 2, box.bottom + 15), str(frame), 12, WARNING if joined else MUTED, anchor="mm")
        if joined:
            canvas.line([(left, box.bottom + 4), (left + width, box.bottom + 4)], WARNING, 3)
        elif seam.start == seam.stop == frame:
            canvas.line([(left - 3, box.top - 4), (left - 3, box.bottom + 22)], WARNING, 2)


def _draw_chart(
    canvas: Canvas, box: Box, title: str, curves: Sequence[Curve], report: SeamReport, floor: float | None
) -> None:
    """Curves over frame numbers, from `floor` or from their least value, and the seam behind them."""
    canvas.panel(box, title)
    plot = box.inset(58, 32, 18, 24)
    values = np.concatenate([curve.values for curve in curves])
    levels = _ticks(*_span(values, floor), most=3)
    low, high = levels[0], levels[-1]
    first, count = report.first, len(report.difference)

    def x(frame: float) -> float:
        return plot.left + plot.width * (frame - first + 0.5) / max(1, count)

    _draw_seam(canvas, plot, x(report.seam.start - 0.5), x(report.seam.stop - 0.5))
    for level in levels:
        y = plot.bottom - plot.height * (level - low) / (high - low)
        canvas.line([(plot.left, y), (plot.right, y)], LINE)
        canvas.text((plot.left - 6, y), f"{level:g}", 11, MUTED, anchor="rm")
    for frame in _ticks(first, first + count - 1, most=10):
        if first <= frame < first + count and frame % 1 == 0:
            canvas.text((x(frame), plot.bottom + 12), f"{frame:g}", 11, MUTED, anchor="mm")
    for n, curve in enumerate(curves):
        y = plot.bottom - plot.height * (curve.values - low) / (high - low)
        canvas.line(np.stack([[x(frame) for frame in report.frames], y], -1), curve.colour, 1.8)
        canvas.text((box.right - 14 * (len(curves) - n), box.top + 15), curve.name, 12, curve.colour, anchor="mm")


def _draw_seam(canvas: Canvas, plot: Box, left: float, right: float) -> None:
    """A band over the blended frames, or a line where the cut is."""
    middle = (left + right) / 2
    is_cut = right - left < 1
    ends = [(middle, plot.top), (middle, plot.bottom)]
    canvas.line(ends, WARNING if is_cut else _BAND, 1.5 if is_cut else right - left)


def _span(values: NDArray, floor: float | None) -> tuple[float, float]:
    """The least and greatest value of a chart; two levels apart at least, so that noise does not look like a jump."""
    low, high = float(values.min()), float(values.max())
    if floor is not None:
        return floor, max(high, floor + 2)
    middle, half = (low + high) / 2, max(1.0, (high - low) / 2)
    return middle - half, middle + half


def _ticks(low: float, high: float, *, most: int) -> NDArray:
    """Multiples of 1, 2 or 5 times a power of ten that enclose [low, high], about `most` steps."""
    rough = max(high - low, 1e-9) / most
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(n * decade for n in (1, 2, 5, 10) if n * decade >= rough * (1 - 1e-9))
    return (step * np.arange(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)).round(9)
