"""LTX-2 video VAE: pixels (b, 3, 8k + 1, 32h, 32w) to latents (b, 128, k + 1, h, w) and back.

SANA-WM (arXiv 2605.15178) sec. 3.1. Parameter names are those of diffusers' AutoencoderKLLTX2Video, so files load
without a map. For inference only: methods run without gradients.

Memory of a whole decode: at its widest (the last stage, 128 channels at 1/4 of the picture size) three tensors of
b * 128 * f * h/4 * w/4 elements live at once, beside one buffer of bounded size. For longer videos see tiling.py
and, with a causal decoder, streaming.py.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import VAEConfig
from ..errors import ShapeError
from ..shapes import latent_size
from .blocks import DownBlock, LayerSpec, MidBlock, NormedConv, TailExchange, UpBlock, VideoConv


class Encoder(nn.Module):
    """Pixels to the mean of the posterior; its variance, the last output channel, is not used."""

    def __init__(self, config: VAEConfig, spec: LayerSpec) -> None:
        super().__init__()
        self._patch, self._latent_channels = config.patch_size, config.latent_channels
        width = config.block_out_channels[-1]
        self.conv_in = VideoConv(config.in_channels * config.patch_size**2, config.latent_channels, spec)
        self.down_blocks = nn.ModuleList(DownBlock(stage, spec) for stage in config.encoder_stages)
        self.mid_block = MidBlock(width, config.layers_per_block[-1], spec)
        self.conv_out = NormedConv(width, config.latent_channels + 1, spec)

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        # The checkpoints order the pixels of a patch by column first.
        x = rearrange(x, "b c t (h q) (w r) -> b (c r q) t h w", q=self._patch, r=self._patch)
        x = self.conv_in(x, exchange)
        for block in self.down_blocks:
            x = block(x, exchange)
        x = self.mid_block(x, exchange)
        return self.conv_out(x, exchange)[:, : self._latent_channels]


class Decoder(nn.Module):
    """Latents, in the scale of the encoder's output, to pixels."""

    def __init__(self, config: VAEConfig, spec: LayerSpec) -> None:
        super().__init__()
        self._patch = config.patch_size
        width, stages = config.decoder_block_out_channels[-1], config.decoder_stages
        self.conv_in = VideoConv(config.latent_channels, width, spec)
        self.mid_block = MidBlock(width, config.decoder_layers_per_block[-1], spec)
        self.up_blocks = nn.ModuleList(UpBlock(stage, spec) for stage in stages)
        self.conv_out = NormedConv(stages[-1].out_channels, config.out_channels * config.patch_size**2, spec)

    def forward(self, z: Tensor, exchange: TailExchange | None = None) -> Tensor:
        x = self.mid_block(self.conv_in(z, exchange), exchange)
        for block in self.up_blocks:
            x = block(x, exchange)
        x = self.conv_out(x, exchange)
        return rearrange(x, "b (c r q) t h w -> b c t (h q) (w r)", q=self._patch, r=self._patch)


class VideoVAE(nn.Module):
    """Video autoencoder whose latents are normalised per channel, as the world model wants them.

    `operations` makes every weighted layer (Conv3d, LayerNorm). Results have the dtype of the input, which must be that of
    the weights unless `operations` cast them.
    """

    def __init__(
        self,
        config: VAEConfig,
        operations: Any = torch.nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        shared = {"operations": operations, "norm_eps": config.resnet_norm_eps, "dtype": dtype, "device": device}
        self.encoder = Encoder(
            config,
            LayerSpec(causal=config.encoder_causal, padding_mode=config.encoder_spatial_padding_mode, **shared),
        )
        self.decoder = Decoder(
            config,
            LayerSpec(causal=config.decoder_causal, padding_mode=config.decoder_spatial_padding_mode, **shared),
        )
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels, dtype=dtype, device=device))
        self.register_buffer("latents_std", torch.ones(config.latent_channels, dtype=dtype, device=device))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Latents (b, c, t, h, w) of the pixels x (b, 3, f, H, W) in [-1, 1]; the mode of the posterior, normalised.

        ShapeError unless f is 8k + 1 and H, W are multiples of 32 (whatever the strides of this VAE are).
        """
        self.check_pixels(x)
        return self.normalise(self.encoder(x))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pixels (b, 3, f, H, W), nominally in [-1, 1] but not clamped, of normalised latents z (b, c, t, h, w)."""
        self.check_latents(z)
        return self.decoder(self.denormalise(z))

    def normalise(self, z: Tensor) -> Tensor:
        """Encoder output to latents of unit variance."""
        mean, std = self._statistics(z)
        return (z - mean) * (self.config.scaling_factor / std)

    def denormalise(self, z: Tensor) -> Tensor:
        """Latents of unit variance to decoder input."""
        mean, std = self._statistics(z)
        return z * (std / self.config.scaling_factor) + mean

    def check_pixels(self, x: Tensor, *, continues: bool = False) -> None:
        """ShapeError unless x is (b, 3, f, H, W) with f = stride * k + 1 and H, W multiples of the stride.

        `continues`: x goes on from earlier frames, and f = stride * k.
        """
        if x.ndim != 5 or x.shape[1] != self.config.in_channels:
            raise ShapeError(f"pixels must be (b, {self.config.in_channels}, f, h, w), got {tuple(x.shape)}")
        frames, step, first = x.shape[2], self.config.stride.t, 0 if continues else 1
        fitting = (frames - first) // step * step + first
        if frames < 1 or frames != fitting:
            raise ShapeError(
                f"a video must have {step} * k + {first} frames, got {frames}; "
                f"cut it to {fitting} or lengthen it to {fitting + step}"
            )
        latent_size(x.shape[3], x.shape[4], self.config.stride)

    def check_latents(self, z: Tensor) -> None:
        """ShapeError unless z is (b, c, t, h, w) with this VAE's channels and no empty axis."""
        if z.ndim != 5 or z.shape[1] != self.config.latent_channels or 0 in z.shape:
            raise ShapeError(f"latents must be (b, {self.config.latent_channels}, t, h, w), got {tuple(z.shape)}")

    def _statistics(self, like: Tensor) -> tuple[Tensor, ...]:
        return tuple(s.to(like).view(1, -1, 1, 1, 1) for s in (self.latents_mean, self.latents_std))
