"""Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .euler import Velocity


def guided(conditional: Velocity, unconditional: Velocity, scale: float) -> Velocity:
    """Velocity of the guided flow: u + scale * (c - u), two model calls one after the other; scale 1 needs only one.

    While streaming each branch has a state of its own: `past` and the new state are pairs (unconditional, conditional).
    """
    if scale == 1.0:
        return conditional

    def velocity(x: Tensor, sigma: Tensor, past: tuple[Any, Any] | None) -> tuple[Tensor, tuple[Any, Any] | None]:
        before = (None, None) if past is None else past
        without, state_without = unconditional(x, sigma, before[0])
        towards, state_towards = conditional(x, sigma, before[1])
        after = None if past is None else (state_without, state_towards)
        return without + scale * (towards - without), after

    return velocity
