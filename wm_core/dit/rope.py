"""Rotary position embedding over (time, row, column), adjacent channel pairs. SANA-WM sec. 3.2 (Wan layout)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

THETA = 10000.0


@dataclass(frozen=True, eq=False)
class Rotation:
    """One angle for every token and channel pair: cos and sin (t, n, d / 2), float32 whatever the model's dtype."""

    cos: Tensor
    sin: Tensor

    def inverse(self) -> Rotation:
        return Rotation(self.cos, -self.sin)


def pair_counts(dim: int) -> tuple[int, int, int]:
    """How many of the dim / 2 channel pairs turn with time, with the row and with the column."""
    side = dim // 6
    return dim // 2 - 2 * side, side, side


def rotation_table(
    grid: tuple[int, int, int], head_dim: int, *, turned: int | None = None, first_frame: int = 0, device=None
) -> Rotation:
    """Angles of every token of `grid` = (t, h, w); `first_frame` is the absolute latent index of its first frame.

    turned: how many of the head's channels are rotated (all by default). The frequencies are those of the full head;
    fewer channels take the first of each axis.
    """
    t, h, w = grid
    angles = []
    starts = (first_frame, 0, 0)
    for length, start, full, used in zip(grid, starts, pair_counts(head_dim), pair_counts(turned or head_dim)):
        # fp32: positions reach the thousands; computed in float64, where an angle is exact to 1e-12
        frequency = THETA ** -(torch.arange(used, dtype=torch.float64, device=device) / full)
        positions = torch.arange(start, start + length, dtype=torch.float64, device=device)
        angles.append(torch.outer(positions, frequency))
    time, row, column = angles
    table = torch.cat(
        [
            time[:, None, None].expand(t, h, w, -1),
            row[None, :, None].expand(t, h, w, -1),
            column[None, None].expand(t, h, w, -1),
        ],
        -1,
    ).reshape(t, h * w, -1)
    return Rotation(table.cos().float(), table.sin().float())


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channel pairs (2i, 2i + 1) of x (b, t, n, h, d) by the angle of their token; same dtype."""
    wide = torch.promote_types(x.dtype, torch.float32)  # fp32: angles lose their meaning in bfloat16
    even, odd = x[..., 0::2].to(wide), x[..., 1::2].to(wide)
    cos, sin = rotation.cos[:, :, None], rotation.sin[:, :, None]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    out[..., 0::2] = torch.addcmul(even * cos, odd, sin, value=-1)
    out[..., 1::2] = torch.addcmul(even * sin, odd, cos)
    return out
