"""What goes through the refiner together: a forward takes several runs of latent frames, each at its own noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..positions import Rotation


class Keeps(Enum):
    """What a part leaves in the ring."""

    NOTHING = 0
    SINK = 1
    HISTORY = 2


@dataclass(frozen=True, eq=False)
class Level:
    """Modulation by one noise level: blocks (6, c), last (c)."""

    blocks: Tensor
    last: Tensor


@dataclass(frozen=True, eq=False)
class Past:
    """What a part looks back at: the held frames, and the sink as it stands for this part."""

    held: range
    sink: Rotation


@dataclass(frozen=True, eq=False)
class Part:
    """Latents x (b, c, t, h, w) of frames [start, start + t), at one level. past: None if they see only themselves."""

    x: Tensor
    start: int
    level: Level
    rotation: Rotation
    past: Past | None = None
    keeps: Keeps = Keeps.NOTHING

    @property
    def frames(self) -> range:
        return range(self.start, self.start + self.x.shape[2])

    @property
    def tokens(self) -> int:
        return self.x.shape[2] * self.x.shape[3] * self.x.shape[4]


def part_by_part(x: Tensor, parts: Sequence[Part]) -> tuple[Tensor, ...]:
    """Views of x (b, tokens of all parts, ...), one a part."""
    return x.split([part.tokens for part in parts], 1)


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """The inverse; one piece is given back as it is."""
    return pieces[0] if len(pieces) == 1 else torch.cat(tuple(pieces), 1)
