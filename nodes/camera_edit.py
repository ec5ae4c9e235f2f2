"""Camera nodes that change a path: edit one, join several."""

from __future__ import annotations

from collections.abc import Callable

from comfy_api.latest import io

from ..wm_core.camera import EASINGS, CameraPath, describe, reshaping, retiming
from ..wm_core.errors import CameraError
from .bridge import say
from .camera import CATEGORY
from .compat import advanced
from .types import Camera

KEEP, EVEN = "keep", "constant speed"


def _number(name: str, tooltip: str, *, least: float = 0.0, most: float = 1e4, default: float = 0.0, step: float = 0.1):
    return io.Float.Input(name, default=default, min=least, max=most, step=step, tooltip=tooltip)


def _count(name: str, tooltip: str, *, least: int = 0, default: int = 0):
    return io.Int.Input(name, default=default, min=least, max=100_000, tooltip=tooltip)


class SanaWMCameraEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraEdit",
            display_name="SANA-WM Edit Camera",
            category=CATEGORY,
            description="Change a camera path. What is set is done from top to bottom; as it comes, nothing is.",
            inputs=[
                Camera.Input("camera"),
                _count("first_frame", "Cut: the first frame that stays."),
                _count("last_frame", "Cut: the last frame that stays, -1 the path's last.", least=-1, default=-1),
                io.Boolean.Input("backwards", default=False, tooltip="From the last camera to the first."),
                io.Combo.Input(
                    "timing",
                    options=[KEEP, EVEN, *EASINGS],
                    default=KEEP,
                    tooltip="Speed along the way, in as many frames: constant speed makes equal steps, smooth starts and ends "
                    "at rest, settle arrives early and comes to rest at the end.",
                ),
                _count("frames", "Stretch the whole way to so many frames: faster or slower. 0: as many as it has."),
                _number("smooth", "Seconds between the points that a smooth curve is laid through. 0: as it is."),
                _number(
                    "speed", "Scale all distances so that the mean speed is this, in metres a second. 0: as it is."
                ),
                _number("scale", "All distances times this.", least=0.001, default=1.0, step=0.05),
                io.Boolean.Input("mirror", default=False, tooltip="Left becomes right."),
                io.Boolean.Input(
                    "on_ground", default=False, tooltip="Stay at the first camera's height, without roll."
                ),
                io.String.Input(
                    "look_at",
                    default="",
                    tooltip="x, y, z in metres from the first camera: right, down, ahead. Every camera turns to that point. "
                    "Empty: as it is.",
                ),
                _count("hold_start", "Stand still for so many frames first."),
                _count("hold_end", "Stand still for so many frames at the end."),
                _count("close", "Come back to the first camera in so many frames more: a loop. 0: no."),
                _number("shake", "Handheld: degrees that it sways. 0: none. It sways 2 cm for each degree.", most=20.0),
                advanced(_count("shake_seed", "The same seed gives the same shake.")),
                advanced(_number("shake_rate", "How often it sways, in times a second.", least=0.05, default=1.2)),
            ],
            outputs=[Camera.Output(display_name="camera"), io.String.Output(display_name="summary")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, camera, first_frame=0, last_frame=-1, backwards=False, timing=KEEP, frames=0, smooth=0.0, speed=0.0, scale=1.0,
        mirror=False, on_ground=False, look_at="", hold_start=0, hold_end=0, close=0, shake=0.0, shake_seed=0, shake_rate=1.2,
    ):  # fmt: skip
        last = camera.frames - 1 if last_frame == -1 else last_frame
        steps: list[tuple[bool, Callable[[CameraPath], CameraPath]]] = [
            ((first_frame, last) != (0, camera.frames - 1), lambda p: p.slice(first_frame, last + 1)),
            (backwards, retiming.backwards),
            (timing == EVEN, retiming.at_constant_speed),
            (timing not in (KEEP, EVEN), lambda p: retiming.eased(p, timing)),
            (frames > 0, lambda p: retiming.with_frames(p, frames)),
            (smooth > 0, lambda p: reshaping.smoothed(p, smooth)),
            (speed > 0, lambda p: reshaping.at_mean_speed(p, speed)),
            (scale != 1, lambda p: reshaping.scaled(p, scale)),
            (mirror, reshaping.mirrored),
            (on_ground, reshaping.on_ground),
            (bool(look_at.strip()), lambda p: reshaping.looking_at(p.relative_to_first(), _point(look_at))),
            (hold_start > 0, lambda p: retiming.held(p, 0, hold_start)),
            (hold_end > 0, lambda p: retiming.held(p, -1, hold_end)),
            (close > 0, lambda p: retiming.closed(p, close)),
            (
                shake > 0,
                lambda p: reshaping.shaken(p, shake_seed, degrees=shake, metres=shake / 50, rate_hz=shake_rate),
            ),
        ]
        for is_wanted, change in steps:
            camera = change(camera) if is_wanted else camera
        told = describe(camera)
        say(told, cls.hidden.unique_id)
        return io.NodeOutput(camera, told)


class SanaWMCameraJoin(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraJoin",
            display_name="SANA-WM Join Cameras",
            category=CATEGORY,
            description="One path behind the other: each begins where the camera before it stopped, looking the same way.",
            inputs=[
                Camera.Input("first"),
                Camera.Input("second"),
                Camera.Input("third", optional=True),
                Camera.Input("fourth", optional=True),
            ],
            outputs=[Camera.Output(display_name="camera")],
        )

    @classmethod
    def execute(cls, first, second, third=None, fourth=None):
        joined = first
        for following in (second, third, fourth):
            joined = joined if following is None else joined.then(following)
        return io.NodeOutput(joined)


NODES = [SanaWMCameraEdit, SanaWMCameraJoin]


def _point(text: str) -> tuple[float, ...]:
    """Three numbers with commas or spaces between them."""
    parts = text.replace(",", " ").split()
    try:
        point = tuple(float(part) for part in parts)
    except ValueError:
        point = ()
    if len(point) != 3:
        raise CameraError(f"look_at must be x, y, z in metres, such as 0, 0, 3, got {text!r}; y counts downwards")
    return point
