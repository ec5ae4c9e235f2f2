"""What the camera does, drawn on the film itself: its way on a small map, the keys that are held, and the horizon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .actions import parse_actions
from .canvas import Box, Canvas, load_font
from .dialects import DEFAULT_DIALECT, DIALECTS
from .motion import measure
from .narrate import frame_signs
from .overlay import opening
from .path import CameraPath
from .views import TOP, draw_path, places_on_plan

_ROOM = 240  # design units that the picture's height counts
_MAP, _MARGIN, _KEY = 76.0, 6.0, 13.0
_PLAN = 240  # design units of the map itself
_KEYS = {"w": (1, 0), "a": (0, 1), "s": (1, 1), "d": (2, 1), "i": (5, 0), "j": (4, 1), "k": (5, 1), "l": (6, 1)}
_CONTROLS = ("forward", "strafe", None, "yaw", "pitch")  # as narrate orders its signs
_SHADE, _LIGHT, _HORIZON = (20, 20, 22, 150), (255, 190, 70, 235), (255, 255, 255, 150)


@dataclass(frozen=True)
class Layers:
    """What is drawn."""

    way: bool = True
    keys: bool = True
    horizon: bool = True


@dataclass(frozen=True, eq=False)
class _Map:
    """The way from above, (side, side, 3) uint8, and where on it the camera of each frame is, (f, 2) pixels x y."""

    picture: NDArray
    places: NDArray


def overlaid(frames: Iterable[NDArray], path: CameraPath, layers: Layers = Layers()) -> Iterator[NDArray]:
    """Frames (h, w, 3) uint8, one for each camera of the path from its first on, with the layers drawn on them.

    ShapeError for more frames than cameras.
    """
    held, plan = held_keys(path), None
    for number, frame in enumerate(frames):
        if number >= path.frames:
            raise ShapeError(
                f"the film has more frames than the camera's {path.frames}; give the camera that it was made with"
            )
        if layers.way and plan is None:
            plan = _drawn_map(path, len(frame))
        yield _drawn(frame, path, number, held[number], layers, plan)


def held_keys(path: CameraPath) -> list[str]:
    """Keys for each frame: of the action string if the path has one of letters, else those of its motion in nvlabs-v2."""
    actions, dialect = path.provenance.actions, DIALECTS.get(path.provenance.dialect)
    if actions and dialect and dialect.spelling == "letters" and not path.provenance.conversions:
        keys = ["".join(sorted(s.keys)) for s in parse_actions(actions) for _ in range(s.frames)]
    else:
        words = {role: key for key, role in DIALECTS[DEFAULT_DIALECT].keys.items()}
        signs = frame_signs(path).astype(int).tolist() if path.frames > 1 else []
        keys = ["".join(words[c, s] for c, s in zip(_CONTROLS, row) if c and s) for row in signs]
    return [*keys, *keys[-1:]] or [""]


def horizon(path: CameraPath, frame: int, size: tuple[int, int]) -> NDArray | None:
    """The line where level rays of this camera meet a picture of `size` (h, w): ends (2, 2) at its left and right edge, x y.

    None if the camera looks so steeply that it is not between them.
    """
    a, b, c = path.c2w[frame, 1, :3].astype(np.float64)  # how much each camera axis points down
    fx, fy, cx, cy = path.intrinsics[frame].astype(np.float64)
    if abs(b) < 1e-3:
        return None
    x = np.array((0.0, path.size[1]))
    y = cy - fy * (a * (x - cx) / fx + c) / b
    scale = np.array((size[1] / path.size[1], size[0] / path.size[0]))
    return np.stack([x, y], 1) * scale


def _drawn_map(path: CameraPath, height: int) -> _Map:
    """For pictures of that height in pixels."""
    box, motion = Box(0, 0, _PLAN, _PLAN), measure(path)
    side = round(_MAP * height / _ROOM)
    canvas = Canvas(side, side, side / _PLAN)
    draw_path(canvas, box, TOP, motion, opening(path))
    return _Map(canvas.finish(), places_on_plan(box, TOP, motion) * side / _PLAN)


def _drawn(frame: NDArray, path: CameraPath, number: int, keys: str, layers: Layers, plan: _Map | None) -> NDArray:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture, "RGBA")
    height, width = frame.shape[:2]
    unit = height / _ROOM
    if layers.horizon:
        line = horizon(path, number, (height, width))
        if line is not None:
            draw.line([tuple(point) for point in line.tolist()], fill=_HORIZON, width=max(1, round(unit)))
    if layers.keys:
        _draw_keys(draw, height, unit, keys)
    if plan is not None:
        corner = np.array((width, height)) - round(_MARGIN * unit) - len(plan.picture)
        picture.paste(Image.fromarray(plan.picture), tuple(corner.tolist()))
        x, y = corner + plan.places[number]
        radius = max(2.0, 2.4 * unit)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_LIGHT)
    return np.array(picture)


def _draw_keys(draw, height: int, unit: float, held: str) -> None:
    font = load_font(max(6, round(8 * unit)))
    top = height - (_MARGIN + 2 * _KEY) * unit
    for key, (column, row) in _KEYS.items():
        x, y = (_MARGIN + column * _KEY) * unit, top + row * _KEY * unit
        inner = (x + unit, y + unit, x + (_KEY - 1) * unit, y + (_KEY - 1) * unit)
        draw.rounded_rectangle(inner, radius=2 * unit, fill=_LIGHT if key in held else _SHADE)
        colour = (20, 20, 22) if key in held else (235, 235, 238)
        draw.text((x + _KEY * unit / 2, y + _KEY * unit / 2), key.upper(), colour, font, "mm")
