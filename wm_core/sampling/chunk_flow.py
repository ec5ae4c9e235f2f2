"""The chunk-causal teacher: all chunks in one call, each a little behind the one before it. SANA-WM sec. 4.2.

Chunk i starts `int(i * interval * steps)` steps after the first. Every call runs the prefix of started chunks with a
noise level for each; finished chunks stay in the prefix at level 0, so later ones see them clean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import ConfigError
from ..shapes import check_chunks
from .euler import OnStep

# velocity(x, sigma (b, t), chunks) -> v like x, for the prefix x of the video
PrefixVelocity = Callable[[Tensor, Tensor, tuple[int, ...]], Tensor]


def staggered_levels(chunks: int, steps: int, interval: float | None = None) -> Iterator[tuple[int, ...]]:
    """For each call, the index into the schedule of every started chunk: 0 = first level, `steps` = finished.

    interval: how far a chunk is behind the one before it, as a share of the steps; None = 1 / chunks, 0 = all at once.
    """
    interval = 1 / chunks if interval is None else interval
    if steps < 1 or not 0 <= interval <= 1:
        raise ConfigError(f"steps must be at least 1 and interval 0 to 1, got {steps} and {interval}")
    starts = [int(i * interval * steps) for i in range(chunks)]
    for call in range(starts[-1] + steps):
        yield tuple(min(call - start, steps) for start in starts if start <= call)


def chunk_flow_euler(
    velocity: PrefixVelocity,
    x: Tensor,
    sigmas: Tensor,
    chunks: tuple[int, ...],
    *,
    interval: float | None = None,
    given: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Integrate noise x (b, c, t, h, w) to latents; sigmas (steps + 1,) ends in 0. `given` (b, t) marks known frames."""
    check_chunks(chunks, x.shape[2])
    sigmas = sigmas.to(x.device)
    noisy = torch.ones(x.shape[0], x.shape[2], device=x.device) if given is None else (~given).float()
    x = x.clone()
    for call, levels in enumerate(staggered_levels(len(chunks), len(sigmas) - 1, interval)):
        started = chunks[: len(levels)]
        frames = sum(started)
        now, after = (_per_frame(sigmas, levels, started, step) * noisy[:, :frames] for step in (0, 1))
        v = velocity(x[:, :, :frames], now, started)
        moved = x[:, :, :frames].float() + (after - now)[:, None, :, None, None] * v.float()  # fp32: sigma arithmetic
        x[:, :, :frames] = moved.to(x.dtype)
        if on_step is not None:
            on_step(call, x)
    return x


def _per_frame(sigmas: Tensor, levels: tuple[int, ...], chunks: tuple[int, ...], step: int) -> Tensor:
    """(t,): each frame's level now (step 0) or after this call (step 1)."""
    at = torch.tensor([min(level + step, len(sigmas) - 1) for level in levels], device=sigmas.device)
    return sigmas[at].repeat_interleave(torch.tensor(chunks, device=sigmas.device))
