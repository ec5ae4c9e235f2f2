"""Short convolution of keys along time: a causal pass plus its mirror image, the centre counted once. SANA-WM sec. 3.2.

The causal taps cross chunk boundaries (they read `tail` at the start of a call), the mirrored ones stop at them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShortConv(nn.Module):
    """Depthwise symmetric filter with `taps` weights a side, the last of which is the centre."""

    def __init__(self, channels: int, taps: int, dtype: torch.dtype | None = None, device: torch.device | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, taps, dtype=dtype, device=device))

    def forward(self, x: Tensor, chunks: tuple[int, ...], tail: Tensor | None = None) -> Tensor:
        """x (b, t, n, c), tail (b, taps - 1, n, c) -> (b, t, n, c)."""
        frames = x.shape[1]
        taps = self.weight[:, 0].to(x).unbind(-1)
        out = x * taps[-1]
        for distance in range(1, len(taps)):
            tap = taps[-1 - distance]
            if distance < frames:
                out[:, distance:].addcmul_(x[:, :-distance], tap)
            if tail is not None:
                reached = min(distance, frames)
                first = tail.shape[1] - distance
                out[:, :reached].addcmul_(tail[:, first : first + reached].to(x), tap)
            start = 0
            for length in chunks:
                end = start + length
                if distance < length:
                    out[:, start : end - distance].addcmul_(x[:, start + distance : end], tap)
                start = end
        return out
