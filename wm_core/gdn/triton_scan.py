"""Phases B and C of the fused scan, in Triton: both sweeps over the frames, then one product with the queries.

B works on (e, d) matrices only, with the memory in float32 registers. Rows of the memory do not meet, so each program has
some of them; the denominator is a memory of one row. A chunk's end is a flag: there the backward sweep starts again, while
the forward one goes on. C reads the sum of both memories, divides if there is a denominator, and for the camera carries
what was read back from ray space. SANA-WM (arXiv 2605.15178) sec. 3.2. Forward only.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_prep import carried, feature, four, joined, squared, turned, within


@triton.jit
def _stepped(memory, erase, write, kept, frame, row, is_row, VALUES, DIM: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """The memory after one more frame: g (S - S P) + U."""
    i = tl.arange(0, BLOCK)
    square = (i < DIM)[:, None] & (i < DIM)[None, :]
    erased = tl.load(erase + frame * DIM * DIM + i[:, None] * DIM + i[None, :], mask=square, other=0.0)
    written = tl.load(write + (frame * VALUES + row[:, None]) * DIM + i[None, :], mask=is_row, other=0.0)
    lost = tl.dot(memory, erased.to(tl.float32), input_precision=PRECISION)
    return kept * (memory - lost) + written.to(tl.float32)


@triton.jit
def sweep_kernel(
    erase, write, decay, ends, past, states, after, frames, keep, VALUES,
    HAS_PAST: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum of both memories at each frame, (frames, VALUES, DIM) of one head, and the forward one after `keep` frames.

    erase (.., DIM, DIM) and write (.., VALUES, DIM) by (batch x head, frame), decay likewise; ends: the first frame
    behind each frame's chunk. Programs (rows of the memory, batch x head).
    """
    at = tl.program_id(1).to(tl.int64)
    row, i = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    is_row = (row < VALUES)[:, None] & (i < DIM)[None, :]
    place = row[:, None] * DIM + i[None, :]
    memory = tl.zeros((ROWS, BLOCK), tl.float32)
    for back in range(frames - 1):  # the backward sweep, without the own frame
        t = frames - 2 - back
        frame = at * frames + t
        kept = tl.load(decay + frame + 1).to(tl.float32)
        memory = _stepped(memory, erase, write, kept, frame + 1, row, is_row, VALUES, DIM, BLOCK, PRECISION)
        memory = tl.where(tl.load(ends + t) == t + 1, 0.0, memory)
        tl.store(states + frame * VALUES * DIM + place, memory.to(states.dtype.element_ty), mask=is_row)
    memory = tl.zeros((ROWS, BLOCK), tl.float32)
    if HAS_PAST:
        memory += tl.load(past + at * VALUES * DIM + place, mask=is_row, other=0.0).to(tl.float32)
    for t in range(frames):
        frame = at * frames + t
        kept = tl.load(decay + frame).to(tl.float32)
        memory = _stepped(memory, erase, write, kept, frame, row, is_row, VALUES, DIM, BLOCK, PRECISION)
        here = states + frame * VALUES * DIM + place
        later = tl.load(here, mask=is_row & (t < frames - 1), other=0.0).to(tl.float32)
        tl.store(here, (memory + later).to(states.dtype.element_ty), mask=is_row)
        tl.store(after + at * VALUES * DIM + place, memory, mask=is_row & (t == keep - 1))


@triton.jit
def _read(query, states, frame, kind: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):
    """Queries (rows, BLOCK) times a frame's memory (DIM, DIM): (rows, BLOCK) float32."""
    i = tl.arange(0, BLOCK)
    square = (i < DIM)[:, None] & (i < DIM)[None, :]
    memory = tl.load(states + frame * DIM * DIM + i[:, None] * DIM + i[None, :], mask=square, other=0.0)
    return tl.dot(query.to(kind), tl.trans(memory.to(kind)), input_precision=PRECISION)


@triton.jit
def main_read_kernel(
    q, norm, weight, cos, sin, states, rows, out, frames, tokens, q_stride, out_stride, eps,
    DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = S q_rotated / (z q + eps). Programs (head, tokens, batch x frame), as neighbours share what they read."""
    head, heads, at = tl.program_id(0), tl.num_programs(0), tl.program_id(2).to(tl.int64)
    kind: tl.constexpr = q.dtype.element_ty
    channel, group = tl.arange(0, BLOCK), tl.arange(0, BLOCK // 4)
    token = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    alive, row = token < tokens, at * tokens + token
    frame = ((at // frames) * heads + head) * frames + at % frames
    query = feature(q, row, alive, q_stride, head, norm, weight, 1.0, DIM, BLOCK)
    one_row = tl.load(rows + frame * DIM + channel, mask=channel < DIM, other=0.0).to(tl.float32)
    below = tl.sum(query * one_row[None, :], 1)
    a, b, c, d = four(query, ROWS, BLOCK // 4)
    angle = ((at % frames) * tokens + token) * (DIM // 2)
    is_there = alive[:, None] & (group < DIM // 4)[None, :]
    a, b, c, d = turned(a, b, c, d, cos, sin, angle, 2 * group, is_there, 1.0)
    above = _read(joined(a, b, c, d, ROWS, BLOCK // 4), states, frame, kind, DIM, BLOCK, PRECISION)
    place = row[:, None] * out_stride + head * DIM + channel[None, :]
    result = (above / (below + eps)[:, None]).to(out.dtype.element_ty)
    tl.store(out + place, result, mask=alive[:, None] & (channel < DIM)[None, :])


@triton.jit
def camera_read_kernel(
    q, norm, weight, matrix, cos, sin, states, out, frames, tokens, q_stride, out_stride, batch_rays,
    CLAMP: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = what S q gives, carried back from ray space. matrix: world to ray. Programs as in `main_read_kernel`."""
    head, heads, at = tl.program_id(0), tl.num_programs(0), tl.program_id(2).to(tl.int64)
    kind: tl.constexpr = q.dtype.element_ty
    groups: tl.constexpr = BLOCK // 4
    channel = tl.arange(0, BLOCK)
    token = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    alive, row = token < tokens, at * tokens + token
    frame = ((at // frames) * heads + head) * frames + at % frames
    turn = (at % frames) * tokens + token
    ray = (at // frames) * batch_rays + turn
    a, b, c, d = four(feature(q, row, alive, q_stride, head, norm, weight, 1.0, DIM, BLOCK), ROWS, groups)
    was = squared(a, b, c, d)
    a, b, c, d = carried(a, b, c, d, matrix, ray, cos, sin, turn, alive, DIM, groups, True, 1.0)
    query = joined(a, b, c, d, ROWS, groups)
    if CLAMP:
        query = query * within(squared(a, b, c, d), was, DIM)[:, None]
    a, b, c, d = four(_read(query, states, frame, kind, DIM, BLOCK, PRECISION), ROWS, groups)
    a, b, c, d = carried(a, b, c, d, matrix, ray, cos, sin, turn, alive, DIM, groups, False, -1.0)
    result = joined(a, b, c, d, ROWS, groups).to(out.dtype.element_ty)
    place = row[:, None] * out_stride + head * DIM + channel[None, :]
    tl.store(out + place, result, mask=alive[:, None] & (channel < DIM)[None, :])
