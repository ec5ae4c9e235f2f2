"""What a run must do at the least, and how fast this device can: the roof that a figure is held against.

Both rates are measured, once a run and device: a large matrix product in the row's dtype, and a large copy, counting bytes
read and bytes written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from .devices import CPU, clock

SIDE = {CPU: 2048}  # of the product's matrices
GPU_SIDE = 8192
COPIED = {CPU: 2**28}  # bytes read, and as many written
GPU_COPIED = 2**32
REPEATS = 5  # of which the fastest counts
# torch's counter knows the kernels of a GPU only
UNCOUNTED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **options: sdpa_flop_count(q, k, v)
}


@dataclass(frozen=True)
class Work:
    """Floating-point operations of a run, and the bytes that it cannot but read and write; 0 where those are not counted."""

    flops: float
    moved: float = 0


@dataclass(frozen=True)
class Ceilings:
    """Operations a second and bytes a second."""

    flops: float
    moved: float

    def roof(self, work: Work) -> float:
        """Seconds under which nobody does the work on this device."""
        return max(work.flops / self.flops, work.moved / self.moved)

    def __str__(self) -> str:
        return f"{self.flops / 1e12:.3g} TFLOP/s, {self.moved / 1e9:.3g} GB/s"


@cache
@torch.no_grad()
def ceilings(device: str, dtype: str) -> Ceilings:
    return Ceilings(_product_rate(device, getattr(torch, dtype)), _copy_rate(device))


@torch.no_grad()
def count_flops(run: Callable[[], object]) -> int:
    """Operations of the matrix products, convolutions and attention of run(), in the torch form: what Triton does is not seen."""
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        run()
    return counter.get_total_flops()


def _product_rate(device: str, dtype: torch.dtype) -> float:
    side = SIDE.get(device, GPU_SIDE)
    a, b, out = (torch.randn(side, side, device=device).to(dtype) for _ in range(3))  # a product of zeros is faster
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b, out=out), device)


def _copy_rate(device: str) -> float:
    size = COPIED.get(device) or min(GPU_COPIED, torch.cuda.mem_get_info()[0] // 8)
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / _fastest(lambda: target.copy_(source), device)


def _fastest(run: Callable[[], object], device: str) -> float:
    now, seconds = clock(device), []
    run()
    for _ in range(REPEATS):
        start = now()
        run()
        seconds.append(now() - start)
    return min(seconds)
