"""Layers for training: linear maps multiply in bfloat16 and keep float32 weights, sums and gradients of weights.

On a CPU with AVX512-BF16 a product of matrices takes a quarter of the time, on one without it many times the time: there
nothing changes. On CUDA the products are TF32. Convolutions and norms stay as they are.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import torch
from torch import Tensor, nn


@cache
def cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()


def bf16_products(device: torch.device) -> torch.autocast:
    """Convolutions and products in bfloat16 where that is the faster way."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or cpu_has_bf16())


class MixedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda or not cpu_has_bf16():
            return super().forward(x)
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).to(x.dtype)


MIXED = SimpleNamespace(Linear=MixedLinear, Conv2d=nn.Conv2d, RMSNorm=nn.RMSNorm)
