"""Into tokens and out again: patches, noise level, text, and the last layer. SANA-WM sec. 3.1."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..kernels import Kernels

TIME_CHANNELS = 256
ROUNDING = 1e-3  # 1000 * float32(0.96) is 959.99997; the released code truncates exact thousandths


class PatchEmbed(nn.Module):
    """One linear map of each patch; a strided convolution in the checkpoint."""

    def __init__(self, channels: int, hidden: int, patch: tuple[int, int, int], operations, **factory):
        super().__init__()
        self.patch = patch
        self.proj = operations.Linear(channels * math.prod(patch), hidden, **factory)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, t, h, w) -> (b, t, n, hidden)."""
        p, q, r = self.patch
        return self.proj(rearrange(x, "b c (t p) (h q) (w r) -> b t (h w) (c p q r)", p=p, q=q, r=r))


def sinusoid(timestep: Tensor) -> Tensor:
    """Timesteps in thousandths, float32, any shape, to (..., 256): cosines first."""
    half = TIME_CHANNELS // 2
    frequency = torch.exp(-math.log(10000.0) / half * torch.arange(half, device=timestep.device, dtype=torch.float32))
    angle = timestep[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


def whole_thousandths(sigma: Tensor) -> Tensor:
    """Noise levels in [0, 1] to timesteps truncated to whole thousandths, as stage 1 was trained."""
    return torch.floor(sigma.float() * 1000 + ROUNDING)  # fp32: sigma arithmetic


class TimestepEmbed(nn.Module):
    def __init__(self, hidden: int, operations, **factory):
        super().__init__()
        self.mlp = nn.Sequential(
            operations.Linear(TIME_CHANNELS, hidden, **factory), nn.SiLU(), operations.Linear(hidden, hidden, **factory)
        )

    def forward(self, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        """(b, t) -> (b, t, hidden)."""
        return self.mlp(sinusoid(whole_thousandths(sigma)).to(dtype))


class _Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int, operations, **factory):
        super().__init__()
        self.fc1 = operations.Linear(channels, hidden, **factory)
        self.fc2 = operations.Linear(hidden, hidden, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class CaptionEmbed(nn.Module):
    """Text encoder states to the model's width."""

    def __init__(self, channels: int, hidden: int, operations, **factory):
        super().__init__()
        self.y_proj = _Mlp(channels, hidden, operations, **factory)

    def forward(self, text: Tensor) -> Tensor:
        return self.y_proj(text)


class FinalLayer(nn.Module):
    """Tokens to latents; modulated by the bare time embedding."""

    def __init__(self, hidden: int, channels: int, patch: tuple[int, int, int], operations, **factory):
        super().__init__()
        self.patch = patch
        self.linear = operations.Linear(hidden, channels * math.prod(patch), **factory)
        self.scale_shift_table = nn.Parameter(torch.zeros(2, hidden, **factory))

    def forward(self, x: Tensor, time: Tensor, height: int, kernels: Kernels) -> Tensor:
        """x (b, t, n, hidden), time (b, t, hidden), height in tokens -> (b, c, t, h, w)."""
        shift, scale = (self.scale_shift_table.to(x) + time[:, :, None]).unsqueeze(-2).unbind(2)
        p, q, r = self.patch
        out = self.linear(kernels.modulate(x, shift, scale))
        return rearrange(out, "b t (h w) (p q r c) -> b c (t p) (h q) (w r)", h=height, p=p, q=q, r=r)
