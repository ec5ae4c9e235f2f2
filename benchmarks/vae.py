"""Decoding latents to pixels in one piece, random weights."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from diffusers import AutoencoderKLLTX2Video

from wm_core.config import RELEASED_VAE, VAEConfig
from wm_core.vae import VideoVAE

from .measure import Pair


def decode(grid: tuple[int, int], frames: int, thinner: int = 4, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Pixels (b, 3, f, H, W) of `frames` latents of grid = (h, w); `thinner` divides all widths of the released VAE."""
    dtype = getattr(torch, dtype)
    narrow = lambda widths: tuple(width // thinner for width in widths)
    config = replace(
        RELEASED_VAE,
        block_out_channels=narrow(RELEASED_VAE.block_out_channels),
        decoder_block_out_channels=narrow(RELEASED_VAE.decoder_block_out_channels),
    )
    torch.manual_seed(0)
    theirs = _reference_model(config).to(device, dtype)
    ours = VideoVAE(config, device="meta")
    ours.load_state_dict(theirs.state_dict(), assign=True)
    z = torch.randn(1, config.latent_channels, frames, *grid, generator=torch.Generator().manual_seed(1))
    z = z.to(device, dtype)
    return Pair(lambda: theirs.decode(z).sample, lambda: ours.decode(z))


def _reference_model(config: VAEConfig) -> AutoencoderKLLTX2Video:
    blocks = len(config.decoder_layers_per_block)
    return AutoencoderKLLTX2Video(**asdict(config), decoder_inject_noise=(False,) * blocks).eval()
