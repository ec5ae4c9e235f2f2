"""A VIDEO or a LATENT as frames that come in pieces, so that a clip of any length is read in flat memory."""

from __future__ import annotations

import io as memory
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from comfy_api.latest import InputImpl, io
from numpy.typing import NDArray
from torch import Tensor

from ..wm_core.camera import CameraPath
from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.rollout import open_video
from ..wm_core.shapes import pixel_frames
from .bridge import vae_stride
from .stages import decode_frames

PIECE = 32  # frames held at a time: 86 MB of 1280 x 704


@dataclass(frozen=True, eq=False)
class Clip:
    """What will be read. size: (h, w) pixels. pieces: starts reading, (f, h, w, 3) uint8 each."""

    frames: int
    size: tuple[int, int]
    fps: float
    pieces: Callable[[], Iterator[NDArray | Tensor]]
    has_audio: bool = False


def fps_input() -> io.Input:
    return io.Float.Input(
        "fps",
        default=16.0,
        min=1.0,
        max=120.0,
        step=1.0,
        tooltip="Frames per second of a latent without a camera; a camera and a video bring their own.",
    )


def clip_of(name: str, value, vae, camera: CameraPath | None, fps: float) -> Clip:
    """The clip that an input of that name holds, a VIDEO or a LATENT.

    A VIDEO has a frame rate of its own, a LATENT gets that of its camera, or else `fps`.
    """
    if not isinstance(value, dict):
        return _of_video(value)
    latent = value["samples"]
    if latent.ndim != 5:
        raise ShapeError(f"{name} must be a video, got a latent {tuple(latent.shape)}; connect a video's latent")
    if vae is None:
        raise ConfigError(f"{name} is a latent and no vae is connected; connect Load LTX-2 Video VAE, or give a video")
    stride = vae_stride(vae)
    size = (latent.shape[3] * stride.h, latent.shape[4] * stride.w)
    rate = fps if camera is None else camera.fps
    return Clip(pixel_frames(latent.shape[2], stride), size, rate, lambda: decode_frames(vae, latent))


def _of_video(video) -> Clip:
    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        size = tuple(parts.images.shape[1:3])
        pieces = lambda: map(_as_saved, parts.images.split(PIECE))
        return Clip(len(parts.images), size, float(parts.frame_rate), pieces, parts.audio is not None)
    opened = open_video(video.get_stream_source())
    if video.get_frame_count() < opened.frames:  # newer hosts cut a video without touching its file
        part = memory.BytesIO()
        video.save_to(part)
        opened = open_video(part)
    return Clip(opened.frames, opened.size, opened.fps, lambda: opened.pieces(PIECE), opened.has_audio)


def _as_saved(images: Tensor) -> Tensor:
    """Pictures (f, h, w, 3) in [0, 1] in the eight bits that the host itself saves them with."""
    return (images[..., :3] * 255).clamp(0, 255).to(torch.uint8).cpu()
