"""Causal video VAE, part by part: whatever the cut, the parts equal the whole.

State in, state out: `tails` holds the last two input frames of every convolution, None at the start of a stream.
For the released decoder that is 338 thousand numbers per latent pixel, at 22 x 40 latents 0.6 GB in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import ConfigError
from .blocks import TailExchange, Tails
from .model import VideoVAE

STEP_ELEMENTS = 2**23  # latent frames are decoded together while the widest tensor stays below this (or one by one)


@torch.no_grad()
def decode_chunk(
    vae: VideoVAE, z: Tensor, tails: Tails | None = None, *, on_step: Callable[[], object] | None = None
) -> tuple[Tensor, Tails]:
    """Pixels (b, 3, f, H, W) of the next normalised latents z (b, c, t, h, w), and the tails for the chunk after.

    f is stride * t, in the first chunk (tails None) 1 + stride * (t - 1). Takes a few latent frames at a time, so the memory
    beside the result does not grow with t. on_step() is called before each of them and may raise.
    ConfigError unless the decoder is causal.
    """
    if not vae.config.decoder_causal:
        raise ConfigError("this VAE's decoder looks ahead in time and cannot stream; use decode or decode_tiled")
    vae.check_latents(z)
    stride = vae.config.stride
    first = 1 if tails is None else stride.t
    size = first + stride.t * (z.shape[2] - 1), z.shape[3] * stride.h, z.shape[4] * stride.w
    frames, stop = z.new_empty(z.shape[0], vae.config.out_channels, *size), 0
    stages = vae.config.decoder_stages
    widest = stages[-1].out_channels * math.prod(math.prod(stage.factors or ()) for stage in stages)
    step = max(1, STEP_ELEMENTS // (widest * z[:, 0, 0].numel()))
    for latents in z.split(step, dim=2):
        if on_step is not None:
            on_step()
        exchange = TailExchange(tails)
        piece = vae.decoder(vae.denormalise(latents), exchange)
        start, stop = stop, stop + piece.shape[2]
        frames[:, :, start:stop], tails = piece, exchange.tails
    return frames, tails


@torch.no_grad()
def encode_chunk(vae: VideoVAE, x: Tensor, tails: Tails | None = None) -> tuple[Tensor, Tails]:
    """Normalised latents (b, c, t, h, w) of the next pixels x (b, 3, f, H, W), and the tails for the chunk after.

    f must be 1 + stride * k in the first chunk (tails None) and stride * k, k > 0, in later ones.
    ConfigError unless the encoder is causal.
    """
    if not vae.config.encoder_causal:
        raise ConfigError("this VAE's encoder looks ahead in time and cannot stream; use encode")
    vae.check_pixels(x, continues=tails is not None)
    exchange = TailExchange(tails)
    return vae.normalise(vae.encoder(x, exchange)), exchange.tails
