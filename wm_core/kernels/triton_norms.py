"""Norms of `plain` as Triton kernels, forward only: a row is read once, and what follows its norm happens in registers.

Sums and everything up to the store are float32. A program has a few whole rows of one frame: what it modulates them by,
or the norm's weight, is read once for all of them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..positions import Rotation
from .plain import LAYER_NORM_EPS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_CHANNELS = 16384  # of a row that one program holds in registers
TILE = 8192  # numbers to a program, in at most MAX_ROWS rows
MAX_ROWS = 8


@triton.jit
def modulate_kernel(
    x, shift, scale, out, frames, tokens, channels, x_b, x_t, x_n, shift_b, shift_t, scale_b, scale_t, eps,
    CENTRED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """shift + norm(x) * (1 + scale); CENTRED: of x less its row's mean. Programs (rows of a frame, batch x frame)."""
    at = tl.program_id(1).to(tl.int64)
    b, t = at // frames, at % frames
    row, channel = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    is_channel = channel < channels
    alive = (row < tokens)[:, None] & is_channel[None, :]
    here = x + b * x_b + t * x_t + row[:, None] * x_n + channel[None, :]
    value = tl.load(here, mask=alive, other=0.0).to(tl.float32)
    if CENTRED:
        mean = tl.sum(value, 1) / channels
        value = tl.where(is_channel[None, :], value - mean[:, None], 0.0)
    value *= tl.rsqrt(tl.sum(value * value, 1) / channels + eps)[:, None]
    base = tl.load(shift + b * shift_b + t * shift_t + channel, mask=is_channel, other=0.0).to(tl.float32)
    gain = tl.load(scale + b * scale_b + t * scale_t + channel, mask=is_channel, other=0.0).to(tl.float32)
    value = base[None, :] + value * (1 + gain)[None, :]
    there = out + (at * tokens + row[:, None]) * channels + channel[None, :]
    tl.store(there, value.to(out.dtype.element_ty), mask=alive)


@triton.jit
def norm_rotate_kernel(
    x, weight, cos, sin, out, tokens, channels, x_b, x_n, out_b, out_n, out_h, table_n, table_h, eps,
    HALVES: tl.constexpr, DIM: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows normalised over all heads, their channel pairs turned. Programs (rows, batch).

    Neighbours are read and written as they lie and parted in registers; halves are two runs of each head.
    """
    half: tl.constexpr = DIM // 2
    b = tl.program_id(1).to(tl.int64)
    row, pair = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK // 2)
    head, i = (pair // half).to(tl.int64), pair % half
    is_pair = pair < channels // 2
    is_row = (row < tokens)[:, None]
    alive = is_row & is_pair[None, :]
    here = x + b * x_b + row[:, None] * x_n
    there = out + b * out_b + row[:, None] * out_n
    if HALVES:
        at = head * DIM + i
        first = tl.load(here + at[None, :], mask=alive, other=0.0)
        second = tl.load(here + at[None, :] + half, mask=alive, other=0.0)
        first_gain = tl.load(weight + at, mask=is_pair, other=0.0)
        second_gain = tl.load(weight + at + half, mask=is_pair, other=0.0)
    else:
        channel = tl.arange(0, BLOCK)
        is_channel = channel < channels
        whole = tl.load(here + channel[None, :], mask=is_row & is_channel[None, :], other=0.0)
        first, second = tl.split(tl.reshape(whole, (ROWS, BLOCK // 2, 2)))
        gain = tl.load(weight + channel, mask=is_channel, other=0.0)
        first_gain, second_gain = tl.split(tl.reshape(gain, (BLOCK // 2, 2)))
    first, second = first.to(tl.float32), second.to(tl.float32)
    square = tl.sum(first * first + second * second, 1) / channels
    length = tl.rsqrt(square + eps)[:, None]
    first = first * length * first_gain.to(tl.float32)[None, :]
    second = second * length * second_gain.to(tl.float32)[None, :]
    angle = row[:, None] * table_n + (head * table_h + i)[None, :]
    c = tl.load(cos + angle, mask=alive, other=0.0)
    s = tl.load(sin + angle, mask=alive, other=0.0)
    kind: tl.constexpr = out.dtype.element_ty
    real, imaginary = (first * c - second * s).to(kind), (first * s + second * c).to(kind)
    if HALVES:
        at = head * out_h + i
        tl.store(there + at[None, :], real, mask=alive)
        tl.store(there + at[None, :] + half, imaginary, mask=alive)
    else:
        channel = tl.arange(0, BLOCK)
        at = (channel // DIM).to(tl.int64) * out_h + channel % DIM
        joined = tl.reshape(tl.join(real, imaginary), (ROWS, BLOCK))
        tl.store(there + at[None, :], joined, mask=is_row & (channel < channels)[None, :])


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """See `plain.modulate`."""
    check_operands("modulate", x, shift, scale)
    b, t, n, c = x.shape
    wanted = (b, t, 1, c)
    if shift.shape != wanted or scale.shape != wanted:
        raise ShapeError(f"shift and scale must be {wanted}, got {tuple(shift.shape)} and {tuple(scale.shape)}")
    out = x.new_empty(x.shape)
    options = _row_options(c)
    modulate_kernel[(triton.cdiv(n, options["ROWS"]), b * t)](
        x, shift, scale, out, t, n, c, *x.stride()[:3], *shift.stride()[:2], *scale.stride()[:2], LAYER_NORM_EPS,
        CENTRED=True, **options,
    )  # fmt: skip
    return out


def rms_modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """See `plain.rms_modulate`."""
    check_operands("rms_modulate", x, shift, scale)
    b, n, c = x.shape
    if shift.shape != (c,) or scale.shape != (c,):
        raise ShapeError(f"shift and scale must be ({c},), got {tuple(shift.shape)} and {tuple(scale.shape)}")
    out = x.new_empty(x.shape)
    options = _row_options(c)
    modulate_kernel[(triton.cdiv(n, options["ROWS"]), b)](
        x, shift, scale, out, 1, n, c, x.stride(0), 0, x.stride(1), 0, 0, 0, 0, eps, CENTRED=False, **options
    )
    return out


def norm_rotate(
    x: Tensor, weight: Tensor, eps: float, rotation: Rotation, *, halves: bool = False, out: Tensor | None = None
) -> Tensor:
    """See `plain.norm_rotate`. x and out may be views with channels side by side."""
    tokens = x.shape[1:-1]
    x = x.flatten(1, -2)
    cos, sin = (y.reshape(-1, *y.shape[-2:]) for y in (rotation.cos, rotation.sin))
    b, n, c = x.shape
    heads, d = _heads(x, weight, cos, sin)
    if out is None:
        out = x.new_empty((b, n, heads, d))
    check_operands("norm_rotate", x, weight, cos, sin, out)
    if out.shape != (b, n, heads, d) or out.dtype != x.dtype:
        raise ShapeError(f"out must be {(b, n, heads, d)} {x.dtype}, got {tuple(out.shape)} {out.dtype}")
    cos, sin = cos.contiguous(), sin.contiguous()
    options = _row_options(c)
    norm_rotate_kernel[(triton.cdiv(n, options["ROWS"]), b)](
        x, weight, cos, sin, out, n, c, *x.stride()[:2], *out.stride()[:3], *_table_steps(cos), eps,
        HALVES=halves, DIM=d, **options,
    )  # fmt: skip
    return out if len(tokens) == 1 else out.unflatten(1, tokens)


def check_operands(name: str, *operands: Tensor) -> None:
    """ConfigError or ShapeError unless a kernel can read all of them and none of them wants a gradient."""
    for x in operands:
        if x.dtype not in DTYPES:
            raise ConfigError(f"fused {name} takes float32, float16 or bfloat16, got {x.dtype}; use the plain form")
        if x.device != operands[0].device:
            raise ConfigError(
                f"fused {name} needs one device, got {operands[0].device} and {x.device}; move one tensor"
            )
        if x.stride(-1) != 1 and x.shape[-1] > 1:
            raise ShapeError(f"fused {name} needs channels side by side, got strides {x.stride()}; call contiguous()")
    if torch.is_grad_enabled() and any(x.requires_grad for x in operands):
        raise ConfigError(f"fused {name} has no backward pass and got tensors that want one; use the plain form")


def _heads(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor) -> tuple[int, int]:
    """How many heads the rows of x have and how wide they are; ShapeError unless the operands agree."""
    n, c = x.shape[1:]
    d = 2 * cos.shape[-1]
    heads = c // d
    if weight.shape != (c,) or heads * d != c:
        raise ShapeError(f"weight must be ({c},) and {c} a multiple of the heads' {d}, got {tuple(weight.shape)}")
    if cos.shape != sin.shape or cos.shape not in ((n, 1, d // 2), (n, heads, d // 2)):
        raise ShapeError(f"cos, sin must be ({n}, 1 or {heads}, {d // 2}), got {tuple(cos.shape)}, {tuple(sin.shape)}")
    if cos.dtype != torch.float32 or sin.dtype != torch.float32:
        raise ConfigError(f"cos and sin must be float32, got {cos.dtype} and {sin.dtype}; make the table in float32")
    return heads, d


def _table_steps(cos: Tensor) -> tuple[int, int]:
    """How far a token's angles are from the next one's, and a head's: no way at all where all heads turn alike."""
    return cos.shape[1] * cos.shape[2], cos.shape[2] if cos.shape[1] > 1 else 0


def _row_options(channels: int) -> dict[str, int]:
    """How many whole rows a program takes and with how many warps."""
    if channels > MAX_CHANNELS:
        raise ShapeError(f"the fused norms take at most {MAX_CHANNELS} channels, got {channels}; use the plain form")
    block = triton.next_power_of_2(channels)
    return {"ROWS": max(1, min(MAX_ROWS, TILE // block)), "BLOCK": block, "num_warps": 8 if block >= 2048 else 4}
