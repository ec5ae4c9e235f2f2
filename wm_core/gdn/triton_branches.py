"""`branches` as fused kernels: the same functions, forward only. SANA-WM (arXiv 2605.15178) sec. 3.2, 3.3.

What is written to memory between the phases is d x d for each frame and head, in the dtype of the operands; no
normalised, rotated or carried copy of the tokens is made. Accumulation and carried memory are float32.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

import torch
import triton
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..positions import RayGeometry, Rotation
from ..shapes import check_chunks, check_keep
from .branches import DENOMINATOR_EPS, MainMemory, Projected
from .triton_prep import camera_frames_kernel, denominator_frames_kernel, main_frames_kernel, row_norms_kernel
from .triton_scan import camera_read_kernel, main_read_kernel, sweep_kernel

NORM_BLOCK = 1024
MEMORY_ROWS = 32  # of the memory to a program: four programs a head of 112


def main_branch(
    x: Projected, rotation: Rotation, *, chunks: tuple[int, ...], past: MainMemory = (None, None), keep: int | None = None
) -> tuple[Tensor, MainMemory]:
    """See `branches.main_branch`."""
    size = _Size.of(x, chunks, False)
    table = size.table(rotation, size.d // 2)
    norm_q, norm_k = (_row_norms(y, x.eps) for y in (x.q, x.k))
    erase, write = size.squares(x.k), size.squares(x.k)
    main_frames_kernel[size.frames_grid](
        x.k, x.v, x.beta.contiguous(), norm_k, x.k_weight, *table, erase, write, size.t, size.n, _step(x.k), _step(x.v), x.key_scale,
        **size.frames,
    )  # fmt: skip
    states, kv = _swept(size, erase, write, x.decay, chunks, past[0], keep)
    row = erase.new_empty((size.b, size.h, size.t, 1, size.d), dtype=torch.float32)
    denominator_frames_kernel[size.frames_grid](
        x.k, x.beta.contiguous(), norm_k, x.k_weight, erase, row, size.t, size.n, _step(x.k), x.key_scale,
        **size.frames,
    )  # fmt: skip
    rows, z = _swept(size, erase, row, x.decay, chunks, past[1], keep)
    out = x.q.new_empty(x.q.shape)
    main_read_kernel[size.tokens_grid](
        x.q, norm_q, x.q_weight, *table, states, rows, out, size.t, size.n, _step(x.q), _step(out), DENOMINATOR_EPS,
        **size.reads,
    )  # fmt: skip
    return out, (kv, z)


def camera_branch(
    x: Projected,
    rays: RayGeometry,
    *,
    clamp: bool,
    chunks: tuple[int, ...],
    past: Tensor | None = None,
    keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """See `branches.camera_branch`."""
    size = _Size.of(x, chunks, True)
    table = size.table(rays.rotation, size.d // 4)
    apart = size.t * size.n if rays.to_ray.shape[0] > 1 else 0
    _check(to_ray=(rays.to_ray, (size.b if apart else 1, size.t, size.n, 4, 4)))
    norm_q, norm_k = (_row_norms(y, x.eps) for y in (x.q, x.k))
    erase, write = size.squares(x.k), size.squares(x.k)
    camera_frames_kernel[size.frames_grid](
        x.k, x.v, x.beta.contiguous(), norm_k, x.k_weight, rays.from_ray.contiguous(), *table, erase, write, size.t, size.n,
        _step(x.k), _step(x.v), apart, x.key_scale, CLAMP=clamp, **size.frames,
    )  # fmt: skip
    states, memory = _swept(size, erase, write, x.decay, chunks, past, keep)
    out = x.q.new_empty(x.q.shape)
    camera_read_kernel[size.tokens_grid](
        x.q, norm_q, x.q_weight, rays.to_ray.contiguous(), *table, states, out, size.t, size.n,
        _step(x.q), _step(out), apart, CLAMP=clamp, **size.reads,
    )  # fmt: skip
    return out, memory


class _Size:
    """Shape of a call, and what the kernels are specialised for."""

    def __init__(self, b: int, t: int, n: int, h: int, d: int, dtype: torch.dtype, is_carried: bool) -> None:
        self.b, self.t, self.n, self.h, self.d = b, t, n, h, d
        is_wide = dtype == torch.float32
        common = {"DIM": d, "BLOCK": triton.next_power_of_2(d), "PRECISION": "ieee" if is_wide else "tf32"}
        self.sweeps = {**common, "num_warps": 8, "num_stages": 1 if is_wide else 3}
        # Tokens at a time: what the registers of sm_80 to sm_120 and 99 KiB of shared memory hold; `tools.compile_kernels`
        # prints what each launch takes.
        self.frames = {**common, "ROWS": 16 if is_wide or is_carried else 32, "num_warps": 8}
        self.reads = {**common, "ROWS": 16 if is_wide else 32 if is_carried else 64, "num_warps": 16 if is_wide else 8}
        self.frames_grid = (h, b * t)
        self.tokens_grid = (h, triton.cdiv(n, self.reads["ROWS"]), b * t)

    @classmethod
    def of(cls, x: Projected, chunks: tuple[int, ...], is_carried: bool) -> _Size:
        """is_carried: through ray space, which takes more registers. ShapeError or ConfigError where the kernels do not apply."""
        b, t, n, c = x.q.shape
        check_chunks(chunks, t)
        if x.q.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ConfigError(f"the fused scan takes float32, float16 or bfloat16, got {x.q.dtype}; use the torch form")
        if c % x.heads or c // x.heads % 8 or not 16 <= c // x.heads <= 128:
            raise ShapeError(f"the fused scan takes heads of 16 to 128 channels in eights, got {c} / {x.heads}")
        if torch.is_grad_enabled() and any(y.requires_grad for y in (x.q, x.k, x.v)):
            raise ConfigError("the fused scan has no backward pass; use the torch form, or torch.no_grad()")
        _check(
            k=(x.k, (b, t, n, c)), v=(x.v, (b, t, n, c)), q_weight=(x.q_weight, (c,)), k_weight=(x.k_weight, (c,)),
            beta=(x.beta, (b, t, n, x.heads)), decay=(x.decay, (b, x.heads, t)),
        )  # fmt: skip
        return cls(b, t, n, x.heads, c // x.heads, x.q.dtype, is_carried)

    def table(self, rotation: Rotation, pairs: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the call's tokens."""
        _check(rotation=(rotation.cos, (self.t, self.n, 1, pairs)))
        return rotation.cos.contiguous(), rotation.sin.contiguous()

    def squares(self, like: Tensor) -> Tensor:
        """Room for a matrix to each frame and head; half as many bytes where the operands are half as wide."""
        return like.new_empty((self.b, self.h, self.t, self.d, self.d))


def _swept(
    size: _Size, erase: Tensor, write: Tensor, decay: Tensor, chunks: tuple[int, ...], past: Tensor | None, keep: int | None
) -> tuple[Tensor, Tensor]:
    """Sum of both memories at each frame, like `write`, and the forward one after `keep` frames, (b, h, e, d)."""
    values = write.shape[3]
    keep = size.t if keep is None else keep
    check_keep(chunks, keep)
    if past is not None:
        _check(past=(past, (size.b, size.h, values, size.d)))
    states = torch.empty_like(write)
    after = torch.empty(size.b, size.h, values, size.d, dtype=torch.float32, device=write.device)
    rows = min(MEMORY_ROWS, triton.next_power_of_2(max(16, values)))
    sweep_kernel[(triton.cdiv(values, rows), size.b * size.h)](
        erase, write, decay.contiguous(), chunk_ends(tuple(chunks), write.device), past if past is None else past.contiguous(),
        states, after, size.t, keep, values,
        HAS_PAST=past is not None, ROWS=rows, **size.sweeps,
    )  # fmt: skip
    return states, after


@lru_cache(maxsize=64)
def chunk_ends(chunks: tuple[int, ...], device: torch.device) -> Tensor:
    """The first frame behind each frame's chunk, (t,) int32. Kept: a CUDA graph must not copy from the host."""
    ends = [end for end, length in zip(accumulate(chunks), chunks) for _ in range(length)]
    return torch.tensor(ends, dtype=torch.int32, device=device)


def _check(**wanted: tuple[Tensor, tuple[int, ...]]) -> None:
    """ShapeError for what a kernel would read beyond its end."""
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise ShapeError(f"{name} must be {shape} for these tokens, got {tuple(tensor.shape)}")


def _row_norms(x: Tensor, eps: float) -> Tensor:
    """1 / RMS over the channels: (b, t, n, c) -> (b, t, n), float32."""
    out = torch.empty(x.shape[:3], dtype=torch.float32, device=x.device)
    row_norms_kernel[(out.numel(),)](x, out, x.shape[3], _step(x), eps, BLOCK=NORM_BLOCK, num_warps=4)
    return out


def _step(x: Tensor) -> int:
    """Elements from one token of x (b, t, n, c) to the next; ShapeError unless it is the same everywhere."""
    b, t, n, _ = x.shape
    step = x.stride(2)
    if x.stride(3) != 1 or (t > 1 and x.stride(1) != n * step) or (b > 1 and x.stride(0) != t * n * step):
        raise ShapeError(f"tokens must lie evenly, channels side by side; got {tuple(x.shape)} with strides {x.stride()}")
    return step
