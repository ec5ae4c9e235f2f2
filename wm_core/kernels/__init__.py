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
from .proof import BOUNDS, disagreement

__all__ = ["TORCH", "Kernels", "kernels_for", "triton_kernels"]

log = logging.getLogger("sana_wm")
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


def kernels_for(x: Tensor, width: int, head_dim: int) -> Kernels:
    """The fused kernels where they can compute on x and do so on its device; the torch form elsewhere and for gradients.

    width, head_dim: channels of the model's tokens, and of a head.
    """
    if not x.is_cuda or x.dtype not in BOUNDS or torch.is_grad_enabled():
        return TORCH
    if x.device.index != torch.cuda.current_device():  # where Triton launches
        return TORCH
    if head_dim % 8 or not 16 <= head_dim <= 128 or not _proved(x.device, x.dtype, width, head_dim):
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


def _proved(device: torch.device, dtype: torch.dtype, width: int, head_dim: int) -> bool:
    """Whether the kernels compile on this machine and give what torch gives. Asked once; the log says so if they do not."""
    return _compared(device, dtype, width, head_dim)


# As torch.compiler.assume_constant_result marks a function, which would load the compiler: it is asked, and not traced.
_proved._dynamo_marked_constant = True


@lru_cache(maxsize=16)
def _compared(device: torch.device, dtype: torch.dtype, width: int, head_dim: int) -> bool:
    if torch.version.hip or torch.cuda.get_device_capability(device) < OLDEST:
        return False
    try:
        name, ratio = disagreement(triton_kernels(), TORCH, device, dtype, width, head_dim)
    except ImportError:
        log.info("Triton is not installed: the models run without fused kernels")
        return False
    except torch.OutOfMemoryError:  # says nothing of the kernels: asked again, for an answer is kept and an error is not
        raise
    except Exception as error:  # noqa: BLE001  whatever compiler or driver Triton lacks, torch computes the same
        log.warning("fused kernels do not run here, the models go on without them: %s", _first_line(error))
        return False
    if ratio > BOUNDS[dtype]:
        log.warning("fused %s is off by %.1e here, the models go on without fused kernels; please report this", name, ratio)
    return ratio <= BOUNDS[dtype]


def _first_line(error: Exception) -> str:
    """A compiler's error may be pages long."""
    return next(iter(str(error).splitlines()), type(error).__name__)
