"""Camera nodes to look before you wait: what a path does, and what it will ask of the model."""

from __future__ import annotations

from comfy_api.latest import io, ui
from numpy.typing import NDArray

from ..wm_core.camera import describe, preflight, preview_picture
from ..wm_core.errors import CameraError
from .bridge import depth_of, image_of, picture_of, say
from .camera import CATEGORY
from .compat import advanced, check_choice
from .types import Camera

DEPTHS = ["white is near", "metres"]


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
                advanced(
                    io.Combo.Input(
                        "depth_values",
                        optional=True,
                        options=DEPTHS,
                        default=DEPTHS[0],
                        tooltip="What the depth picture holds: a depth map as it is shown, white near, or metres.",
                    )
                ),
                advanced(_metres("nearest", 1.0, "Metres of white, in a depth map that is white where it is near.")),
                advanced(_metres("farthest", 30.0, "Metres of black.")),
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
    def execute(cls, camera, image=None, depth=None, depth_values=DEPTHS[0], nearest=1.0, farthest=30.0):
        check_choice("depth_values", depth_values, DEPTHS)
        found = preflight(camera, depth=None if depth is None else _depth_of(depth, depth_values, nearest, farthest))
        card = image_of(preview_picture(camera, picture=None if image is None else picture_of(image)))
        say(found.text, cls.hidden.unique_id)
        shown = {**ui.PreviewImage(card, cls=cls).as_dict(), **ui.PreviewText(found.text).as_dict()}
        return io.NodeOutput(camera, found.text, card, len(found.warnings), ui=shown)


NODES = [SanaWMCameraPreview, SanaWMCameraPreflight]


def _metres(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, optional=True, default=default, min=0.01, max=10_000.0, step=0.1, tooltip=tooltip)


def _depth_of(image, values: str, nearest: float, farthest: float) -> NDArray:
    """Metres (h, w) of the first picture of an IMAGE. A shown depth map is linear in 1 / depth, as such maps are made."""
    depth = depth_of(image)
    if values == DEPTHS[1]:
        return depth
    if not nearest < farthest:
        raise CameraError(f"nearest must be below farthest, got {nearest:g} and {farthest:g} metres")
    near = depth.clip(0, 1)
    return 1 / (near / nearest + (1 - near) / farthest)
