"""Whether a join can be seen: numbers for each frame around it, and a picture of them for the user."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..camera import CameraPath, angle_between, rigid_inverse
from ..camera.canvas import LINE, MUTED, TEXT, WARNING, Box, Canvas, Colour
from ..camera.views import Curve
from ..errors import CameraError, ConfigError, ShapeError

VISIBLE_JUMP = 2.0  # times the usual change from frame to frame
_STILL = 0.5 / 255  # the change that a picture in rest is taken to have
_WIDTH = 1120  # of the picture, pixels
_STRIP = 8  # frames shown
_MARGIN = 14
_BAND: Colour = (74, 62, 42)
_CHANNELS: tuple[tuple[str, Colour], ...] = (("r", (235, 100, 95)), ("g", (110, 205, 150)), ("b", (120, 170, 255)))
_NEUTRAL: Colour = (205, 205, 212)


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
        beside = self.difference[~at_seam & (self.frames > 0)]
        usual = max(_STILL, float(np.median(beside))) if len(beside) else _STILL
        return float(self.difference[at_seam].max(initial=0.0)) / usual


def seam_report(frames: Tensor, seam: slice, *, around: int = 24) -> SeamReport:
    """Measure a seam and `around` frames on either side of it, one frame at a time.

    frames: (f, h, w, 3), uint8 or floating point in [0, 1]. seam: as in `Joined`.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 2 or not len(frames):
        raise ShapeError(f"frames must be (f, h, w, 3), f >= 1, at least 2 x 2 pixels, got {tuple(frames.shape)}")
    if seam.step not in (None, 1) or not 0 <= (seam.start or 0) <= (seam.stop or 0) <= len(frames):
        raise ConfigError(f"the seam must lie in a clip of {len(frames)} frames, got {seam}; give Joined.seam")
    if around < 1:
        raise ConfigError(f"around must be 1 or more frames on either side of the seam, got {around}")
    seam = slice(seam.start or 0, seam.stop or 0)
    first, stop = max(0, seam.start - around), min(len(frames), seam.stop + around)
    before = _unit(frames[max(0, first - 1)])
    rows = []
    for frame in frames[first:stop]:
        picture = _unit(frame)
        rows.append([(picture - before).abs().mean(), _sharpness(picture), *picture.mean((1, 2))])
        before = picture
    values = torch.tensor(rows).reshape(-1, 5).double().numpy()
    return SeamReport(seam, first, values[:, 0], values[:, 2:], values[:, 1])


def pose_jump(path: CameraPath, frame: int) -> tuple[float, float]:
    """(metres, degrees) by which the step to `frame` differs from that before or after it, whichever is nearer.

    Steps are in camera axes, so steady travel and turning give 0, as does a start or a stop; speeding up gives what is
    gained in a frame.
    """
    if not 1 <= frame < path.frames:
        raise CameraError(f"a jump can be measured at frames 1 to {path.frames - 1} of this path, got {frame}")
    near = np.arange(max(1, frame - 1), min(path.frames, frame + 2))
    steps = rigid_inverse(path.c2w[near - 1]) @ path.c2w[near]
    step, others = steps[near == frame][0], steps[near != frame]
    others = others if len(others) else np.eye(4)[None]
    metres = np.linalg.norm(others[:, :3, 3] - step[:3, 3], axis=1)
    degrees = np.degrees(angle_between(others[:, :3, :3], step[:3, :3]))
    return float(metres.min()), float(degrees.min())


def seam_picture(report: SeamReport, frames: Tensor) -> NDArray:
    """Frames around a seam, and curves of difference, colour and sharpness with the seam marked: (h, w, 3) uint8.

    frames: the joined clip that the report is of, (f, h, w, 3).
    """
    if len(frames) < report.first + len(report.difference):
        raise ShapeError(f"the report is of frames up to {report.frames[-1]}, got {len(frames)}; give the same clip")
    step = (_WIDTH - 2 * _MARGIN + 6) / _STRIP
    strip = min(190, (step - 6) * frames.shape[1] / frames.shape[2])
    top = 50 + strip + 30
    canvas = Canvas(round(top + 3 * 140 + 4), _WIDTH)
    _draw_verdict(canvas, report)
    _draw_strip(canvas, report, frames, Box(_MARGIN, 50, _WIDTH - _MARGIN, 50 + strip), step)
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
    where = f"blended in frames {start} to {stop - 1}" if stop > start else f"hard cut before frame {start}"
    canvas.text((_MARGIN + 2, 30), where, 16, TEXT)
    colour = WARNING if report.jump > VISIBLE_JUMP else MUTED
    words = f"greatest change at the seam: {report.jump:.1f} x the usual"
    canvas.text((_WIDTH - _MARGIN - 2, 30), words, 14, colour, anchor="rs")


def _draw_strip(canvas: Canvas, report: SeamReport, frames: Tensor, box: Box, step: float) -> None:
    """Frames from both sides of the seam and from within it, with their numbers; those of the seam are underlined."""
    seam, side = report.seam, _STRIP // 2
    shown = np.linspace(seam.start - side, seam.stop + side - 1, _STRIP).round().astype(int)
    for n, frame in enumerate(np.unique(shown.clip(0, len(frames) - 1))):
        left = box.left + n * step
        width = min(step - 6, box.height * frames.shape[2] / frames.shape[1])
        canvas.picture(_eight_bit(frames[frame]), Box(left, box.top, left + width, box.bottom))
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


def _sharpness(picture: Tensor) -> Tensor:
    from kornia.color import rgb_to_grayscale
    from kornia.filters import laplacian

    return laplacian(rgb_to_grayscale(picture[None]), 3, normalized=False).var()


def _unit(frame: Tensor) -> Tensor:
    """(h, w, 3) as (3, h, w) float32 in [0, 1]."""
    pixels = frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()
    return rearrange(pixels, "h w c -> c h w")


def _eight_bit(frame: Tensor) -> NDArray:
    levels = frame if frame.dtype == torch.uint8 else (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.cpu().numpy()
