"""Rotary position embedding over (time, row, column), adjacent channel pairs. SANA-WM sec. 3.2 (Wan layout)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

THETA = 10000.0


@dataclass(frozen=True, eq=False)
class Rotation:
    """One angle for every token, head and channel pair: cos and sin (..., h, d / 2), with h = 1 where heads turn alike.

    float32 whatever the model's dtype.
    """

    cos: Tensor
    sin: Tensor

    @property
    def turn(self) -> Tensor:
        """The same as complex numbers: made when they are first asked for, then kept for all blocks and steps."""
        if "_turn" not in self.__dict__:  # no cached_property: torch.compile cannot follow its lock
            object.__setattr__(self, "_turn", torch.complex(self.cos, self.sin))
        return self.__dict__["_turn"]

    def inverse(self) -> Rotation:
        return Rotation(self.cos, -self.sin)


def pair_counts(dim: int) -> tuple[int, int, int]:
    """How many of the dim / 2 channel pairs turn with time, with the row and with the column."""
    side = dim // 6
    return dim // 2 - 2 * side, side, side


def rotation_table(
    grid: tuple[int, int, int], head_dim: int, *, turned: int | None = None, first_frame: int = 0, device=None
) -> Rotation:
    """Angles of every token of `grid` = (t, h, w), (t, n, 1, d / 2); `first_frame`: absolute latent index of its first frame.

    turned: how many of the head's channels are rotated (all by default). The frequencies are those of the full head;
    fewer channels take the first of each axis.
    """
    starts = (first_frame, 0, 0)
    axes = [
        _axis_angles(length, start, full, used, device)
        for length, start, full, used in zip(grid, starts, pair_counts(head_dim), pair_counts(turned or head_dim))
    ]
    return Rotation(*(_spread([f(angle).float().to(device) for angle in axes], grid) for f in (torch.cos, torch.sin)))


def _axis_angles(length: int, start: int, full: int, used: int, device) -> Tensor:
    """(length, used) angles of one axis. fp32: positions reach the thousands; in float64 an angle is exact to 1e-12."""
    made_on = device if torch.device(device or "cpu").type == "cuda" else None  # others may lack float64
    numbers = partial(torch.arange, dtype=torch.float64, device=made_on)
    return torch.outer(numbers(start, start + length), THETA ** -(numbers(used) / full))


def _spread(axes: list[Tensor], grid: tuple[int, int, int]) -> Tensor:
    """Tables of time, row and column to one row for each token: (t, h * w, 1, pairs)."""
    t, h, w = grid
    time, row, column = axes
    parts = (time[:, None, None], row[None, :, None], column[None, None])
    return torch.cat([part.expand(t, h, w, -1) for part in parts], -1).reshape(t, h * w, 1, -1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channel pairs (2i, 2i + 1) of x (b, ..., h, d) by the angle of their token; same dtype.

    One complex product reads and writes each number once; on a CPU it takes a seventh of the time of the real sums.
    """
    wide = torch.promote_types(x.dtype, torch.float32)  # fp32: angles lose their meaning in bfloat16
    pairs = torch.view_as_complex(x.to(wide).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation.turn).flatten(-2).to(x.dtype)


def rotate_halves(x: Tensor, rotation: Rotation) -> Tensor:
    """The same for the channel pairs (i, i + d / 2), as LTX-2 has them."""
    real, imaginary = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, -1)  # fp32: as in `rotate`
    cos, sin = rotation.cos, rotation.sin
    turned = (torch.addcmul(real * cos, imaginary, sin, value=-1), torch.addcmul(imaginary * cos, real, sin))
    return torch.cat(turned, -1).to(x.dtype)
