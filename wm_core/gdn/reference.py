"""The gated delta rule written as its definition: one memory per frame and direction. Slow, clear, the judge."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def reference_scan(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, chunks: tuple[int, ...], past: Tensor | None, keep: int
) -> tuple[Tensor, Tensor]:
    """See `delta_scan`."""
    dtype = v.dtype
    q, k, v, beta, decay = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (q, k, v, beta, decay))
    b, h, _, d, _ = k.shape
    memory = k.new_zeros(b, h, v.shape[3], d) if past is None else past
    read, kept = [], memory
    for span in _spans(chunks):
        frames = [(k[:, :, i], v[:, :, i], beta[:, :, i], decay[:, :, i]) for i in span]
        forward = list(_sweep(frames, memory))
        backward = [torch.zeros_like(memory), *_sweep(frames[::-1], torch.zeros_like(memory))][:-1]
        memory = forward[-1]
        kept = memory if span.stop == keep else kept
        both = [f + g for f, g in zip(forward, reversed(backward))]
        read += [s @ q[:, :, i] for i, s in zip(span, both)]
    return torch.stack(read, 2).to(dtype), kept


def _sweep(frames: list[tuple[Tensor, Tensor, Tensor, Tensor]], memory: Tensor) -> Iterator[Tensor]:
    """Memory after each frame."""
    for k, v, beta, decay in frames:
        k_written = k * beta[:, :, None]
        erased = memory - memory @ k_written @ k.mT
        memory = decay[..., None, None] * erased + v @ k_written.mT
        yield memory


def _spans(chunks: tuple[int, ...]) -> Iterator[range]:
    start = 0
    for length in chunks:
        yield range(start, start + length)
        start += length
