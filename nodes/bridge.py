"""Tensors and messages between the host and wm_core; the only node file with tensor arithmetic."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import comfy.model_management as management
import comfy.utils
import numpy as np
import torch
from server import PromptServer
from torch import Tensor

from ..wm_core.camera import Crop
from ..wm_core.errors import ShapeError
from ..wm_core.shapes import Stride

log = logging.getLogger("sana_wm")


def say(text: str, node_id: str | None) -> None:
    """Tell the user something that is not an error: in the log, and under the node."""
    log.info(text)
    if node_id is not None and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text, node_id)


def announce(event: str, data: dict) -> None:
    """Send an event to the client whose prompt is running, as core sends its own."""
    server = getattr(PromptServer, "instance", None)  # there is none where the nodes run without a server
    if server is not None:
        server.send_sync(event, {"prompt_id": getattr(server, "last_prompt_id", None), **data}, server.client_id)


def picture_of(image: Tensor) -> np.ndarray:
    """The first picture of an IMAGE (b, h, w, 3 or more) in [0, 1] as (h, w, 3) uint8."""
    if image.ndim != 4 or image.shape[-1] < 3:
        raise ShapeError(f"image must be (batch, height, width, 3), got {tuple(image.shape)}")
    return (image[0, ..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def path_inside(folder: str | Path, name: str) -> Path | None:
    """Where a name from a widget lies below a folder, there or not; None if it points out of it."""
    root = Path(folder).resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) else None


def depth_of(image: Tensor) -> np.ndarray:
    """The first picture of an IMAGE as one number for each pixel, (h, w) float32, whatever it is of."""
    return image[0].float().mean(-1).cpu().numpy()


def image_of(picture: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 as an IMAGE of one picture."""
    return torch.from_numpy(picture.astype(np.float32) / 255)[None]


def collected(pictures: Iterable[np.ndarray], count: int, size: tuple[int, int]) -> Tensor:
    """An IMAGE of `count` pictures (h, w, 3) uint8 as they come; the user sees how many there are, and can cancel."""
    images, bar = torch.empty(count, *size, 3), comfy.utils.ProgressBar(count)
    for index, picture in enumerate(pictures):
        management.throw_exception_if_processing_interrupted()
        images[index] = image_of(picture)[0]
        bar.update_absolute(index + 1)
    return images


def cropped(image: Tensor, crop: Crop) -> Tensor:
    """The first picture of an IMAGE, cropped."""
    return image_of(crop.apply_to_image(picture_of(image)))


def vae_stride(vae) -> Stride:
    """Pixels per latent of any of the host's video VAEs."""
    space = int(vae.spacial_compression_encode())
    time = vae.temporal_compression_decode()
    if time is None:
        raise ShapeError(
            "vae must be the LTX-2 video VAE, got one for single pictures; load it with SANA-WM's VAE loader"
        )
    return Stride(int(time), space, space)


def first_frame_latent(vae, image: Tensor, latents: int) -> dict[str, Tensor]:
    """LATENT of `latents` frames whose first is the picture (1, h, w, 3), kept clean by its noise mask."""
    return start_latent(vae.encode(image), latents)


def start_latent(known: Tensor, latents: int) -> dict[str, Tensor]:
    """LATENT of `latents` frames that begins with `known` (1, c, k, h', w'), kept clean by its noise mask.

    samples (1, c, t, h', w'), noise_mask (1, 1, t, h', w'), 0 on the known frames and 1 after them. The mask stays
    float32: in bfloat16 the first step would be lost.
    """
    samples = known.new_zeros(1, known.shape[1], latents, *known.shape[-2:])
    samples[:, :, : known.shape[2]] = known
    mask = torch.ones(1, 1, *samples.shape[2:], dtype=torch.float32)
    mask[:, :, : known.shape[2]] = 0
    return {"samples": samples, "noise_mask": mask}
