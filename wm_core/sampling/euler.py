"""Euler steps along the flow, with a noise level of its own for every latent frame. SANA-WM sec. 4.

x_sigma = (1 - sigma) x0 + sigma noise, velocity = noise - x0, so x moves by (sigma_next - sigma) * velocity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# velocity(x, sigma (b, t), past) -> (v like x, the state after it)
Velocity = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
OnStep = Callable[[int, Tensor], None]


def euler(
    velocity: Velocity,
    x: Tensor,
    sigmas: Tensor,
    *,
    given: Tensor | None = None,
    past: Any = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Integrate x (b, c, t, h, w) from sigmas[0] to sigmas[-1].

    given: (b, t) True = this latent frame is known; it has noise level 0 in every call and does not move.
    on_step(i, x) is called after step i. The state that `velocity` returns is dropped: denoising does not write it.
    """
    noisy = torch.ones(x.shape[0], x.shape[2], device=x.device) if given is None else (~given).float()
    for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1].to(x.device), sigmas[1:].to(x.device))):
        v, _ = velocity(x, sigma * noisy, past)
        step = ((sigma_next - sigma) * noisy)[:, None, :, None, None]
        x = (x.float() + step * v.float()).to(x.dtype)  # fp32: sigma arithmetic
        if on_step is not None:
            on_step(i, x)
    return x
