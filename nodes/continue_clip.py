"""The next clip of an earlier one: it begins with the earlier one's last latent frames, known and kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..wm_core.camera import CameraPath, fit_crop
from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.shapes import latent_frames, pixel_frames, snap_frames
from .bridge import image_of, start_latent, vae_stride
from .conditioning import explain_lengths, with_camera
from .stages import decode_frames
from .types import Camera

AROUND = 8  # latent frames decoded on either side of the one frame that is encoded again


class SanaWMContinueVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMContinueVideo",
            display_name="SANA-WM Continue Video",
            category="SANA-WM/conditioning",
            description="Start a new video at the end of an earlier one, for longer shots or another prompt. Join both with "
            "SANA-WM Stitch Clips. For the dense model; the streaming one goes on by itself.",
            inputs=[
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative", tooltip="An empty prompt, as released."),
                io.Vae.Input("vae", tooltip="The LTX-2 video VAE."),
                io.Latent.Input("previous", tooltip="The earlier video, as the sampler gave it."),
                Camera.Input("previous_camera", tooltip="The earlier video's camera."),
                Camera.Input(
                    "camera", tooltip="Where the camera goes next. Its first frame is put on the earlier video's last."
                ),
                io.Int.Input(
                    "length",
                    default=161,
                    min=1,  # and not 0: the frontend rounds to whole steps from here, so 8k + 1 stays 8k + 1
                    max=100001,
                    step=8,
                    tooltip="Frames of the new video, those that it shares with the earlier one included; goes to the "
                    "nearest 8k + 1.",
                ),
                io.Int.Input(
                    "anchor",
                    default=2,
                    min=0,
                    max=1000,
                    tooltip="Latent frames (8 frames each) of the earlier video that are kept besides a first frame. More "
                    "carry movement on better and leave less of the length for what is new. 0: the last frame alone.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.Latent.Output(display_name="latent"),
                Camera.Output(display_name="camera"),
                io.Int.Output(display_name="overlap"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, positive, negative, vae, previous, previous_camera, camera, length, anchor):
        stride, samples = vae_stride(vae), previous["samples"]
        frames = snap_frames(length, multiple=stride.t)
        shape = latent_frames(frames, stride), *samples.shape[-2:]
        overlap = stride.t * anchor + 1
        _check(samples, anchor, frames, overlap)
        size = (shape[1] * stride.h, shape[2] * stride.w)
        end = pixel_frames(samples.shape[2], stride)
        path = joined_cameras(previous_camera.with_length(end).slice(end - overlap, end), camera, size)
        explain_lengths(length, frames, path.frames, cls.hidden.unique_id)
        path = path.with_length(frames)
        first = vae.encode(image_of(last_frame_of(vae, samples, samples.shape[2] - 1 - anchor)))
        known = torch.cat([first, samples[:1, :, samples.shape[2] - anchor :].to(first)], dim=2)
        positive, negative = with_camera(positive, negative, path, shape, stride)
        return io.NodeOutput(positive, negative, start_latent(known, shape[0]), path, overlap)


def joined_cameras(known: CameraPath, following: CameraPath, size: tuple[int, int]) -> CameraPath:
    """`known`, then `following` from its last camera on, both cut to pictures of `size` (h, w).

    The dialect is that of `following`: what is known is not generated.
    """
    parts = [path.cropped(fit_crop(path.size, size)) for path in (known, following)]
    path = parts[0].then(parts[1])
    return replace(path, provenance=replace(path.provenance, dialect=following.provenance.dialect))


def last_frame_of(vae, samples: Tensor, latent: int) -> np.ndarray:
    """The last pixel frame (h, w, 3) uint8 of one latent frame of samples (b, c, t, h, w), decoded in a window."""
    start = max(0, latent - AROUND)
    window = samples[:1, :, start : latent + AROUND + 1]
    frames = (frame for piece in decode_frames(vae, window) for frame in piece)
    return next(islice(frames, (latent - start) * vae_stride(vae).t, None))


def _check(samples: Tensor, anchor: int, frames: int, overlap: int) -> None:
    if samples.ndim != 5:
        raise ShapeError(
            f"previous must be a video (1, c, t, h, w), got {tuple(samples.shape)}; connect a video's latent"
        )
    if not 0 <= anchor < samples.shape[2]:
        raise ConfigError(
            f"anchor must be 0 to {samples.shape[2] - 1} for an earlier video of {samples.shape[2]} latent frames, got "
            f"{anchor}; keep fewer"
        )
    if frames <= overlap:
        raise ConfigError(
            f"length must be more than {overlap}, the frames that anchor {anchor} keeps, got {frames}; make it longer or "
            "keep fewer"
        )


NODES = [SanaWMContinueVideo]
