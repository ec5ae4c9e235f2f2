"""The picture of a comparison: curves of two clips over time, and how alike each is when the camera comes back."""

from __future__ import annotations

from numpy.typing import NDArray

from ..camera.canvas import LINE, MUTED, TEXT, Box, Canvas, Colour
from ..camera.views import Curve, draw_chart
from ..metrics import ClipCurves, PairCurves, RevisitLikeness
from .pair_report import NO_CAMERA, NO_REVISITS, psnr_words
from .pair_views import PAIR_NAMES, Names

COLOURS: tuple[Colour, Colour] = ((120, 170, 255), (240, 160, 80))
_WIDTH = 1120  # of the picture, pixels
_MARGIN = 14
_HEAD, _CHART, _REVISITS, _SPACE = 46, 186, 172, 10  # heights
_LEVELS = 255


def draw_pair(curves: PairCurves, fps: float, revisits: RevisitLikeness | None, names: Names = PAIR_NAMES) -> NDArray:
    """Sharpness, change, brightness and colour of both clips over seconds, then their revisits: (h, w, 3) uint8.

    revisits: None if there is no camera that would tell.
    """
    canvas = Canvas(_HEAD + 2 * (_CHART + _SPACE) + _REVISITS + _MARGIN, _WIDTH)
    _draw_head(canvas, curves, fps, names)
    width = (_WIDTH - 2 * _MARGIN - _SPACE) / 2
    for n, (title, floor, values) in enumerate(_charts(curves, names)):
        left, top = _MARGIN + n % 2 * (width + _SPACE), _HEAD + n // 2 * (_CHART + _SPACE)
        lines = [Curve(*line) for line in zip(names, values, COLOURS)]
        draw_chart(canvas, Box(left, top, left + width, top + _CHART), title, lines, curves.first.frames / fps, floor)
    top = _HEAD + 2 * (_CHART + _SPACE)
    _draw_revisits(canvas, Box(_MARGIN, top, _WIDTH - _MARGIN, top + _REVISITS), fps, revisits)
    return canvas.finish()


def _charts(curves: PairCurves, names: Names) -> list[tuple[str, float, list[NDArray]]]:
    """(title, least height of the scale, values of both clips) of each chart."""
    clips: tuple[ClipCurves, ClipCurves] = (curves.first, curves.second)
    start = curves.first.colour[0]
    return [
        ("sharpness: variance of the Laplacian, levels squared", 1.0, [_LEVELS**2 * c.sharpness for c in clips]),
        ("change to the frame before, levels of 255", 1.0, [_LEVELS * c.difference[1:] for c in clips]),
        (
            f"brightness against the first frame of {names[0]}, levels",
            2.0,
            [_LEVELS * c.brightness_drift(start) for c in clips],
        ),
        ("colour (chroma) against the same, levels", 2.0, [_LEVELS * c.chroma_drift(start) for c in clips]),
    ]


def _draw_head(canvas: Canvas, curves: PairCurves, fps: float, names: Names) -> None:
    x = _MARGIN + 2.0
    for name, colour in zip(names, COLOURS):
        canvas.line([(x, 25), (x + 22, 25)], colour, 4)
        canvas.text((x + 30, 25), name, 15, TEXT, anchor="lm")
        x += 120
    frames = curves.first.frames
    words = f"{frames} frames, {frames / fps:.1f} s; PSNR between the two {psnr_words(curves)}"
    canvas.text((_WIDTH - _MARGIN - 2, 25), words, 14, MUTED, anchor="rm")


def _draw_revisits(canvas: Canvas, box: Box, fps: float, revisits: RevisitLikeness | None) -> None:
    """Two bars for each pair of frames, from SSIM 0 to 1, with the moments below them; or why there are none."""
    canvas.panel(box, "likeness when the camera comes back: SSIM of each clip with itself")
    if revisits is None or not revisits.pairs:
        words = NO_CAMERA if revisits is None else NO_REVISITS
        canvas.text(((box.left + box.right) / 2, (box.top + box.bottom) / 2 + 6), words, 15, TEXT, anchor="mm")
        return
    plot = box.inset(48, 44, 16, 26)
    for level in (0.0, 0.5, 1.0):
        y = plot.bottom - plot.height * level
        canvas.line([(plot.left, y), (plot.right, y)], LINE)
        canvas.text((plot.left - 6, y), f"{level:g}", 11, MUTED, anchor="rm")
    both = zip(revisits.first, revisits.second)
    groups = [
        (f"{pair.first / fps:.1f} s and {pair.later / fps:.1f} s", *ssim) for pair, ssim in zip(revisits.pairs, both)
    ]
    if len(groups) > 1:
        groups.append(("mean", *revisits.means))
    step = plot.width / len(groups)
    for n, (words, *values) in enumerate(groups):
        middle = plot.left + (n + 0.5) * step
        canvas.text((middle, plot.bottom + 13), words, 11, TEXT if words == "mean" else MUTED, anchor="mm")
        for x, value, colour in zip((middle - 22, middle + 22), values, COLOURS):
            top = plot.bottom - plot.height * max(0.0, value)
            canvas.line([(x, plot.bottom), (x, top)], colour, 32)
            canvas.text((x, top - 9), f"{value:.3f}", 11, TEXT, anchor="mm", halo=3)
