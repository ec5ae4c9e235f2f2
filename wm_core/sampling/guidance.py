"""Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .euler import Velocity


def guided(conditional: Velocity, unconditional: Velocity, scale: float) -> Velocity:
    """Velocity of the guided flow: u + scale * (c - u), two model calls one after the other; scale 1 needs only one.

    State flows through the conditional call only, so a guided sampler takes no past from the unconditional one.
    """
    if scale == 1.0:
        return conditional

    def velocity(x: Tensor, sigma: Tensor, past: Any) -> tuple[Tensor, Any]:
        without, _ = unconditional(x, sigma, past)
        towards, new_past = conditional(x, sigma, past)
        return without + scale * (towards - without), new_past

    return velocity
