"""A camera for other models and nodes."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import DIALECTS, exported_text, omnicam_text, to_load3d, translated, wan_embedding
from .bridge import say
from .camera import CATEGORY
from .types import Camera


class SanaWMCameraToWan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraToWan",
            display_name="SANA-WM Camera to Wan",
            category=CATEGORY,
            description="The same camera for Wan's camera models: connect it to Wan Camera Image to Video.",
            inputs=[
                Camera.Input("camera", tooltip="Of 4k + 1 frames, such as 81."),
                io.Int.Input("width", default=832, min=16, max=16384, step=16, tooltip="Of Wan's video, pixels."),
                io.Int.Input("height", default=480, min=16, max=16384, step=16, tooltip="Of Wan's video, pixels."),
            ],
            outputs=[
                io.WanCameraEmbedding.Output(display_name="camera_embedding"),
                io.Int.Output(display_name="width"),
                io.Int.Output(display_name="height"),
                io.Int.Output(display_name="length"),
            ],
        )

    @classmethod
    def execute(cls, camera, width, height):
        return io.NodeOutput(wan_embedding(camera, (height, width)), width, height, camera.frames)


class SanaWMCameraConvert(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMCameraConvert",
            display_name="SANA-WM Camera Convert",
            category=CATEGORY,
            description="The camera for 3-D nodes, for OmniCam and for nerfstudio. Save Camera writes it to files.",
            inputs=[
                Camera.Input("camera"),
                io.Int.Input(
                    "frame", default=0, min=-1, max=99_999, tooltip="Whose camera the 3-D nodes show. -1: the last one."
                ),
                io.Float.Input(
                    "distance",
                    default=1.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    tooltip="Metres to the target, which lies straight ahead: what 3-D nodes and OmniCam turn around.",
                ),
            ],
            outputs=[
                io.Load3DCamera.Output(display_name="camera_info", tooltip="One camera, for Preview 3D and others."),
                io.String.Output(display_name="omnicam", tooltip="The whole path as a track of OmniCam, JSON."),
                io.String.Output(display_name="nerfstudio", tooltip="The whole path as transforms.json."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, camera, frame, distance):
        info = to_load3d(camera, frame, distance)
        track, left_out = omnicam_text(camera, distance=distance)
        if left_out:
            say("\n".join(left_out), cls.hidden.unique_id)
        return io.NodeOutput(info, track, exported_text(camera, "nerfstudio"))


class SanaWMActionsConvert(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMActionsConvert",
            display_name="SANA-WM Convert Actions",
            category=CATEGORY,
            description="An action string in the words of another program, and how far the two cameras are apart: the same "
            "string is another path in each.",
            inputs=[
                io.String.Input(
                    "actions",
                    default="w-80,dw-40,w-40",
                    multiline=True,
                    tooltip="Comma-separated keys-frames, or words-latents of hy-worldplay.",
                ),
                io.Combo.Input("source", options=list(DIALECTS), default="nvlabs-v2", tooltip="Whose words they are."),
                io.Combo.Input(
                    "target", options=list(DIALECTS), default="nvlabs-v1", tooltip="Whose words they shall be."
                ),
            ],
            outputs=[
                io.String.Output(display_name="actions"),
                io.String.Output(display_name="told", tooltip="How far the new way is from the old one."),
                io.Float.Output(display_name="metres"),
                io.Float.Output(display_name="degrees"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, actions, source, target):
        found = translated(actions, source, target)
        say(f"{found.actions}: {found.told}", cls.hidden.unique_id)
        return io.NodeOutput(found.actions, found.told, found.metres, found.degrees)


NODES = [SanaWMCameraToWan, SanaWMCameraConvert, SanaWMActionsConvert]
