"""Latents to a video file, piece by piece: a minute of 720p is never one IMAGE of ten gigabytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy_api.latest import InputImpl, io

from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.rollout import VideoWriter, finish
from ..wm_core.shapes import pixel_frames
from .bridge import say, vae_stride
from .compat import advanced
from .stages import decode_frames


class SanaWMDecodeToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        chunk = io.Int.Input(
            "chunk",
            default=4,
            min=1,
            max=64,
            tooltip="Latent frames decoded at a time. Fewer need less memory; with a decoder that looks ahead each "
            "piece is decoded with three more on either side.",
        )
        return io.Schema(
            node_id="SanaWMDecodeToVideo",
            display_name="SANA-WM Decode to Video",
            category="SANA-WM/video",
            description="Decode latents of any length straight into a video, in memory that does not grow with it.",
            inputs=[
                io.Vae.Input("vae", tooltip="From Load LTX-2 Video VAE, causal or not."),
                io.Latent.Input("samples", tooltip="Of any sampler; the first video of a batch."),
                io.Float.Input("fps", default=16.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                io.Int.Input(
                    "start",
                    default=0,
                    min=-1000000,
                    max=1000000,
                    tooltip="First frame of the images; negative counts from the end, -1 is the last frame.",
                ),
                io.Int.Input(
                    "frames",
                    default=1,
                    min=1,
                    max=1000000,
                    tooltip="How many frames the images have; each of 1280 x 704 takes 11 MB. The video has all frames.",
                ),
                advanced(chunk),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                io.Image.Output(display_name="images"),
                io.Float.Output(display_name="fps"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae, samples, fps, start, frames, chunk=4):
        latent = samples["samples"]
        if latent.ndim != 5:
            raise ShapeError(f"samples must be a video (b, c, t, h, w), got {tuple(latent.shape)}; connect a video latent")
        if latent.shape[0] > 1:
            say(f"the first of {latent.shape[0]} videos is decoded", cls.hidden.unique_id)
        total = pixel_frames(latent.shape[2], vae_stride(vae))
        first = start + total if start < 0 else start
        if not 0 <= first < total:
            raise ConfigError(f"start must be a frame of the {total} that the video has, got {start}; -1 is the last")
        kept, done, bar = [], 0, comfy.utils.ProgressBar(total)
        with video_file(fps) as (video, append):
            for piece in decode_frames(vae, latent, chunk=chunk):
                append(piece)
                kept.append(piece[max(0, first - done) : max(0, first + frames - done)])
                done += len(piece)
                bar.update_absolute(done)
        images = torch.from_numpy(np.concatenate(kept).astype(np.float32) / 255)
        return io.NodeOutput(InputImpl.VideoFromFile(str(video)), images, fps)


@contextmanager
def video_file(fps: float) -> Iterator[tuple[Path, callable]]:
    """A new video in the temp folder and a function that appends frames (f, h, w, 3) uint8 to it.

    It is whole when the block ends; if the block is left by an error or a cancel, nothing of it stays.
    """
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"sana_wm_{uuid.uuid4().hex[:12]}"
    growing, video = folder / f"{name}.part.mp4", folder / f"{name}.mp4"
    writer: VideoWriter | None = None

    def append(frames: np.ndarray) -> None:
        nonlocal writer
        writer = writer or VideoWriter(growing, frames.shape[1:3], fps)
        writer.append(frames)

    try:
        yield video, append
        finish(growing, video)
    finally:
        growing.unlink(missing_ok=True)


NODES = [SanaWMDecodeToVideo]
