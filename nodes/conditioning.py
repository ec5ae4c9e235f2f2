"""Prompt, first frame and camera into what a sampler takes."""

from __future__ import annotations

import node_helpers
from comfy_api.latest import io

from ..wm_core.camera import CameraPath, build_conditions, fit_crop
from ..wm_core.shapes import Stride, latent_frames, latent_size, snap_frames
from .bridge import cropped, first_frame_latent, say, vae_stride
from .native import CAMERA_KEY, DIALECT_KEY
from .types import Camera


class SanaWMImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMImageToVideo",
            display_name="SANA-WM Image to Video",
            category="SANA-WM/conditioning",
            description="Start a video at a picture and move the camera through it. Connect the outputs to KSampler or "
            "SamplerCustomAdvanced (sampler euler).",
            inputs=[
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative", tooltip="An empty prompt, as released."),
                io.Vae.Input("vae", tooltip="The LTX-2 video VAE."),
                io.Image.Input("image", tooltip="First frame. Resized to cover the video and cut at the centre."),
                Camera.Input(
                    "camera", tooltip="Where the camera goes; its intrinsics get the same cut as the picture."
                ),
                io.Int.Input(
                    "width",
                    default=1280,
                    min=32,
                    max=8192,
                    step=32,
                    tooltip="Pixels, a multiple of 32 (of the VAE's stride). The model was released for 1280.",
                ),
                io.Int.Input(
                    "height", default=704, min=32, max=8192, step=32, tooltip="Pixels, likewise; released: 704."
                ),
                io.Int.Input(
                    "length",
                    default=161,
                    min=1,  # and not 0: the frontend rounds to whole steps from here, so 8k + 1 stays 8k + 1
                    max=100001,
                    step=8,
                    tooltip="Frames, 16 a second; goes to the nearest 8k + 1. A video longer than the camera's path holds "
                    "the last camera, a shorter one cuts the path. An action string of n frames makes n + 1 cameras.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.Latent.Output(display_name="latent"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, positive, negative, vae, image, camera, width, height, length):
        stride = vae_stride(vae)
        grid = latent_size(height, width, stride)
        frames = snap_frames(length, multiple=stride.t)
        explain_lengths(length, frames, camera.frames, cls.hidden.unique_id)
        size = (height, width)
        picture = cropped(image, fit_crop(tuple(image.shape[1:3]), size))
        path = camera.with_length(frames).cropped(fit_crop(camera.size, size))
        latents = latent_frames(frames, stride)
        positive, negative = with_camera(positive, negative, path, (latents, *grid), stride)
        return io.NodeOutput(positive, negative, first_frame_latent(vae, picture, latents))


def with_camera(positive: list, negative: list, path: CameraPath, shape: tuple[int, int, int], stride: Stride):
    """Both conditionings with the camera of a latent of `shape` (t, h, w); they share it, so that they run as a batch."""
    values = {CAMERA_KEY: build_conditions(path, shape, stride), DIALECT_KEY: path.provenance.dialect}
    return tuple(node_helpers.conditioning_set_values(prompt, values) for prompt in (positive, negative))


def explain_lengths(asked: int, frames: int, camera_frames: int, node_id: str | None) -> None:
    """Tell the user where the length or the camera's path was changed to fit the other."""
    notes = []
    if frames != asked:
        notes.append(f"{asked} frames became {frames}, the nearest 8k + 1")
    if camera_frames < frames:
        notes.append(f"the camera stands still after frame {camera_frames - 1}")
    elif camera_frames > frames:
        notes.append(f"the last {camera_frames - frames} frames of the camera's path are not used")
    if notes:
        say("; ".join(notes), node_id)


NODES = [SanaWMImageToVideo]
