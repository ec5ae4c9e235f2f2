"""Keys and values that a block looks back at: the sink's, and a ring of the latest refined latent frames.

The one state of this model that is written in place. For the released model at 720p it holds 7.6 GB, which no card has twice;
so one refinement owns its ring, and who goes on from an older state is told so (sampling.refining).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import RefinerConfig


@dataclass(frozen=True)
class RingSize:
    """What a ring holds: frames of `tokens` tokens, `sink` of them for good and `history` in turn."""

    tokens: int
    sink: int
    history: int

    @property
    def frames(self) -> int:
        return self.sink + self.history

    def held_after(self, held: range, frames: range) -> range:
        """The history once `frames`, which follow the `held` ones, are written."""
        start = held.start if held else frames.start
        return range(max(start, frames.stop - self.history), frames.stop)

    def bytes_held(self, config: RefinerConfig, itemsize: int) -> int:
        """Bytes of K and V of all layers, for one video."""
        return 2 * config.depth * self.frames * self.tokens * config.hidden_size * itemsize

    def scratch_bytes(self, config: RefinerConfig, own_frames: int, itemsize: int) -> int:
        """Bytes of the K and V of one layer that a block of `own_frames` attends to, put side by side."""
        return 2 * (self.frames + own_frames) * self.tokens * config.hidden_size * itemsize


class KVRing:
    """K and V of every layer, (b, frames * tokens, h, d) each, the sink's first.

    Frame f lies in place (f - first) % history of the ring, so what is written takes the place of the oldest. Softmax does
    not mind the order of its keys: they are attended to as they lie. The sink's K is kept before rotation, because it moves
    along with the window. keep: where the tensors rest between layers; on another device than the model's they are copied
    over layer by layer.
    """

    def __init__(self, config: RefinerConfig, size: RingSize, *, dtype: torch.dtype, device, keep=None, batch: int = 1):
        self.size = size
        self.turn = 0  # how often it was gone on from
        shape = (batch, size.frames * size.tokens, config.num_heads, config.head_dim)
        is_apart = torch.device(keep or device).type == "cpu" and torch.device(device).type == "cuda"
        make = lambda: torch.empty(shape, dtype=dtype, device=keep or device, pin_memory=is_apart)
        self.layers = [(make(), make()) for _ in range(config.depth)]
        self._first: int | None = None
        self._device = torch.device(device)
        self._scratch: tuple[Tensor, Tensor] | None = None

    def write_sink(self, layer: int, k: Tensor, v: Tensor) -> None:
        """k, v (b, sink * tokens, h, d), k not rotated."""
        for kept, new in zip(self.layers[layer], (k, v)):
            kept[:, : new.shape[1]].copy_(new)

    def write(self, layer: int, frames: range, k: Tensor, v: Tensor) -> None:
        """Put frames into their places, k (b, frames * tokens, h, d) rotated, v likewise; those that do not fit drop out."""
        if self._first is None:
            self._first = frames.start
        n = self.size.tokens
        for i, frame in list(enumerate(frames))[-self.size.history :] if self.size.history else ():
            at = (self.size.sink + (frame - self._first) % self.size.history) * n
            for kept, new in zip(self.layers[layer], (k, v)):
                kept[:, at : at + n].copy_(new[:, i * n : (i + 1) * n])

    def beside(self, layer: int, held: range, sink_k: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of sink, held frames and the block itself, (b, tokens of all, h, d), for gradients: shared memory has
        no history. sink_k: see `sink`, rotated to where it stands for this block."""
        past = self._past_tokens(held)
        kept_k, kept_v = (kept[:, :past].to(k) for kept in self.layers[layer])
        return torch.cat([sink_k, kept_k[:, sink_k.shape[1] :], k], 1), torch.cat([kept_v, v], 1)

    def room(self, layer: int, held: range, sink_k: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """The same in memory that all layers share, with room behind the past for the K and V of a block like `own`
        (b, n, h, d), which the caller writes. Valid until the next call."""
        past = self._past_tokens(held)
        total = past + own.shape[1]
        side = self._room(own, total)
        side[0][:, : sink_k.shape[1]].copy_(sink_k)
        kept_k, kept_v = self.layers[layer]
        side[0][:, sink_k.shape[1] : past].copy_(kept_k[:, sink_k.shape[1] : past], non_blocking=True)
        side[1][:, :past].copy_(kept_v[:, :past], non_blocking=True)
        return side[0][:, :total], side[1][:, :total]

    def sink(self, layer: int) -> Tensor:
        """The sink's K before rotation, (b, sink * tokens, h, d), on the model's device."""
        return self.layers[layer][0][:, : self.size.sink * self.size.tokens].to(self._device)

    def _past_tokens(self, held: range) -> int:
        return (self.size.sink + len(held)) * self.size.tokens

    def _room(self, like: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        if self._scratch is None or self._scratch[0].shape[1] < tokens:
            self._scratch = None  # let go of the old one first
            shape = (like.shape[0], tokens, *like.shape[2:])
            self._scratch = like.new_empty(shape), like.new_empty(shape)
        return self._scratch
