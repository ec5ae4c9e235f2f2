"""Models with random weights, made where they will run: no path is dead, and nothing grows from layer to layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def random_model(make: Callable[[], nn.Module], device: str, dtype: torch.dtype) -> nn.Module:
    """make() on a device in a dtype. On the device `meta` it has shapes and no numbers."""
    with torch.device("meta"):
        model = make().to(dtype)
    if device == "meta":
        return model.eval().requires_grad_(False)
    model.to_empty(device=device)
    for name, buffer in model.named_buffers():
        buffer.fill_(1 if name.endswith("_std") else 0)
    return filled(model)


@torch.no_grad()
def filled(model: nn.Module) -> nn.Module:
    """Every parameter drawn where it lies."""
    g = None
    for name, p in model.named_parameters():
        g = g or torch.Generator(p.device).manual_seed(0)
        p.normal_(0, 0.3 if p.ndim < 2 else p[0].numel() ** -0.5, generator=g)
        if "norm" in name and p.ndim < 2:
            p.add_(1)
    return model.eval().requires_grad_(False)
