"""Depthwise convolutions of `plain` as Triton kernels, forward only: over a frame with its gate, and along time.

Sums are float32; neither the ungated result nor a frame beside its tail is ever written to memory.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ..errors import ShapeError
from ..gdn.triton_branches import chunk_ends
from ..shapes import check_chunks
from .triton_norms import check_operands

COLUMNS = 8  # of a frame, to a program that walks down its rows
GATED_CHANNELS = 64
ROWS_AHEAD = 2  # on their way while one is added up
TIME_CHANNELS = 256
TIME_FRAMES = 8  # at most: the more, the fewer are read twice, but a short call pads them


@triton.jit
def _taps(weight, channel, is_channel, ROW: tl.constexpr):
    """Weights of one row of the 3 x 3 filters from left to right, (1, channels) each."""
    at = weight + channel * 9 + 3 * ROW
    left = tl.load(at, mask=is_channel, other=0.0).to(tl.float32)
    middle = tl.load(at + 1, mask=is_channel, other=0.0).to(tl.float32)
    right = tl.load(at + 2, mask=is_channel, other=0.0).to(tl.float32)
    return left[None, :], middle[None, :], right[None, :]


@triton.jit
def _filters(weight, channel, is_channel):
    """The three rows of the filters, top to bottom."""
    top, bottom = _taps(weight, channel, is_channel, 0), _taps(weight, channel, is_channel, 2)
    return top, _taps(weight, channel, is_channel, 1), bottom


@triton.jit
def _added(total, row, taps):
    return total + row[0] * taps[0] + row[1] * taps[1] + row[2] * taps[2]


@triton.jit
def _three(row, column, channel, width, step, alive):
    """Tokens of a row with their left and right neighbours, (columns, channels) each, zero outside the frame."""
    at = row + column.to(tl.int64)[:, None] * step + channel[None, :]
    left = tl.load(at - step, mask=alive & ((column > 0) & (column <= width))[:, None], other=0.0).to(tl.float32)
    middle = tl.load(at, mask=alive & (column < width)[:, None], other=0.0).to(tl.float32)
    right = tl.load(at + step, mask=alive & (column < width - 1)[:, None], other=0.0).to(tl.float32)
    return left, middle, right


@triton.jit
def gated_depthwise_kernel(
    x, weight, bias, out, frames, height, width, channels, x_b, x_t, x_n,
    COLUMNS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Programs (block of the result's channels, block of columns, batch x frame); each walks down the rows.

    A row adds to the results above, at and below it, so it is read once: two sums of each half go on to the next row.
    """
    at = tl.program_id(2).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_channel = channel < channels
    top, middle, bottom = _filters(weight, channel, is_channel)
    gate_top, gate_middle, gate_bottom = _filters(weight + channels * 9, channel, is_channel)
    value_bias = tl.load(bias + channel, mask=is_channel, other=0.0).to(tl.float32)[None, :]
    gate_bias = tl.load(bias + channels + channel, mask=is_channel, other=0.0).to(tl.float32)[None, :]
    zero = tl.zeros((COLUMNS, BLOCK), tl.float32)
    value, next_value = zero, zero + value_bias
    gate, next_gate = zero, zero + gate_bias
    frame = x + (at // frames) * x_b + (at % frames) * x_t
    for y in tl.range(0, height + 1, num_stages=STAGES):
        first = (y * width).to(tl.int64)
        alive = is_channel[None, :] & (y < height)
        row = _three(frame + first * x_n, column, channel, width, x_n, alive)
        beside = _three(frame + first * x_n + channels, column, channel, width, x_n, alive)
        value, gate = _added(value, row, bottom), _added(gate, beside, gate_bottom)
        there = out + (at * height * width + first - width + column[:, None]) * channels + channel[None, :]
        gated = value * gate * tl.sigmoid(gate)
        is_there = is_channel[None, :] & (column < width)[:, None] & (y > 0)
        tl.store(there, gated.to(out.dtype.element_ty), mask=is_there)
        value, next_value = _added(next_value, row, middle), _added(value_bias, row, top)
        gate, next_gate = _added(next_gate, beside, gate_middle), _added(gate_bias, beside, gate_top)


@triton.jit
def short_conv_kernel(
    x, weight, tail, ends, out, frames, tokens, channels, x_b, x_t, x_n, tail_b, tail_t, tail_n,
    HAS_TAIL: tl.constexpr, TAPS: tl.constexpr, FRAMES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ends: the first frame behind each frame's chunk. Programs (token x block of channels, group of frames, batch)."""
    blocks = tl.cdiv(channels, BLOCK)
    token = (tl.program_id(0) // blocks).to(tl.int64)
    channel = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    b = tl.program_id(2).to(tl.int64)
    frame = tl.program_id(1).to(tl.int64) * FRAMES + tl.arange(0, FRAMES)
    is_frame, is_channel = frame < frames, channel < channels
    end = tl.load(ends + frame, mask=is_frame, other=0)
    here = x + b * x_b + token * x_n + channel[None, :]
    total = tl.zeros((FRAMES, BLOCK), tl.float32)
    for lag in tl.static_range(0, TAPS):
        before, after = frame - lag, frame + lag
        is_seen = (is_frame & (before >= 0))[:, None] & is_channel[None, :]
        seen = tl.load(here + before[:, None] * x_t, mask=is_seen, other=0.0).to(tl.float32)
        if lag > 0:
            is_seen = (after < end)[:, None] & is_channel[None, :]
            seen += tl.load(here + after[:, None] * x_t, mask=is_seen, other=0.0).to(tl.float32)
            if HAS_TAIL:
                is_seen = (is_frame & (before < 0))[:, None] & is_channel[None, :]
                earlier = tail + b * tail_b + (before + TAPS - 1)[:, None] * tail_t + token * tail_n + channel[None, :]
                seen += tl.load(earlier, mask=is_seen, other=0.0).to(tl.float32)
        tap = tl.load(weight + channel * TAPS + TAPS - 1 - lag, mask=is_channel, other=0.0).to(tl.float32)
        total += tap[None, :] * seen
    there = out + ((b * frames + frame)[:, None] * tokens + token) * channels + channel[None, :]
    tl.store(there, total.to(out.dtype.element_ty), mask=is_frame[:, None] & is_channel[None, :])


def gated_depthwise(x: Tensor, size: tuple[int, int], weight: Tensor, bias: Tensor) -> Tensor:
    """See `plain.gated_depthwise`."""
    check_operands("gated_depthwise", x, bias, weight)
    b, t, n, wide = x.shape
    height, width = size
    if height * width != n:
        raise ShapeError(
            f"a frame of {height} x {width} tokens needs n = {height * width}, got {n}; pass size as (h, w)"
        )
    if wide % 2 or weight.shape != (wide, 1, 3, 3) or bias.shape != (wide,):
        wanted = f"weight and bias must be ({wide}, 1, 3, 3) and ({wide},), {wide} even"
        raise ShapeError(
            f"{wanted}, got {tuple(weight.shape)} and {tuple(bias.shape)}; other filters take the plain form"
        )
    out = x.new_empty((b, t, n, wide // 2))
    grid = triton.cdiv(wide // 2, GATED_CHANNELS), triton.cdiv(width, COLUMNS), b * t
    gated_depthwise_kernel[grid](
        x, weight.contiguous(), bias, out, t, height, width, wide // 2, *x.stride()[:3],
        COLUMNS=COLUMNS, BLOCK=GATED_CHANNELS, STAGES=ROWS_AHEAD + 1, num_warps=4,
    )  # fmt: skip
    return out


def short_conv(x: Tensor, weight: Tensor, chunks: tuple[int, ...], tail: Tensor | None = None) -> Tensor:
    """See `plain.short_conv`. x may be a view with channels side by side."""
    check_operands("short_conv", x, *(() if tail is None else (tail,)), weight)
    b, t, n, c = x.shape
    check_chunks(chunks, t)
    taps = weight.shape[-1]
    if weight.shape != (c, 1, taps):
        raise ShapeError(f"weight must be ({c}, 1, taps), got {tuple(weight.shape)}")
    if tail is not None and tail.shape != (b, taps - 1, n, c):
        raise ShapeError(f"tail must be the {taps - 1} frames before x, {(b, taps - 1, n, c)}, got {tuple(tail.shape)}")
    out = x.new_empty(x.shape)
    group = min(TIME_FRAMES, triton.next_power_of_2(t))
    grid = n * triton.cdiv(c, TIME_CHANNELS), triton.cdiv(t, group), b
    steps = (0, 0, 0) if tail is None else tail.stride()[:3]
    short_conv_kernel[grid](
        x, weight.contiguous(), tail, chunk_ends(tuple(chunks), x.device), out, t, n, c, *x.stride()[:3], *steps,
        HAS_TAIL=tail is not None, TAPS=taps, FRAMES=group, BLOCK=TIME_CHANNELS, num_warps=4,
    )  # fmt: skip
    return out
