"""The camera drawn on a film: where it is, what it does, and where the horizon lies."""

from __future__ import annotations

import comfy.model_management as management
import comfy.utils
import torch
from comfy_api.latest import io

from ..wm_core.camera import Layers, overlaid
from ..wm_core.errors import ShapeError
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
        progress, drawn = comfy.utils.ProgressBar(len(images)), torch.empty_like(images[..., :3])
        pictures = ((frame[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy() for frame in images)
        for number, frame in enumerate(overlaid(pictures, camera, Layers(way, keys, horizon))):
            management.throw_exception_if_processing_interrupted()
            drawn[number] = torch.from_numpy(frame).to(drawn) / 255
            progress.update(1)
        return io.NodeOutput(drawn)


NODES = [SanaWMCameraOverlay]
