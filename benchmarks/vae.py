"""Decoding latents to pixels, random weights: in one piece beside diffusers, and in parts beside our own whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import torch
from diffusers import AutoencoderKLLTX2Video
from torch import Tensor

from wm_core.config import RELEASED_VAE, VAEConfig
from wm_core.vae import VideoVAE, decode_chunk, decode_in_chunks

from .apart import peak_mib, start_peak
from .measure import Pair


def decode(grid: tuple[int, int], frames: int, thinner: int = 4, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Pixels (b, 3, f, H, W) of `frames` latents of grid = (h, w); `thinner` divides all widths of the released VAE."""
    dtype = getattr(torch, dtype)
    config = thin_vae(thinner)
    theirs = _reference_model(config).to(device, dtype)
    ours = VideoVAE(config, device="meta")
    ours.load_state_dict(theirs.state_dict(), assign=True)
    z = _latents(config, frames, grid).to(device, dtype)
    return Pair(lambda: theirs.decode(z).sample, lambda: ours.decode(z))


def decode_by_chunks(grid: tuple[int, int], frames: int, chunk: int, thinner: int = 4) -> Pair:
    """A causal decoder given `chunk` latents at a time (ours) and all at once (in place of theirs)."""
    vae = _causal(thinner)
    z = _latents(vae.config, frames, grid)

    def by_chunks() -> Tensor:
        pixels, tails = [], None
        for part in z.split(chunk, dim=2):
            piece, tails = decode_chunk(vae, part, tails)
            pixels.append(piece)
        return torch.cat(pixels, 2)

    return Pair(lambda: vae.decode(z), by_chunks)


def stream_memory(grid: tuple[int, int], frames: int, chunk: int, causal: bool, thinner: int) -> float:
    """MiB that decoding a stream needs: latents come one by one, and pixels are dropped as they come."""
    vae = _causal(thinner) if causal else _ours(thin_vae(thinner))

    def stream() -> None:
        parts: Iterator[Tensor] = (_latents(vae.config, 1, grid, seed=i) for i in range(frames))
        made = sum(pixels.shape[2] for pixels in decode_in_chunks(vae, parts, chunk=chunk))
        if made != 1 + vae.config.stride.t * (frames - 1):
            raise RuntimeError(f"{frames} latents became {made} frames")

    stream()  # kernels are generated in the first run
    before = start_peak()
    stream()
    return peak_mib() - before


def thin_vae(thinner: int) -> VAEConfig:
    """The released VAE with all widths divided."""
    narrow = lambda widths: tuple(width // thinner for width in widths)
    return replace(
        RELEASED_VAE,
        block_out_channels=narrow(RELEASED_VAE.block_out_channels),
        decoder_block_out_channels=narrow(RELEASED_VAE.decoder_block_out_channels),
    )


def _causal(thinner: int) -> VideoVAE:
    return _ours(replace(thin_vae(thinner), decoder_causal=True))


def _ours(config: VAEConfig) -> VideoVAE:
    torch.manual_seed(0)
    return VideoVAE(config).eval()


def _latents(config: VAEConfig, frames: int, grid: tuple[int, int], seed: int = 1) -> Tensor:
    return torch.randn(1, config.latent_channels, frames, *grid, generator=torch.Generator().manual_seed(seed))


def _reference_model(config: VAEConfig) -> AutoencoderKLLTX2Video:
    torch.manual_seed(0)
    blocks = len(config.decoder_layers_per_block)
    return AutoencoderKLLTX2Video(**asdict(config), decoder_inject_noise=(False,) * blocks).eval()
