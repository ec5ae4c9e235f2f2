"""Gated inverted bottleneck over space, then a residual convolution over time. SANA-WM sec. 3.2 (GLUMBConvTemp).

Everything is token-major: the pointwise convolutions and the temporal one are linear maps, so they can be cast,
offloaded, quantised and adapted like any other. Frames are taken in groups, which bounds the six-fold wide middle.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels import TORCH, Kernels
from .state import next_tail

GROUP_TOKENS = {"cpu": 1024, "cuda": 8192}  # tokens widened at a time; larger groups no longer speed the products up


class GatedConvFFN(nn.Module):
    """Checkpoint names are those of convolutions; see `checkpoint.keymaps` for the flattened shapes."""

    def __init__(self, channels: int, hidden: int, taps: int, operations, **factory):
        super().__init__()
        self.taps = taps
        self.inverted_conv = nn.ModuleDict({"conv": operations.Linear(channels, 2 * hidden, **factory)})
        depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, **factory)  # weights for kernels
        self.depth_conv = nn.ModuleDict({"conv": depthwise})
        self.point_conv = nn.ModuleDict({"conv": operations.Linear(hidden, channels, bias=False, **factory)})
        self.t_conv = operations.Linear(taps * channels, channels, bias=False, **factory)

    def forward(
        self,
        x: Tensor,
        size: tuple[int, int],
        chunks: tuple[int, ...],
        tail: Tensor | None = None,
        *,
        keep: int | None = None,
        kernels: Kernels = TORCH,
    ) -> tuple[Tensor, Tensor]:
        """x (b, t, n, c) with n = h * w tokens of `size` = (h, w), tail (b, taps // 2, n, c) -> like x, and the tail after
        its first `keep` frames, all by default."""
        group = max(1, GROUP_TOKENS.get(x.device.type, 4096) // (x.shape[0] * x.shape[2]))
        starts = range(0, x.shape[1], group)
        space = _joined([self._space(x[:, i : i + group], size, kernels) for i in starts])
        new_tail = next_tail(space[:, :keep], tail, self.taps // 2)
        return self._time(space, chunks, tail, group), new_tail

    def _space(self, x: Tensor, size: tuple[int, int], kernels: Kernels) -> Tensor:
        wide = F.silu(self.inverted_conv["conv"](x), inplace=not torch.is_grad_enabled())
        depthwise = self.depth_conv["conv"]
        return self.point_conv["conv"](kernels.gated_depthwise(wide, size, depthwise.weight.to(x), depthwise.bias.to(x)))

    def _time(self, space: Tensor, chunks: tuple[int, ...], tail: Tensor | None, group: int) -> Tensor:
        """Residual convolution over time: frames before a chunk are seen, frames after it are zero."""
        reach = self.taps // 2
        before = space.new_zeros(space.shape[0], reach, *space.shape[2:]) if tail is None else tail.to(space)
        after = torch.zeros_like(before)
        out = []
        end = 0
        for length in chunks:
            start, end = end, end + length
            for first in range(start, end, group):
                last = min(first + group, end)
                left, right = first - reach, last + reach
                parts = [before[:, max(0, reach + left) :]] if left < 0 else []
                parts.append(space[:, max(0, left) : min(right, end)])
                if right > end:
                    parts.append(after[:, : right - end])
                window = torch.cat(parts, 1).unfold(1, self.taps, 1).flatten(-2)  # (b t n c*taps)
                out.append(space[:, first:last] + self.t_conv(window))
        return _joined(out)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
