"""Camera nodes that make a path: of key presses, or of a preset."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import DIALECTS, EASINGS, PRESETS, actions_to_path, preset_path
from .compat import advanced
from .load import AUTO
from .types import Camera

DEFAULT_SIZE = (704, 1280)
CATEGORY = "SANA-WM/camera"


def _view_inputs() -> list[io.Input]:
    """Inputs that fix what the camera sees: the same in every node that makes a path."""
    fps = io.Float.Input(
        "fps", default=16.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second; the model was trained at 16."
    )
    return [
        io.Float.Input(
            "fov",
            default=0.0,
            min=0.0,
            max=170.0,
            step=0.1,
            tooltip="Horizontal field of view in degrees, of the picture as it is before it is cut. Phone 65 to 80, "
            "50 mm lens 40. 0: guess 90; a wrong value makes turns too wide or too narrow.",
        ),
        io.Image.Input("image", optional=True, tooltip="The first frame: its size is what the field of view is of."),
        advanced(fps),
    ]


def picture_size(image) -> tuple[int, int]:
    """(h, w) pixels of an IMAGE, or the released size where there is none."""
    return DEFAULT_SIZE if image is None else tuple(image.shape[1:3])


class SanaWMCameraFromActions(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        speed = io.Float.Input(
            "translation_speed",
            default=0.0,
            min=0.0,
            max=10.0,
            step=0.001,
            tooltip="Metres per frame of a full press. 0: the dialect's own.",
        )
        turn = io.Float.Input(
            "rotation_speed",
            default=0.0,
            min=0.0,
            max=45.0,
            step=0.01,
            tooltip="Degrees per frame of a full press. 0: the dialect's own.",
        )
        return io.Schema(
            node_id="SanaWMCameraFromActions",
            display_name="SANA-WM Camera from Actions",
            category=CATEGORY,
            description="Key presses to a camera path: w-40,dw-20 holds w for 40 frames, then d and w for 20.",
            inputs=[
                io.String.Input(
                    "actions",
                    default="w-80,dw-40,w-40",
                    multiline=True,
                    tooltip="Comma-separated keys-frames; keys of wasdijkl, or none. In nvlabs-v2 w s move, a d turn, "
                    "i k look up and down, j l step sideways. hy-worldplay has words: w-3,right-1.",
                ),
                io.Combo.Input(
                    "dialect",
                    options=list(DIALECTS),
                    default="nvlabs-v2",
                    tooltip="Whose meaning of the keys: the same string is another path in each. nvlabs-v2 is the current "
                    "release with inertia; nvlabs-v1 = diffusers = vllm-omni: a d step sideways, j l turn, twice as fast; "
                    "hy-worldplay: one of w s a d up down left right at a time, counted in latents of 4 frames.",
                ),
                *_view_inputs(),
                advanced(speed),
                advanced(turn),
            ],
            outputs=[Camera.Output(display_name="camera")],
        )

    @classmethod
    def execute(cls, actions, dialect, fov=0.0, image=None, fps=16.0, translation_speed=0.0, rotation_speed=0.0):
        path = actions_to_path(
            actions,
            dialect=dialect,
            size=picture_size(image),
            fov_deg=fov or None,
            fps=fps,
            translation_speed=translation_speed or None,
            rotation_speed_deg=rotation_speed or None,
        )
        return io.NodeOutput(path)


class SanaWMCameraPreset(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        units = "; ".join(f"{p.name} {p.amount:g} {p.unit}" for p in PRESETS.values() if p.amount)
        distance = io.Float.Input(
            "distance",
            default=3.0,
            min=0.05,
            max=1000.0,
            step=0.1,
            tooltip="Metres to what an orbit, crane, spiral or dolly zoom looks at.",
        )
        return io.Schema(
            node_id="SanaWMCameraPreset",
            display_name="SANA-WM Camera Preset",
            category=CATEGORY,
            description="A named camera move.",
            inputs=[
                io.Combo.Input("preset", options=list(PRESETS), default=next(iter(PRESETS)), tooltip="The move."),
                io.Float.Input(
                    "amount",
                    default=0.0,
                    min=-10000.0,
                    max=10000.0,
                    step=0.1,
                    tooltip=f"How far, in metres or degrees. 0: the preset's own ({units}). Negative: the other way.",
                ),
                io.Int.Input(
                    "frames", default=161, min=1, max=100001, step=8, tooltip="Length of the path; 16 are a second."
                ),
                io.Combo.Input(
                    "easing",
                    options=[AUTO, *EASINGS],
                    default=AUTO,
                    tooltip="smooth starts and ends at rest; settle goes a little too far and comes back. auto: settle for "
                    "push-in, smooth for all others.",
                ),
                *_view_inputs(),
                advanced(distance),
            ],
            outputs=[Camera.Output(display_name="camera")],
        )

    @classmethod
    def execute(cls, preset, amount, frames, easing, fov=0.0, image=None, fps=16.0, distance=3.0):
        path = preset_path(
            preset,
            frames=frames,
            size=picture_size(image),
            amount=amount or None,
            distance=distance,
            easing=None if easing == AUTO else easing,
            fov_deg=fov or None,
            fps=fps,
        )
        return io.NodeOutput(path)


NODES = [SanaWMCameraFromActions, SanaWMCameraPreset]
