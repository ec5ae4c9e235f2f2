"""Short convolution of keys along time: a causal pass plus its mirror image, the centre counted once. SANA-WM sec. 3.2.

The causal taps cross chunk boundaries (they read `tail` at the start of a call), the mirrored ones stop at them. So a
chunk's result is one symmetric convolution of the frames before it, its own and zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class ShortConv(nn.Module):
    """Depthwise symmetric filter with `taps` weights a side, the last of which is the centre."""

    def __init__(self, channels: int, taps: int, dtype: torch.dtype | None = None, device: torch.device | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, taps, dtype=dtype, device=device))

    def forward(self, x: Tensor, chunks: tuple[int, ...], tail: Tensor | None = None) -> Tensor:
        """x (b, t, n, c), tail (b, taps - 1, n, c) -> (b, t, n, c)."""
        weight = self.weight.to(x)
        kernel = torch.cat([weight, weight[..., :-1].flip(-1)], -1)[..., None]  # (c 1 2*taps-1 1)
        if tail is None and len(chunks) == 1:
            return _convolve(x, kernel)
        reach = weight.shape[-1] - 1
        if tail is None:
            tail = x.new_zeros(x.shape[0], reach, *x.shape[2:])
        seen = torch.cat([tail.to(x), x], 1)
        parts, start = [], 0
        for length in chunks:
            window = seen[:, start : start + reach + length]
            parts.append(_convolve(window, kernel)[:, reach:])
            start += length
        return torch.cat(parts, 1)


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Frames and tokens as rows and columns of a picture, channels last in memory: four times faster than sums of
    shifted products on a CPU (1.7 against 8.3 ms for 4620 tokens of 448 channels)."""
    picture = rearrange(x, "b t n c -> b c t n")
    out = F.conv2d(picture, kernel, padding=(kernel.shape[2] // 2, 0), groups=x.shape[-1])
    return rearrange(out, "b c t n -> b t n c")
