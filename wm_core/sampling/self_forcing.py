"""The streaming student: a chunk in four steps, then one clean pass that writes the state. SANA-WM sec. 4.3.

A chunk is denoised with its past read only; what the next chunk sees is what the finished chunk leaves, never a noisy
one. There is no guidance: the student was distilled from the guided teacher.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .euler import OnStep, Velocity, euler

STUDENT_SIGMAS = (1.0, 0.96, 0.889, 0.727, 0.0)  # timesteps 1000, 960, 889, 727: the shift is already in them


def stream_chunk(
    velocity: Velocity,
    noise: Tensor,
    past: Any,
    *,
    sigmas: Tensor | tuple[float, ...] = STUDENT_SIGMAS,
    given: Tensor | None = None,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Any]:
    """One finished chunk and the state after it.

    noise (b, c, t, h, w) at level sigmas[0], with the frames that `given` (b, t) marks already in place. `past` is the
    state after the previous chunk (`WorldDiT.begin()` before the first); it is not changed.
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float32, device=noise.device)
    chunk = euler(velocity, noise, levels, given=given, past=past, on_step=on_step)
    clean = torch.zeros(chunk.shape[0], chunk.shape[2], device=chunk.device)
    _, state = velocity(chunk, clean, past)
    return chunk, state
