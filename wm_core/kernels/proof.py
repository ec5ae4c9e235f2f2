"""Whether fused kernels compute on a device what torch computes there: every function once, on a few random tokens.

Sizes divide as the released ones do, so that what is compiled here is what the model launches next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..gdn.branches import Projected
from ..positions import ray_geometry, rotation_table

GRID, HEADS, TAPS = (3, 8, 10), 2, 4
BOUNDS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 2e-2}  # RMS ratio; a wrong index gives about 1


@torch.no_grad()
def disagreement(fused, plain, device: torch.device | str, dtype: torch.dtype, head_dim: int) -> tuple[str, float]:
    """The function of two `Kernels` whose results are furthest apart, and their RMS ratio (inf for what is not finite)."""
    worst = ("", 0.0)
    for name, arguments, options in _calls(device, dtype, head_dim):
        got, want = (_tensors(getattr(kernels, name)(*_fresh(arguments), **options)) for kernels in (fused, plain))
        for a, b in zip(got, want, strict=True):
            ratio = ((a.double() - b.double()).norm() / b.double().norm()).item()
            worst = max(worst, (name, math.inf if math.isnan(ratio) else ratio), key=lambda found: found[1])
    return worst


def _calls(device: torch.device | str, dtype: torch.dtype, head_dim: int) -> Iterator[tuple[str, tuple, dict]]:
    """(function, arguments, options) of a chunk of a stream, with a memory behind it, and of one refiner block."""
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=g).to(device, dtype)
    (t, h, w), c = GRID, HEADS * head_dim
    n = h * w
    memory = lambda rows: torch.rand(1, HEADS, rows, head_dim, generator=g).to(device)
    past = (memory(head_dim), memory(1))
    rotation = rotation_table(GRID, head_dim, device=device)
    yield "main_branch", (_projected(draw, c, t, n), rotation), {"chunks": (t,), "past": past}
    half = rotation_table(GRID, head_dim, turned=head_dim // 2, device=device)
    rays = ray_geometry(_raymap(t).to(device), GRID, (1, 1, 1), half)
    for clamp in (False, True):
        given = {"clamp": clamp, "chunks": (t,), "past": memory(head_dim)}
        yield "camera_branch", (_projected(draw, c, t, n), rays), given
    yield "modulate", (draw(1, t, n, c), *draw(1, t, 2, c).unsqueeze(3).unbind(2)), {}
    yield "rms_modulate", (draw(1, t * n, c), draw(c), draw(c), 1e-6), {}
    for halves in (False, True):
        yield "norm_rotate", (draw(1, t, n, 3 * c)[..., :c], draw(c), 1e-6, rotation), {"halves": halves}
    yield "gated_depthwise", (draw(1, t, n, 2 * c), (h, w), draw(2 * c, 1, 3, 3), draw(2 * c)), {}
    yield "short_conv", (draw(1, t, n, c), draw(c, 1, TAPS), (t,), draw(1, TAPS - 1, n, c)), {}


def _projected(draw, c: int, t: int, n: int) -> Projected:
    q, k, v = draw(1, t, n, 3 * c).chunk(3, -1)
    beta, decay = draw(1, t, n, HEADS).sigmoid(), draw(1, HEADS, t).float().sigmoid()
    return Projected(q, k.contiguous(), v, draw(c), draw(c), 1e-6, beta, decay)


def _raymap(frames: int) -> Tensor:
    """A camera (1, t, 20) that goes forward and turns a little."""
    raymap = torch.zeros(1, frames, 20)
    for i in range(frames):
        angle = torch.tensor(0.1 * i)
        pose = torch.eye(4)
        pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
        pose[2, 3] = 0.1 * i
        raymap[0, i, :16] = pose.flatten()
    raymap[..., 16:] = torch.tensor([8.0, 8.0, 5.0, 4.0])
    return raymap


def _fresh(arguments: tuple) -> tuple:
    """The same, for a function that uses up what was projected."""
    return tuple(replace(x) if isinstance(x, Projected) else x for x in arguments)


def _tensors(value) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in _tensors(part)]
