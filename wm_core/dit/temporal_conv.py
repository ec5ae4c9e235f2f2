"""Short convolution of keys along time: a causal pass plus its mirror image, the centre counted once. SANA-WM sec. 3.2.

The causal taps cross chunk boundaries (they read `tail` at the start of a call), the mirrored ones stop at them. So a
chunk's result is one symmetric convolution of the frames before it, its own and zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels import TORCH, Kernels


class ShortConv(nn.Module):
    """Depthwise symmetric filter with `taps` weights a side, the last of which is the centre."""

    def __init__(self, channels: int, taps: int, dtype: torch.dtype | None = None, device: torch.device | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, taps, dtype=dtype, device=device))

    def forward(
        self, x: Tensor, chunks: tuple[int, ...], tail: Tensor | None = None, kernels: Kernels = TORCH
    ) -> Tensor:
        """x (b, t, n, c), tail (b, taps - 1, n, c) -> (b, t, n, c)."""
        return kernels.short_conv(x, self.weight.to(x), chunks, tail)
