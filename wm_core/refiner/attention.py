"""Attention and feed-forward layers that the refiner and its text connector share. LTX-2 (arXiv 2601.03233)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FFN_TOKENS = 8192  # at once through the feed-forward layer, whose middle is four times as wide as the model


class Attention(nn.Module):
    """Projections of multi-head attention; q and k are normalised over the channels of all heads."""

    def __init__(self, channels: int, heads: int, head_dim: int, operations, **factory):
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.norm_q = nn.RMSNorm(inner, eps=1e-6, **factory)  # not the host's: fused kernels read their weights
        self.norm_k = nn.RMSNorm(inner, eps=1e-6, **factory)
        self.to_q = operations.Linear(channels, inner, **factory)
        self.to_k = operations.Linear(channels, inner, **factory)
        self.to_v = operations.Linear(channels, inner, **factory)
        self.to_out = nn.ModuleList([operations.Linear(inner, channels, **factory)])

    def queries(self, x: Tensor) -> Tensor:
        """(b, n, c) -> (b, n, h, d), not rotated."""
        return self.split(weighted_norm(self.to_q(x), self.norm_q))

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """K, not rotated, and V, (b, n, h, d) each."""
        return self.split(weighted_norm(self.to_k(x), self.norm_k)), self.split(self.to_v(x))

    def output(self, x: Tensor) -> Tensor:
        """(b, h, n, d) -> (b, n, c)."""
        return self.to_out[0](x.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


class _Widen(nn.Module):
    def __init__(self, channels: int, wide: int, operations, **factory):
        super().__init__()
        self.proj = operations.Linear(channels, wide, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, some tokens at a time. Numbered as in the checkpoint."""

    def __init__(self, channels: int, ratio: int, operations, **factory):
        super().__init__()
        wide = channels * ratio
        self.net = nn.ModuleDict(
            {"0": _Widen(channels, wide, operations, **factory), "2": operations.Linear(wide, channels, **factory)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, c) -> likewise."""
        if x.shape[1] <= FFN_TOKENS:
            return self.net["2"](self.net["0"](x))
        return torch.cat([self.net["2"](self.net["0"](part)) for part in x.split(FFN_TOKENS, 1)], 1)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Root mean square norm over the channels, without weights."""
    return F.rms_norm(x, x.shape[-1:], eps=eps)


def weighted_norm(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    """The same with a layer's weights, in the dtype of x."""
    return F.rms_norm(x, x.shape[-1:], norm.weight.to(x), norm.eps)
