"""Keys and values of past chunks that softmax blocks still see: a sink, then the most recent chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class KVWindow:
    """What a chunk attends to besides itself. SANA-WM sec. 3.4.

    chunks: for each chunk kept its tensors (k, v of the main branch, then of the camera branch), each (b, h, n, d),
    oldest first. size: how many chunks are kept, -1 for all. keeps_sink: the first chunk counts as one of them forever.
    """

    chunks: tuple[tuple[Tensor, ...], ...] = ()
    size: int = 2
    keeps_sink: bool = True

    def append(self, *tensors: Tensor) -> KVWindow:
        """The window after one more chunk; what it no longer needs is not referenced."""
        chunks = (*self.chunks, tensors)
        if 0 <= self.size < len(chunks):
            sink = chunks[: min(1, self.size)] if self.keeps_sink else ()
            recent = self.size - len(sink)
            chunks = sink + (chunks[-recent:] if recent else ())
        return replace(self, chunks=chunks)

    def joined(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The kept chunks followed by this one, along the token axis."""
        if not self.chunks:
            return tensors
        return tuple(torch.cat(parts, 2) for parts in zip(*self.chunks, tensors))
