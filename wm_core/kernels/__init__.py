"""What a block computes with: torch everywhere, fused Triton kernels where a CUDA device has them. Chosen here only.

Every field is a function with one signature in both forms, so a law that holds with one must hold with the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..attention import Attend, softmax_attention
from ..gdn import branches
from . import plain

__all__ = ["TORCH", "Kernels", "kernels_for", "triton_kernels"]

log = logging.getLogger("sana_wm")
FUSED_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
OLDEST = (8, 0)  # compute capability: the first with bfloat16 products


@dataclass(frozen=True, eq=False)
class Kernels:
    """See `gdn.branches`, `kernels.plain` and `attention` for what each function does."""

    name: str
    main_branch: Callable
    camera_branch: Callable
    modulate: Callable[[Tensor, Tensor, Tensor], Tensor]
    rms_modulate: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    norm_rotate: Callable[..., Tensor]
    gated_depthwise: Callable[[Tensor, tuple[int, int], Tensor, Tensor], Tensor]
    short_conv: Callable[[Tensor, Tensor, tuple[int, ...], Tensor | None], Tensor]
    attend: Attend = softmax_attention


TORCH = Kernels(
    "torch",
    branches.main_branch,
    branches.camera_branch,
    plain.modulate,
    plain.rms_modulate,
    plain.norm_rotate,
    plain.gated_depthwise,
    plain.short_conv,
)


def kernels_for(x: Tensor, head_dim: int) -> Kernels:
    """The fused kernels where they can compute on x and do so on its device; the torch form elsewhere and for gradients."""
    if not x.is_cuda or x.dtype not in FUSED_DTYPES or torch.is_grad_enabled():
        return TORCH
    if x.device.index != torch.cuda.current_device():  # where Triton launches
        return TORCH
    if head_dim % 8 or not 16 <= head_dim <= 128 or not _work_on(x.device):
        return TORCH
    return triton_kernels()


@lru_cache(maxsize=1)
def triton_kernels() -> Kernels:
    """The fused kernels; ImportError without the package triton."""
    from ..gdn import triton_branches
    from . import triton_convs, triton_norms

    return Kernels(
        "triton",
        triton_branches.main_branch,
        triton_branches.camera_branch,
        triton_norms.modulate,
        triton_norms.rms_modulate,
        triton_norms.norm_rotate,
        triton_convs.gated_depthwise,
        triton_convs.short_conv,
    )


@lru_cache(maxsize=16)
def _work_on(device: torch.device) -> bool:
    """Whether a small kernel compiles on this machine and gives what torch gives. Asked once a device."""
    if torch.version.hip or torch.cuda.get_device_capability(device) < OLDEST:
        return False
    try:
        fused = triton_kernels()
        x = torch.linspace(-1, 1, 64, device=device).reshape(1, 1, 2, 32)
        zero = x.new_zeros(1, 1, 1, 32)
        return torch.allclose(fused.modulate(x, zero, zero), plain.modulate(x, zero, zero), atol=1e-4)
    except ImportError:
        log.info("Triton is not installed: the world model runs without fused kernels")
    except Exception as error:  # noqa: BLE001  whatever compiler or driver Triton lacks, torch computes the same
        log.warning("fused kernels do not run here, the world model goes on without them: %s", error)
    return False
