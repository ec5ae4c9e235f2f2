"""The camera drawn on a film: where it is, what it does, and where the horizon lies."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import Layers, overlaid
from ..wm_core.errors import ShapeError
from .bridge import collected, picture_of
from .camera import CATEGORY
from .types import Camera


class SanaWMCameraOverlay(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraOverlay",
            display_name="SANA-WM Camera Overlay",
            category=CATEGORY,
            description="Draw on each frame of a film where its camera is, which keys are held, and where the horizon should be.",
            inputs=[
                io.Image.Input("images", tooltip="The film's frames, from its first on."),
                Camera.Input("camera", tooltip="The camera that the film was made with."),
                io.Boolean.Input("way", default=True, tooltip="A map from above with the camera's place on it."),
                io.Boolean.Input(
                    "keys", default=True, tooltip="The keys that are held; of other paths, those that would make it."
                ),
                io.Boolean.Input("horizon", default=True, tooltip="The line where level rays end."),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, images, camera, way=True, keys=True, horizon=True):
        if len(images) > camera.frames:
            raise ShapeError(
                f"the film has {len(images)} frames, its camera {camera.frames}; connect the camera that it was made with"
            )
        pictures = (picture_of(frame[None]) for frame in images)
        drawn = overlaid(pictures, camera, Layers(way, keys, horizon))
        return io.NodeOutput(collected(drawn, len(images), tuple(images.shape[1:3])))


NODES = [SanaWMCameraOverlay]
