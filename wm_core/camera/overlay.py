"""Preview cards of a camera path: what the model will be asked to do, before any GPU time is spent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .canvas import MUTED, TEXT, WARNING, Box, Canvas, Colour
from .intrinsics import field_of_view_deg
from .marks import draw_marks, draw_marks_key, draw_warnings, list_warnings, shade_warned, warned_frames
from .motion import Motion, measure
from .narrate import describe
from .path import CameraPath
from .preflight import Preflight
from .views import SIDE, TOP, Curve, draw_chart, draw_path, draw_time_key, places_on_plan, plot_of

_CARD = (576, 1024)  # (h, w) design units
_SPEED: Colour = (110, 205, 150)
_YAW: Colour = (120, 170, 255)
_PITCH: Colour = (240, 150, 110)


def preview_picture(
    path: CameraPath,
    *,
    width: int = 1024,
    height: int = 576,
    picture: NDArray | None = None,
    preflight: Preflight | None = None,
) -> NDArray:
    """A card about a path: top and side view, speed and turning over time, numbers, and a sentence.

    picture: (h, w, 3) uint8, the first frame, shown small when given. preflight: of this path; what it warns of is drawn
    red and listed, and where the camera comes back is ringed. Result: (height, width, 3) uint8. The card has the shape
    16:9 and is centred in pictures of another shape.
    """
    if width < 320 or height < 180:
        raise ShapeError(f"a camera preview needs at least 320 x 180 pixels, got {width} x {height}")
    if picture is not None and (picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8):
        raise ShapeError(f"the preview's picture must be (h, w, 3) uint8, got {picture.shape} {picture.dtype}")
    unit = min(width / _CARD[1], height / _CARD[0])
    canvas = Canvas(height, width, unit, ((width - unit * _CARD[1]) / 2, (height - unit * _CARD[0]) / 2))
    motion = measure(path)
    _draw_sentence(canvas, path)
    _draw_ways(canvas, Box(14, 62, 566, 562), path, motion, preflight)
    _draw_summary(canvas, Box(576, 62, 1010, 314), path, motion, picture)
    warned = warned_frames(preflight) if preflight else ()
    speed = [Curve("", motion.speed, _SPEED, warned)]
    charts = Box(576, 324, 1010, 438), Box(576, 448, 1010, 562)
    draw_chart(canvas, charts[0], "speed, m/s", speed, motion.seconds, 0.1)
    turning = [
        Curve("yaw, right +", np.diff(motion.yaw_deg) * path.fps, _YAW),
        Curve("pitch, up +", np.diff(motion.pitch_deg) * path.fps, _PITCH),
    ]
    draw_chart(canvas, charts[1], "turn, °/s", turning, motion.seconds, 1.0)
    for chart in charts:
        shade_warned(canvas, plot_of(chart), path.frames, warned)
    return canvas.finish()


def path_plan(path: CameraPath, size: tuple[int, int]) -> NDArray:
    """The path from above, alone. size: (h, w) pixels. Result: (h, w, 3) uint8."""
    height, width = size
    if min(size) < 64:
        raise ShapeError(f"a path plan needs at least 64 x 64 pixels, got {width} x {height}")
    unit = min(height, width) / 240
    canvas = Canvas(height, width, unit)
    draw_path(canvas, Box(0, 0, width / unit, height / unit), TOP, measure(path), opening(path))
    return canvas.finish()


def opening(path: CameraPath) -> NDArray:
    """Slopes of the picture's edges in the first frame: left and right x / z, upper and lower y / z; (2, 2)."""
    fx, fy, cx, cy = path.intrinsics[0].astype(np.float64)
    height, width = path.size
    return np.array([(-cx / fx, (width - cx) / fx), (-cy / fy, (height - cy) / fy)])


def _draw_sentence(canvas: Canvas, path: CameraPath) -> None:
    sentence = describe(path)
    lines = canvas.wrap(sentence[0].upper() + sentence[1:], 16, 996, 2)
    for n, line in enumerate(lines):
        canvas.text((16, (38 if len(lines) == 1 else 28) + 21 * n), line, 16, TEXT)


def _draw_ways(canvas: Canvas, box: Box, path: CameraPath, motion: Motion, found: Preflight | None) -> None:
    """The path from above and from the side, and below them the warnings, for which the two make room."""
    listing = list_warnings(canvas, found, box.width) if found else None
    room = listing.height + 10 if listing and listing.count else 0.0
    top, side = (
        Box(box.left, box.top, box.right, 408 - 0.8 * room),
        Box(box.left, 418 - 0.8 * room, box.right, 562 - room),
    )
    for view, panel in ((TOP, top), (SIDE, side)):
        draw_path(canvas, panel, view, motion, opening(path), warned_frames(found) if found else ())
        if found:
            draw_marks(canvas, places_on_plan(panel, view, motion), found)
    draw_time_key(canvas, top.left + 10, top.bottom - 13, motion.seconds)
    if found:
        draw_marks_key(canvas, top.left + 180, top.bottom - 13, found)
    if room:
        draw_warnings(canvas, box._replace(top=box.bottom - listing.height), listing)


def _draw_summary(canvas: Canvas, box: Box, path: CameraPath, motion: Motion, picture: NDArray | None) -> None:
    canvas.panel(box, "camera path")
    y = box.top + 42
    for name, value, colour in _facts(path, motion):
        canvas.text((box.left + 12, y), name, 13, MUTED)
        canvas.text((box.left + 84, y), value, 13, colour)
        y += 21
    if path.provenance.actions:
        canvas.text((box.left + 12, y), "actions", 13, MUTED)
        actions = path.provenance.actions.replace("\uff0c", ",")  # the font has no full-width comma
        for n, line in enumerate(canvas.wrap(actions, 13, box.width - 96, 2)):
            canvas.text((box.left + 84, y + 18 * n), line, 13, TEXT)
    if picture is not None:
        canvas.picture(picture, Box(box.right - 166, box.top + 12, box.right - 12, box.top + 150))


def _facts(path: CameraPath, motion: Motion) -> list[tuple[str, str, Colour]]:
    """Rows of the summary: name, value, colour of the value."""
    horizontal, vertical = field_of_view_deg(path.intrinsics[0], path.size)
    guessed = path.provenance.intrinsics_source == "guess"
    view = f"{horizontal:.0f}° x {vertical:.0f}°" + (", guessed" if guessed else "")
    mean = motion.length_m / motion.seconds if motion.seconds else 0.0
    low, high = (round(float(limit)) for limit in (motion.pitch_deg.min(), motion.pitch_deg.max()))
    origin = path.provenance.dialect or path.provenance.source.removeprefix("preset:")
    return [
        ("frames", f"{path.frames} at {path.fps:g} fps, {motion.seconds:.1f} s", TEXT),
        ("length", f"{motion.length_m:.2f} m", TEXT),
        ("speed", f"{mean:.2f} m/s, peak {motion.speed.max(initial=0.0):.2f}", TEXT),
        ("net yaw", _side(motion.yaw_deg[-1]), TEXT),
        ("pitch", f"{low}° to {high}°" if low != high else f"{low}°", TEXT),
        ("view", view, WARNING if guessed else TEXT),
        ("picture", f"{path.size[1]} x {path.size[0]}", TEXT),
        ("dialect" if path.provenance.dialect else "source", origin, TEXT),
    ]


def _side(yaw_deg: float) -> str:
    if abs(yaw_deg) < 0.05:
        return "0°"
    return f"{abs(yaw_deg):.1f}° {'right' if yaw_deg > 0 else 'left'}"
