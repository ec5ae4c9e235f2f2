"""What a chunk leaves for the next one. Values, never attributes of a module: a node output may be used twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kv_window import KVWindow


@dataclass(frozen=True, eq=False)
class GDNState:
    """Memory of one gated-delta block at the end of a chunk; None stands for zeros, the start of a stream."""

    kv: Tensor | None = None  # (b, h, d, d) float32, from rotated keys
    z: Tensor | None = None  # (b, h, 1, d) float32, the denominator, from unrotated keys
    camera: Tensor | None = None  # (b, h, d, d) float32, from ray-transformed keys
    k_tail: Tensor | None = None  # (b, taps - 1, n, c) raw K projections
    camera_k_tail: Tensor | None = None  # (b, taps - 1, n, c)


@dataclass(frozen=True, eq=False)
class BlockState:
    """State of one transformer block: its mixer's, and the last frames of its FFN before the temporal convolution."""

    mixer: GDNState | KVWindow
    ffn_tail: Tensor | None = None  # (b, taps // 2, n, c)


@dataclass(frozen=True, eq=False)
class WorldState:
    """State of the whole model after `frames` latent frames."""

    blocks: tuple[BlockState, ...]
    frames: int = 0


def next_tail(x: Tensor, tail: Tensor | None, length: int) -> Tensor:
    """The last `length` frames of `tail` followed by `x`, zeros before the stream began.

    x (b, t, n, c), tail (b, length, n, c) or None -> (b, length, n, c), a copy that keeps nothing else alive.
    """
    if x.shape[1] >= length:
        return x[:, x.shape[1] - length :].clone()
    before = x.new_zeros(x.shape[0], length, *x.shape[2:]) if tail is None else tail.to(x)
    return torch.cat([before, x], 1)[:, x.shape[1] :]
