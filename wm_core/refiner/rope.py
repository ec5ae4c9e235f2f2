"""Rotary positions of LTX-2: seconds, rows and columns, spread over the channels of all heads together.

A position p in a span of s gives the fraction 2 p / s - 1, each of `count` frequencies from pi/2 to theta * pi/2 an angle;
the angles of the axes alternate channel by channel, and what is left over at the front does not turn.
LTX-Video (arXiv 2501.00103) sec. 2, LTX-2 (arXiv 2601.03233).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..positions import Rotation, rotate_halves
from ..positions import rotate as rotate_neighbours
from ..shapes import Stride


def rotation_of(
    positions: Tensor, span: Sequence[float], heads: int, head_dim: int, *, theta: float, double: bool
) -> Rotation:
    """positions (n, axes) float32 in the units of span (axes,)."""
    axes, pairs = positions.shape[1], heads * head_dim // 2
    wide = torch.float64 if double else torch.float32
    even = torch.linspace(0, 1, pairs // axes, dtype=wide)  # on the CPU: not every device has float64
    frequency = (theta**even * (math.pi / 2)).float().to(positions.device)
    # fp32: angles reach theta * pi / 2, where the last bit is a thousandth; the model was trained with these roundings.
    fraction = positions.float() / torch.tensor(span, dtype=torch.float32, device=positions.device)
    angle = ((fraction * 2 - 1)[:, :, None] * frequency).transpose(1, 2).flatten(1)
    still = angle.new_zeros(len(angle), pairs - angle.shape[1])
    angle = torch.cat([still, angle], 1).unflatten(1, (heads, head_dim // 2))
    return Rotation(angle.cos(), angle.sin())


def video_positions(start: int, grid: tuple[int, int, int], stride: Stride, fps: float, device=None) -> Tensor:
    """Middles of the latents of `grid` = (t, h, w), in seconds and pixels: (t h w, 3); `start` is the first's index.

    Latent f covers pixel frames [t f - t + 1, t f + 1), the first of all only the first picture.
    """
    t, h, w = grid
    first = torch.arange(start, start + t, dtype=torch.float32, device=device) * stride.t
    begins, ends = ((first + shift).clamp(min=0) / fps for shift in (1 - stride.t, 1.0))
    axes = [(begins + ends) / 2]
    for count, pixels in ((h, stride.h), (w, stride.w)):
        axes.append((torch.arange(count, dtype=torch.float32, device=device) + 0.5) * pixels)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)


def rotate(x: Tensor, rotation: Rotation, kind: str) -> Tensor:
    """Turn the channel pairs of x (b, n, h, d) by the angle of their token and head; same dtype. kind: see ROPE_KINDS."""
    return _ROTATIONS[kind](x, rotation)


_ROTATIONS = {"split": rotate_halves, "interleaved": rotate_neighbours}
