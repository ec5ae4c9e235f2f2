"""The gated delta rule as matrix products: each frame's keys are read once for both directions.

All tokens of a frame see the same memory, so a frame acts on it by two small matrices that no direction changes:
P = K diag(b) K^T, what it erases, and U = V diag(b) K^T, what it writes. The sweeps run on (e, d) matrices only, the
two memories are added, and one product with the queries reads them. Exact, not an approximation. SANA-WM sec. 3.2.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

Frames = tuple[Tensor, ...]  # what a tensor (b, h, t, ...) has for each of its t frames


def chunked_scan(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, chunks: tuple[int, ...], past: Tensor | None, keep: int
) -> tuple[Tensor, Tensor]:
    """See `delta_scan`."""
    b, h, t, d, n = k.shape
    e = v.shape[3]
    fp32 = torch.promote_types(k.dtype, torch.float32)  # fp32: the memory is a sum over minutes of frames
    memory = torch.zeros(b, h, e, d, dtype=fp32, device=k.device) if past is None else past.to(fp32)
    decay = decay.to(fp32)[..., None, None]
    out = torch.empty(b, t, n, h, e, dtype=v.dtype, device=v.device)  # token-major: the caller's layout, no copy there
    q, k, v, beta, decay = (y.unbind(2) for y in (q, k, v, beta, decay))  # frames; autograd joins them in one go
    start, kept = 0, memory
    for length in chunks:
        span = range(start, start + length)
        if e == 1:
            states, memory = _sweep_vector(k, v, beta, decay, span, memory)
        else:
            states, memory = _sweep_matrix(k, v, beta, decay, span, memory)
        for i, state in zip(span, states):
            out[:, i] = rearrange(q[i].to(fp32).mT @ state.mT, "b h n e -> b n h e")
        start += length
        kept = memory if start == keep else kept
    return rearrange(out, "b t n h e -> b h t e n"), kept


def _sweep_matrix(
    k: Frames, v: Frames, beta: Frames, decay: Frames, span: range, memory: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Sum of both memories at each frame of a chunk, and the forward memory at its end."""
    erase, write, states = [], [], []
    for i in span:
        frame = k[i].to(memory.dtype)
        k_written = frame * beta[i].unsqueeze(2).to(memory.dtype)
        erase.append(k_written @ frame.mT)
        write.append(v[i].to(memory.dtype) @ k_written.mT)
    for j, i in enumerate(span):
        memory = decay[i] * (memory - memory @ erase[j]) + write[j]
        states.append(memory)
    later = write[-1]  # what the last frame makes of an empty memory
    for j in range(len(span) - 2, -1, -1):
        states[j] = states[j] + later
        if j > 0:
            later = decay[span[j]] * (later - later @ erase[j]) + write[j]
    return states, memory


def _sweep_vector(
    k: Frames, v: Frames, beta: Frames, decay: Frames, span: range, memory: Tensor
) -> tuple[list[Tensor], Tensor]:
    """The same for one value row (the denominator): two products with a vector are cheaper than forming P."""

    def step(memory: Tensor, i: int) -> Tensor:
        frame = k[i].to(memory.dtype)
        kept = decay[i] * memory
        written = (v[i].to(memory.dtype) - kept @ frame) * beta[i].unsqueeze(2).to(memory.dtype)
        return kept + written @ frame.mT

    states = []
    for i in span:
        memory = step(memory, i)
        states.append(memory)
    later = torch.zeros_like(memory)
    for j in range(len(span) - 2, -1, -1):
        later = step(later, span[j + 1])
        states[j] = states[j] + later
    return states, memory
