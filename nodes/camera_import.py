"""Camera nodes that take a camera from elsewhere in the graph."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import EASINGS, load3d_path
from .camera import CATEGORY, picture_size
from .compat import advanced
from .types import Camera


class SanaWMCameraFromLoad3D(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        more = [io.Load3DCamera.Input(f"camera_{n}", optional=True, tooltip="The next one.") for n in (2, 3, 4)]
        fps = io.Float.Input(
            "fps", default=16.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second; trained at 16."
        )
        return io.Schema(
            node_id="SanaWMCameraFromLoad3D",
            display_name="SANA-WM Camera from 3D",
            category=CATEGORY,
            description="A smooth path through the cameras of 3-D nodes: Load 3D, Preview 3D, Create Camera Info, Camera Angle. "
            "It begins at the first one, which becomes where the picture was taken from.",
            inputs=[
                io.Load3DCamera.Input("camera_1", tooltip="camera_info: where the picture is taken from."),
                *more,
                io.Int.Input("frames", default=161, min=1, max=100_000, step=8, tooltip="Length; 16 are a second."),
                io.Combo.Input(
                    "easing", options=list(EASINGS), default="smooth", tooltip="smooth starts and ends at rest."
                ),
                io.Float.Input(
                    "metres",
                    default=1.0,
                    min=0.001,
                    max=1000.0,
                    step=0.01,
                    tooltip="Length of the scene's unit. Many models are a unit or two high, whatever they show.",
                ),
                io.Float.Input(
                    "fov",
                    default=50.0,
                    min=1.0,
                    max=170.0,
                    step=0.1,
                    tooltip="Vertical degrees, as 3-D nodes count them; only for cameras that do not say theirs.",
                ),
                io.Image.Input("image", optional=True, tooltip="The first frame: its size is what the view is of."),
                advanced(fps),
            ],
            outputs=[Camera.Output(display_name="camera")],
        )

    @classmethod
    def execute(
        cls, camera_1, frames, easing, metres, fov, camera_2=None, camera_3=None, camera_4=None, image=None, fps=16.0
    ):
        cameras = [camera for camera in (camera_1, camera_2, camera_3, camera_4) if camera is not None]
        size = picture_size(image)
        return io.NodeOutput(
            load3d_path(cameras, frames=frames, size=size, fov_deg=fov, metres=metres, easing=easing, fps=fps)
        )


NODES = [SanaWMCameraFromLoad3D]
