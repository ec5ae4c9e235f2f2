"""Camera nodes to look before you wait: what a path does, and what it will ask of the model."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..wm_core.camera import describe, preflight, preview_picture
from .bridge import image_of, picture_of, say
from .camera import CATEGORY
from .depth import DEPTHS, depth_inputs, metres_of
from .types import Camera


class SanaWMCameraPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraPreview",
            display_name="SANA-WM Camera Preview",
            category=CATEGORY,
            description="The path from above and from the side, its speed and field of view, and what it does in words. "
            "Costs nothing: look before you wait for a video.",
            inputs=[
                Camera.Input("camera"),
                io.Image.Input("image", optional=True, tooltip="The first frame, shown beside the path."),
            ],
            outputs=[io.Image.Output(display_name="image"), io.String.Output(display_name="summary")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, camera, image=None):
        card = image_of(preview_picture(camera, picture=None if image is None else picture_of(image)))
        return io.NodeOutput(card, describe(camera), ui=ui.PreviewImage(card, cls=cls))


class SanaWMCameraPreflight(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraPreflight",
            display_name="SANA-WM Camera Preflight",
            category=CATEGORY,
            description="What a path will ask of the model, before you wait: speeds and turns beside those of known paths, "
            "pitch, field of view, frame counts, what the first second shows, where it comes back. Costs nothing.",
            inputs=[
                Camera.Input("camera"),
                io.Image.Input("image", optional=True, tooltip="The first frame, shown beside the path."),
                io.Image.Input(
                    "depth",
                    optional=True,
                    tooltip="Depth of the first frame: finds where the camera would go into something.",
                ),
                *depth_inputs(),
            ],
            outputs=[
                Camera.Output(display_name="camera"),
                io.String.Output(display_name="report"),
                io.Image.Output(display_name="picture"),
                io.Int.Output(display_name="warnings", tooltip="How many."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, camera, image=None, depth=None, depth_values=DEPTHS[0], nearest=1.0, farthest=30.0, geometry=None):
        metres = metres_of(depth, geometry, camera.size, depth_values, nearest, farthest)
        found = preflight(camera, depth=metres)
        first = None if image is None else picture_of(image)
        card = image_of(preview_picture(camera, picture=first, preflight=found))
        say(found.text, cls.hidden.unique_id)
        shown = {**ui.PreviewImage(card, cls=cls).as_dict(), **ui.PreviewText(found.text).as_dict()}
        return io.NodeOutput(camera, found.text, card, len(found.warnings), ui=shown)


NODES = [SanaWMCameraPreview, SanaWMCameraPreflight]
