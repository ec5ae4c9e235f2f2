"""The camera editor: keyframes drawn in the browser, kept as text in the workflow, made into a path here."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io, ui

from ..wm_core.camera import (
    CameraPath,
    Key,
    Keyframes,
    describe,
    keyframed_path,
    keyframes_of,
    preview_picture,
    read_keyframes,
    write_keyframes,
)
from ..wm_core.errors import CameraError
from .bridge import image_of, picture_of, say
from .camera import CATEGORY, picture_size
from .compat import advanced
from .depth import DEPTHS, depth_inputs, keep_depth, metres_of
from .types import Camera

SHOWN = "sana_wm_camera"  # of a node's output: what the editor draws the scene from


class SanaWMCameraEditor(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        fps = io.Float.Input(
            "fps", default=16.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second; the model was trained at 16."
        )
        return io.Schema(
            node_id="SanaWMCameraEditor",
            display_name="SANA-WM Camera Editor",
            category=CATEGORY,
            description="Draw the camera's path: keyframes in a 3-D view, a flight with the keyboard, a preset, or a file. The "
            "workflow keeps the keyframes, so that a graph sent without the browser gives the same path.",
            inputs=[
                io.String.Input(
                    "state",
                    default="",
                    tooltip="The keyframes, as JSON. The editor writes it; empty is a camera that stands still.",
                ),
                io.Int.Input(
                    "length", default=161, min=1, max=100_000, step=8, tooltip="Frames of the path; 16 are a second."
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="The first frame: shown in the editor, and its size is the path's."
                ),
                io.Image.Input("depth", optional=True, tooltip="Its depth map: the editor shows the scene as points."),
                Camera.Input(
                    "camera_in",
                    optional=True,
                    tooltip="A path to start from. It goes through as it is until the first edit, and is never written over.",
                ),
                advanced(fps),
                *depth_inputs(),
            ],
            outputs=[
                Camera.Output(display_name="camera"),
                io.String.Output(display_name="keyframes", tooltip="The document as JSON."),
                io.Image.Output(display_name="preview"),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, state="", length=161, image=None, depth=None, camera_in=None, fps=16.0, depth_values=DEPTHS[0],
        nearest=1.0, farthest=30.0, geometry=None,
    ):  # fmt: skip
        size = picture_size(image) if image is not None or camera_in is None else camera_in.size
        seed = None if camera_in is None else _seed(camera_in)
        if state.strip():
            keyframes = replace(read_keyframes(state), frames=length, size=size, fps=fps)
            path = keyframed_path(keyframes)
        elif camera_in is not None:
            keyframes, path = seed, camera_in
        else:
            keyframes = Keyframes((Key(0),), length, size, fps)
            path = keyframed_path(keyframes)
        picture = None if image is None else picture_of(image)
        card = image_of(preview_picture(path, picture=picture))
        say(describe(path), cls.hidden.unique_id)
        metres = metres_of(depth, geometry, size, depth_values, nearest, farthest)
        shown = {
            "seed": seed and write_keyframes(seed),
            "frames": path.frames,
            "fps": path.fps,
            "size": list(size),
            "picture": None if image is None else dict(ui.PreviewImage(image[:1], cls=cls).as_dict()["images"][0]),
            "depth": None if metres is None else keep_depth(metres),
        }
        text = "" if keyframes is None else write_keyframes(keyframes)
        return io.NodeOutput(path, text, card, ui={SHOWN: [shown]})


NODES = [SanaWMCameraEditor]


def _seed(path: CameraPath) -> Keyframes | None:
    """Keyframes of the path that came in; none if it takes too many, and then it cannot be edited."""
    try:
        return keyframes_of(path).keyframes
    except CameraError:
        return None
