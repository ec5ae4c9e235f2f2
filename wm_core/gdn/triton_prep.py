"""Phase A of the fused scan, in Triton: every frame's keys and values become the two matrices by which it acts.

A frame's tokens are read once: norm, ReLU, rotary embedding or ray transform happen on the tile, and the products

    P = K diag(b) K^T  (what the frame erases)    U = V diag(b) K^T  (what it writes)

add up in float32. The denominator's P and its row K b come from the unrotated keys. See `chunked` for the algebra and
`branches` for the same in torch. SANA-WM (arXiv 2605.15178) sec. 3.2 and 3.3. Forward only.

Channels are handled in groups of four. RoPE turns two pairs of a group, a ray transform multiplies it by a 4 x 4 matrix,
so both are one small matrix to a token and group, and a head of 112 is 28 groups that no memory pads to 32.
"""

from __future__ import annotations

import triton
import triton.language as tl

RAY_EPS = tl.constexpr(1e-6)  # of `positions.ucpe`: under every norm that is compared


@triton.jit
def four(x, ROWS: tl.constexpr, GROUPS: tl.constexpr):
    """Channels (rows, 4 groups) as the members of each group, four of (rows, groups)."""
    even, odd = tl.split(tl.reshape(x, (ROWS, GROUPS, 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def joined(first, second, third, fourth, ROWS: tl.constexpr, GROUPS: tl.constexpr):
    """The inverse of `four`."""
    return tl.reshape(tl.join(tl.join(first, third), tl.join(second, fourth)), (ROWS, 4 * GROUPS))


@triton.jit
def turned(a, b, c, d, cos, sin, at, pair, is_there, SIGN: tl.constexpr):
    """Pairs (a, b) and (c, d) of each group by their angles; at: row of the token's table, pair: of (a, b)'s angle."""
    near = tl.load(cos + at[:, None] + pair[None, :], mask=is_there, other=1.0)
    near_sin = SIGN * tl.load(sin + at[:, None] + pair[None, :], mask=is_there, other=0.0)
    far = tl.load(cos + at[:, None] + pair[None, :] + 1, mask=is_there, other=1.0)
    far_sin = SIGN * tl.load(sin + at[:, None] + pair[None, :] + 1, mask=is_there, other=0.0)
    return a * near - b * near_sin, a * near_sin + b * near, c * far - d * far_sin, c * far_sin + d * far


@triton.jit
def _row_of(a, b, c, d, matrix, at, alive, I: tl.constexpr, TRANSPOSED: tl.constexpr):
    """Row I of the token's 4 x 4 matrix, or of its transpose, times each group."""
    step: tl.constexpr = 4 if TRANSPOSED else 1
    first: tl.constexpr = I if TRANSPOSED else 4 * I
    m0 = tl.load(matrix + at * 16 + first, mask=alive, other=0.0)[:, None]
    m1 = tl.load(matrix + at * 16 + first + step, mask=alive, other=0.0)[:, None]
    m2 = tl.load(matrix + at * 16 + first + 2 * step, mask=alive, other=0.0)[:, None]
    m3 = tl.load(matrix + at * 16 + first + 3 * step, mask=alive, other=0.0)[:, None]
    return m0 * a + m1 * b + m2 * c + m3 * d


@triton.jit
def carried(
    a, b, c, d, matrix, ray_at, cos, sin, turn_at, alive,
    DIM: tl.constexpr, GROUPS: tl.constexpr, TRANSPOSED: tl.constexpr, SIGN: tl.constexpr,
):  # fmt: skip
    """`positions.ucpe.carry`: the first half of a head through its token's matrix, the second half turned."""
    group = tl.arange(0, GROUPS)
    straight = (group < DIM // 8)[None, :]
    pair = tl.where(group < DIM // 8, 0, 2 * (group - DIM // 8))
    is_there = alive[:, None] & (group >= DIM // 8)[None, :] & (group < DIM // 4)[None, :]
    ta, tb, tc, td = turned(a, b, c, d, cos, sin, turn_at * (DIM // 4), pair, is_there, SIGN)
    ra = tl.where(straight, _row_of(a, b, c, d, matrix, ray_at, alive, 0, TRANSPOSED), ta)
    rb = tl.where(straight, _row_of(a, b, c, d, matrix, ray_at, alive, 1, TRANSPOSED), tb)
    rc = tl.where(straight, _row_of(a, b, c, d, matrix, ray_at, alive, 2, TRANSPOSED), tc)
    rd = tl.where(straight, _row_of(a, b, c, d, matrix, ray_at, alive, 3, TRANSPOSED), td)
    return ra, rb, rc, rd


@triton.jit
def squared(a, b, c, d):
    """Squared length of each row's features."""
    return tl.sum(a * a + b * b + c * c + d * d, 1)


@triton.jit
def within(now, was, DIM: tl.constexpr):
    """`positions.ucpe.within_rms`: the factor that takes a squared length `now` down to `was`."""
    return tl.minimum(tl.sqrt((was / DIM + RAY_EPS) / (now / DIM + RAY_EPS)), 1.0)


@triton.jit
def feature(x, row, alive, row_stride, head, norm, weight, scale, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Normalised, scaled and non-negative features of one head, (rows, BLOCK), float32; what pads a head is 0.

    norm: 1 / RMS of each row over all heads, weight: of the norm, over all heads.
    """
    channel = tl.arange(0, BLOCK)
    is_there = alive[:, None] & (channel < DIM)[None, :]
    raw = tl.load(x + row[:, None] * row_stride + head * DIM + channel[None, :], mask=is_there, other=0.0).to(tl.float32)
    gain = tl.load(weight + head * DIM + channel, mask=channel < DIM, other=0.0).to(tl.float32) * scale
    return tl.maximum(raw * tl.load(norm + row, mask=alive, other=0.0)[:, None] * gain[None, :], 0.0)


@triton.jit
def row_norms_kernel(x, out, channels, row_stride, eps, BLOCK: tl.constexpr):
    """1 / RMS of each row, float32."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, channels, BLOCK):
        channel = start + tl.arange(0, BLOCK)
        value = tl.load(x + row * row_stride + channel, mask=channel < channels, other=0.0).to(tl.float32)
        total += value * value
    tl.store(out + row, 1 / tl.sqrt(tl.sum(total) / channels + eps))


@triton.jit
def store_square(out, frame, value, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """value (BLOCK, BLOCK) as matrix number `frame` of out (frames, DIM, DIM)."""
    i = tl.arange(0, BLOCK)
    at = frame * DIM * DIM + i[:, None] * DIM + i[None, :]
    tl.store(out + at, value.to(out.dtype.element_ty), mask=(i < DIM)[:, None] & (i < DIM)[None, :])


@triton.jit
def main_frames_kernel(
    k, v, beta, norm, weight, cos, sin, erase, write, frames, tokens, k_stride, v_stride, scale,
    DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P and U of one frame and head, keys rotated. Programs (head, batch x frame)."""
    head, heads, at = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    kind: tl.constexpr = k.dtype.element_ty
    channel, group = tl.arange(0, BLOCK), tl.arange(0, BLOCK // 4)
    erased = tl.zeros((BLOCK, BLOCK), tl.float32)
    written = tl.zeros((BLOCK, BLOCK), tl.float32)
    for start in range(0, tokens, ROWS):
        token = start + tl.arange(0, ROWS)
        alive, row = token < tokens, at * tokens + token
        a, b, c, d = four(feature(k, row, alive, k_stride, head, norm, weight, scale, DIM, BLOCK), ROWS, BLOCK // 4)
        angle = ((at % frames) * tokens + token) * (DIM // 2)
        is_there = alive[:, None] & (group < DIM // 4)[None, :]
        a, b, c, d = turned(a, b, c, d, cos, sin, angle, 2 * group, is_there, 1.0)
        key = joined(a, b, c, d, ROWS, BLOCK // 4)
        strength = tl.load(beta + row * heads + head, mask=alive, other=0.0).to(tl.float32)
        weighted = (key * strength[:, None]).to(kind)
        value_at = v + row[:, None] * v_stride + head * DIM + channel[None, :]
        value = tl.load(value_at, mask=alive[:, None] & (channel < DIM)[None, :], other=0.0)
        erased = tl.dot(tl.trans(key.to(kind)), weighted, erased, input_precision=PRECISION)
        written = tl.dot(tl.trans(value), weighted, written, input_precision=PRECISION)
    frame = ((at // frames) * heads + head) * frames + at % frames
    store_square(erase, frame, erased, DIM, BLOCK)
    store_square(write, frame, written, DIM, BLOCK)


@triton.jit
def denominator_frames_kernel(
    k, beta, norm, weight, erase, write, frames, tokens, k_stride, scale,
    DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P and the row K b of one frame and head, keys as they are. Programs as in `main_frames_kernel`."""
    head, heads, at = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    kind: tl.constexpr = k.dtype.element_ty
    erased = tl.zeros((BLOCK, BLOCK), tl.float32)
    written = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, tokens, ROWS):
        token = start + tl.arange(0, ROWS)
        alive, row = token < tokens, at * tokens + token
        key = feature(k, row, alive, k_stride, head, norm, weight, scale, DIM, BLOCK)
        weighted = key * tl.load(beta + row * heads + head, mask=alive, other=0.0).to(tl.float32)[:, None]
        erased = tl.dot(tl.trans(key.to(kind)), weighted.to(kind), erased, input_precision=PRECISION)
        written += tl.sum(weighted, 0)
    frame = ((at // frames) * heads + head) * frames + at % frames
    store_square(erase, frame, erased, DIM, BLOCK)
    channel = tl.arange(0, BLOCK)
    tl.store(write + frame * DIM + channel, written, mask=channel < DIM)


@triton.jit
def camera_frames_kernel(
    k, v, beta, norm, weight, matrix, cos, sin, erase, write, frames, tokens, k_stride, v_stride, batch_rays, scale,
    CLAMP: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """P and U of one frame and head, keys and values in ray space, divided by how much that inflates the keys.

    matrix: ray to world, batch_rays: tokens from one video's rays to the next's, 0 if all share them.
    """
    head, heads, at = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    kind: tl.constexpr = k.dtype.element_ty
    groups: tl.constexpr = BLOCK // 4
    channel = tl.arange(0, BLOCK)
    erased = tl.zeros((BLOCK, BLOCK), tl.float32)
    written = tl.zeros((BLOCK, BLOCK), tl.float32)
    growth = tl.zeros((ROWS,), tl.float32)
    for start in range(0, tokens, ROWS):
        token = start + tl.arange(0, ROWS)
        alive, row = token < tokens, at * tokens + token
        turn = (at % frames) * tokens + token
        ray = (at // frames) * batch_rays + turn
        a, b, c, d = four(feature(k, row, alive, k_stride, head, norm, weight, scale, DIM, BLOCK), ROWS, groups)
        was = squared(a, b, c, d)
        a, b, c, d = carried(a, b, c, d, matrix, ray, cos, sin, turn, alive, DIM, groups, False, 1.0)
        now = squared(a, b, c, d)
        key = joined(a, b, c, d, ROWS, groups)
        if CLAMP:
            factor = within(now, was, DIM)
            key = key * factor[:, None]
            now = now * factor * factor
        floor = RAY_EPS * RAY_EPS
        growth += tl.where(alive, tl.maximum(now, floor) / tl.maximum(was, floor), 0.0)
        strength = tl.load(beta + row * heads + head, mask=alive, other=0.0).to(tl.float32)
        weighted = (key * strength[:, None]).to(kind)
        value_at = v + row[:, None] * v_stride + head * DIM + channel[None, :]
        value = tl.load(value_at, mask=alive[:, None] & (channel < DIM)[None, :], other=0.0).to(tl.float32)
        a, b, c, d = four(value, ROWS, groups)
        was = squared(a, b, c, d)
        a, b, c, d = carried(a, b, c, d, matrix, ray, cos, sin, turn, alive, DIM, groups, False, 1.0)
        value = joined(a, b, c, d, ROWS, groups)
        if CLAMP:
            value = value * within(squared(a, b, c, d), was, DIM)[:, None]
        erased = tl.dot(tl.trans(key.to(kind)), weighted, erased, input_precision=PRECISION)
        written = tl.dot(tl.trans(value.to(kind)), weighted, written, input_precision=PRECISION)
    share = 1 / tl.maximum(tl.sum(growth) / tokens, 1.0)
    frame = ((at // frames) * heads + head) * frames + at % frames
    store_square(erase, frame, erased * share, DIM, BLOCK)
    store_square(write, frame, written * share, DIM, BLOCK)
