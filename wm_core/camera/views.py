"""The drawings of a camera preview: the path from above and from the side, and curves over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import ALERT, LINE, MUTED, PANEL, TEXT, Box, Canvas, Colour
from .motion import Motion

_TIME_STOPS = np.array([(76, 201, 240), (150, 130, 245), (235, 105, 165), (255, 150, 66)])
_MIN_SPAN_M = 0.5
_FRUSTUM = 26.0  # length of a drawn view frustum, design units
_FRUSTUM_STILL = 60.0  # the same when the camera does not travel and there is room
_POINTS = 240  # a drawn line needs no more


@dataclass(frozen=True)
class View:
    """A plane to look at the path in: `across` and `up` are the axes of the first camera that span it."""

    title: str
    across: tuple[int, int, int]
    up: tuple[int, int, int]
    edges: tuple[int, int]  # image x and y (0 or 1) along which a frustum's opening is seen


TOP = View("from above", (1, 0, 0), (0, 0, 1), (1, 0))
SIDE = View("from the right side", (0, 0, 1), (0, -1, 0), (0, 1))


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    name: str
    values: NDArray
    colour: Colour
    warned: Sequence[range] = ()  # drawn red


@dataclass(frozen=True, eq=False)
class _Projection:
    """Metres to design units, the same scale in both directions."""

    view: View
    scale: float
    middle: NDArray  # (2,) metres, at the centre of the box
    box: Box

    def points(self, positions: NDArray) -> NDArray:
        """(..., 3) metres to (..., 2) design units."""
        flat = positions @ np.array([self.view.across, self.view.up]).T - self.middle
        centre = ((self.box.left + self.box.right) / 2, (self.box.top + self.box.bottom) / 2)
        return flat * (self.scale, -self.scale) + centre


def draw_path(
    canvas: Canvas, box: Box, view: View, motion: Motion, opening: NDArray, warned: Sequence[range] = ()
) -> None:
    """The path in a panel: metre grid, view frusta, line coloured by time, start and end.

    opening: (2, 2), x / z of the left and right edge and y / z of the upper and lower edge of the picture. warned: frames
    that are drawn red, as far as the camera after them.
    """
    canvas.panel(box, view.title)
    projection = _fit(view, motion, box)
    _draw_grid(canvas, box, projection)
    canvas.title(box, view.title)
    points = projection.points(motion.centre)
    moves = np.ptp(points, axis=0).max() > 2
    length = _FRUSTUM if moves else min(_FRUSTUM_STILL, box.height / 2 - 26)
    shown = _evenly(points, motion, 24.0 if moves else 12.0)
    triangles = _frusta(projection, motion, opening, shown, length)
    for frame, corners in zip(shown, triangles, strict=True):
        canvas.triangle(corners, time_colour(frame / max(1, len(points) - 1)))
    _draw_line(canvas, points)
    for where in warned:
        kept = _thinned(where.start, min(where.stop, len(points) - 1))
        canvas.line(points[kept], ALERT, 4)
    _draw_ends(canvas, box, points, triangles)


def places_on_plan(box: Box, view: View, motion: Motion) -> NDArray:
    """Where draw_path puts the camera of each frame, (f, 2) design units."""
    return _fit(view, motion, box).points(motion.centre)


def draw_time_key(canvas: Canvas, left: float, y: float, seconds: float) -> None:
    """The colours of time, from "0 s" to the end; `y` is the middle of the strip."""
    canvas.text((left, y), "0 s", 11, MUTED, anchor="lm")
    x = np.linspace(left + 24, left + 104, 41)
    for n in range(40):
        canvas.line([(x[n], y), (x[n + 1] + 0.5, y)], time_colour(n / 39), 5)
    canvas.text((left + 110, y), f"{seconds:.1f} s", 11, MUTED, anchor="lm")


def draw_chart(canvas: Canvas, box: Box, title: str, curves: Sequence[Curve], seconds: float, floor: float) -> None:
    """Curves over time with a shared scale of at least `floor`; below zero only when a curve goes there."""
    canvas.panel(box, title)
    plot = plot_of(box)
    values = np.concatenate([curve.values for curve in curves])
    peak = _nice(max(floor, float(np.abs(values).max(initial=0.0))))
    low = -peak if values.min(initial=0.0) < -0.02 * peak else 0.0

    def at(time_s: NDArray, value: NDArray) -> NDArray:
        x = plot.left + plot.width * time_s / max(seconds, 1e-9)
        return np.stack([x, plot.bottom - plot.height * (value - low) / (peak - low)], axis=-1)

    for level in sorted({low, 0.0, peak}):
        y = at(np.zeros(1), np.array([level]))[0, 1]
        canvas.line([(plot.left, y), (plot.right, y)], LINE)
        canvas.text((plot.left - 6, y), f"{level:g}", 11, MUTED, anchor="rm")
    _draw_seconds(canvas, plot, seconds)
    for curve in curves:
        count = len(curve.values)
        for colour, where in ((curve.colour, range(count)), *((ALERT, where) for where in curve.warned)):
            kept = _thinned(where.start, min(where.stop, count - 1))
            if len(kept) > 1:
                canvas.line(at((kept + 0.5) * seconds / count, curve.values[kept]), colour, 1.8)
    _draw_names(canvas, box, curves)


def plot_of(chart: Box) -> Box:
    """Where in its panel draw_chart draws curves: from the first camera's time to the last one's."""
    return chart.inset(48, 30, 16, 22)


def time_colour(share: float) -> Colour:
    """The colour of a moment, 0 the start and 1 the end."""
    stops = np.linspace(0, 1, len(_TIME_STOPS))
    return tuple(int(np.interp(share, stops, channel)) for channel in _TIME_STOPS.T)


def _fit(view: View, motion: Motion, panel: Box) -> _Projection:
    """The whole path inside a panel, with room for its title, scale and labels."""
    box = panel.inset(44, 46, 44, 52) if panel.height > 200 else panel.inset(44, 34, 44, 38)
    flat = motion.centre @ np.array([view.across, view.up]).T
    low, high = flat.min(0), flat.max(0)
    span = np.maximum(high - low, _MIN_SPAN_M)
    return _Projection(view, float(min(box.width / span[0], box.height / span[1])), (low + high) / 2, box)


def _draw_grid(canvas: Canvas, box: Box, projection: _Projection) -> None:
    step_m = _nice(34 / projection.scale)
    step = step_m * projection.scale
    origin = projection.points(np.zeros(3))
    for axis, (low, high) in enumerate(((box.left, box.right), (box.top, box.bottom))):
        first = math.ceil((low + 6 - origin[axis]) / step)
        for n in range(first, math.floor((high - 6 - origin[axis]) / step) + 1):
            at = origin[axis] + n * step
            ends = [(at, box.top), (at, box.bottom)] if axis == 0 else [(box.left, at), (box.right, at)]
            canvas.line(ends, LINE if n else (84, 84, 90))
    right, y = box.right - 12, box.bottom - 12
    canvas.line([(right - step, y), (right, y)], TEXT, 2)
    canvas.text((right - step - 6, y), f"{step_m:g} m", 11, TEXT, anchor="rm", halo=3)


def _evenly(points: NDArray, motion: Motion, turn_deg: float) -> NDArray:
    """Frames at which to draw a frustum: one for each 44 units moved or turn_deg turned, never more than ten."""
    change = np.linalg.norm(np.diff(points, axis=0), axis=1) / 44 + motion.turns_deg / turn_deg
    progress = np.concatenate([[0.0], np.cumsum(change)])
    count = int(np.clip(round(progress[-1]), 1, 9)) + 1 if progress[-1] > 0.02 else 1
    return np.unique(np.searchsorted(progress, np.linspace(0, progress[-1], count) - 1e-9))


def _frusta(projection: _Projection, motion: Motion, opening: NDArray, frames: NDArray, length: float) -> NDArray:
    """Triangles (k, 3, 2): the camera, and where the two edges of its picture lead, `length` design units away."""
    edge = np.array(projection.view.edges)
    sides = opening[0] if edge[0] else opening[1]
    rays = np.array([(*(side * edge), 1.0) for side in sides])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turned = np.einsum("fij,rj->fri", motion.c2w[frames, :3, :3], rays) * (length / projection.scale)
    centre = motion.centre[frames][:, None]
    return projection.points(np.concatenate([centre, centre + turned], axis=1))


def _draw_line(canvas: Canvas, points: NDArray) -> None:
    kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).round().astype(int))
    for n in range(len(kept) - 1):
        # Each piece runs on below the next one, which closes the gap at a bend.
        canvas.line(points[kept[n : n + 3]], time_colour(kept[n] / max(1, len(points) - 1)), 3)


def _draw_ends(canvas: Canvas, box: Box, points: NDArray, triangles: NDArray) -> None:
    canvas.dot(points[0], 5, PANEL, time_colour(0.0))
    together = np.linalg.norm(points[-1] - points[0]) < 12
    if not together:
        canvas.dot(points[-1], 5, time_colour(1.0), PANEL)
    drawn = np.concatenate([points[:: max(1, len(points) // 100)], points[-1:], triangles.reshape(-1, 2)])
    labels = [(points[0], "start, end")] if together and len(points) > 1 else [(points[0], "start")]
    if not together:
        labels.append((points[-1], "end"))
    for at, words in labels:
        spot = _free_spot(box, at, drawn)
        drawn = np.concatenate([drawn, spot + np.array([(-14, 0), (0, 0), (14, 0)])])
        canvas.text(spot, words, 12, TEXT, anchor="mm", halo=3)


def _free_spot(box: Box, at: NDArray, drawn: NDArray) -> NDArray:
    """A place for a short label beside `at` that lies far from everything drawn and inside the box."""
    angles = np.arange(16) * math.pi / 8
    spots = np.concatenate([at + np.stack([r * 1.5 * np.cos(angles), r * np.sin(angles)], axis=1) for r in (18, 26)])
    room = box.inset(32, 30, 32, 28)
    inside = ((spots > (room.left, room.top)) & (spots < (room.right, room.bottom))).all(1)
    gaps = (np.abs(spots[:, None] - drawn[None]) / (1.6, 1.0)).max(-1).min(1)
    return spots[np.argmax(np.minimum(gaps, 22) + 100 * inside - 0.1 * np.linalg.norm(spots - at, axis=1))]


def _thinned(first: int, last: int) -> NDArray:
    """Indices from the first to the last, no more than a curve needs."""
    count = min(max(0, last - first + 1), 4 * _POINTS)
    return np.unique(np.linspace(first, last, count).round().astype(int))


def _draw_seconds(canvas: Canvas, plot: Box, seconds: float) -> None:
    step = _nice(seconds / 6) if seconds else 1.0
    for n in range(int(seconds / step + 1e-6) + 1):
        x = plot.left + plot.width * n * step / max(seconds, step)
        canvas.line([(x, plot.bottom), (x, plot.bottom + 3)], MUTED)
        canvas.text((x, plot.bottom + 11), f"{n * step:g} s" if n == 0 else f"{n * step:g}", 11, MUTED, anchor="mm")


def _draw_names(canvas: Canvas, box: Box, curves: Sequence[Curve]) -> None:
    """Names of several curves, from the right end of the panel's title line."""
    right = box.right - 12
    for curve in reversed(curves if len(curves) > 1 else ()):
        canvas.text((right, box.top + 15), curve.name, 11, curve.colour, anchor="rm")
        right -= 7 * len(curve.name) + 14


def _nice(value: float) -> float:
    """The next number of the series 1, 2, 5, 10, ... that is not below `value`."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(step * decade for step in (1, 2, 5, 10) if step * decade >= value * (1 - 1e-9))
