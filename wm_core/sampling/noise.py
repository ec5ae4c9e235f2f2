"""Noise by (seed, chunk): a stream can be resumed or branched without drawing again what came before."""

from __future__ import annotations

import torch
from torch import Tensor

_STRIDE = 0x9E3779B97F4A7C15  # of the splitmix64 sequence: neighbouring seeds and chunks share no generator

_REFINER = 0x5DEECE66D1B54A32  # sets the refiner's draws apart from stage 1's


def chunk_noise(seed: int, chunk: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 on the CPU for one chunk; the same on every machine for the same arguments."""
    mixed = (seed * _STRIDE + (chunk + 1) * 0xBF58476D1CE4E5B9) % 2**63
    return torch.randn(shape, generator=torch.Generator().manual_seed(mixed))


def whole_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Noise of a whole video in one draw, as the released code draws it."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def refiner_noise(seed: int, frame: int, shape: tuple[int, ...]) -> Tensor:
    """The same for the refiner's block that begins at a latent frame; never what stage 1 drew for any chunk."""
    return chunk_noise(seed ^ _REFINER, frame, shape)
