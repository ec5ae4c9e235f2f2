"""Noise levels of the released sampler. SANA-WM sec. 4 and its published inference configs."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError

LOWEST = 0.001  # the smallest level that the scheduler was trained with, before any shift


def shifted(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels in [0, 1] towards 1: shift * s / (1 + (shift - 1) * s)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def released_schedule(steps: int, shift: float) -> Tensor:
    """`steps` levels from 1 downward and a final 0: (steps + 1,), float32.

    The released scheduler shifts its own lower end, spaces the levels evenly down to it, then shifts them all: the
    low end is shifted twice. So the last level before 0 depends on the shift only: 0.0877 at 9.8, 0.0602 at 8.
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, got {steps}")
    if not 0 < shift < float("inf"):
        raise ConfigError(f"shift must be positive, got {shift}; the released models use 8 to 9.8")
    lowest = shifted(torch.tensor(LOWEST, dtype=torch.float64), shift)  # fp32: sigma arithmetic, in float64
    even = torch.linspace(1.0, lowest.item(), steps, dtype=torch.float64)
    return torch.cat([shifted(even, shift), torch.zeros(1, dtype=torch.float64)]).float()
