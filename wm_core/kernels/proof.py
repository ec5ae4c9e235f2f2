"""Whether fused kernels compute on a device what torch computes there in float64: every function, on a few random tokens.

Sizes divide as the released ones do, so that what is compiled here is what the model launches next, with a past and without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch
from torch import Tensor

from ..gdn.branches import Projected
from ..positions import ray_geometry, rotation_table

GRID, HEADS, TAPS, LONG = (3, 8, 10), 2, 4, 6
BOUNDS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 2e-2}  # RMS ratio; a wrong index gives about 1


@torch.no_grad()
def disagreement(
    fused, plain, device: torch.device | str, dtype: torch.dtype, width: int, head_dim: int
) -> tuple[str, float]:
    """The function of two `Kernels` whose results are furthest apart, and their RMS ratio (inf for what is not finite).

    width, head_dim: as in `kernels_for`.
    """
    worst = ("", 0.0)
    for name, arguments, options in _calls(device, dtype, width, head_dim):
        got = _tensors(getattr(fused, name)(*_each(arguments, lambda x: x), **options))
        wide = {key: _each(value, torch.Tensor.double) for key, value in options.items()}
        want = _tensors(getattr(plain, name)(*_each(arguments, torch.Tensor.double), **wide))
        for a, b in zip(got, want, strict=True):
            ratio = ((a.double() - b).norm() / b.norm()).item()
            worst = max(worst, (name, math.inf if math.isnan(ratio) else ratio), key=lambda found: found[1])
    return worst


def _calls(
    device: torch.device | str, dtype: torch.dtype, width: int, head_dim: int
) -> Iterator[tuple[str, tuple, dict]]:
    """(function, arguments, options) of a stream's chunks, of a clip, and of a refiner block."""
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=g).to(device, dtype)
    (t, h, w), c = GRID, HEADS * head_dim
    n = h * w
    memory = lambda rows: torch.rand(1, HEADS, rows, head_dim, generator=g).to(device)
    rotation = rotation_table(GRID, head_dim, device=device)
    half = rotation_table(GRID, head_dim, turned=head_dim // 2, device=device)
    rays = ray_geometry(_raymap(t).to(device), GRID, (1, 1, 1), half)
    for past in ((None, None), (memory(head_dim), memory(1))):
        yield "main_branch", (_projected(draw, c, t, n), rotation), {"chunks": (t,), "past": past}
        given = {"clamp": past[0] is None, "chunks": (t,), "past": past[0]}
        yield "camera_branch", (_projected(draw, c, t, n), rays), given
    yield "modulate", (draw(1, t, n, width), *draw(1, t, 2, width).unsqueeze(3).unbind(2)), {}
    yield "rms_modulate", (draw(1, n, width), draw(width), draw(width), 1e-6), {}
    for halves in (False, True):
        yield "norm_rotate", (draw(1, t, n, 3 * width)[..., :width], draw(width), 1e-6, rotation), {"halves": halves}
    yield "gated_depthwise", (draw(1, t, n, 2 * c), (h, w), draw(2 * c, 1, 3, 3), draw(2 * c)), {}
    for frames, tail in ((t, draw(1, TAPS - 1, n, c)), (LONG, None)):
        yield "short_conv", (draw(1, frames, n, c), draw(c, 1, TAPS), (frames,), tail), {}


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


def _each(value, change: Callable[[Tensor], Tensor]):
    """Arguments with every floating-point tensor of the model's changed; fresh records, for the torch form uses them up."""
    if isinstance(value, Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_each(x, change) for x in value)
    if isinstance(value, Projected):
        return Projected(**{field.name: _each(getattr(value, field.name), change) for field in fields(value)})
    return value


def _tensors(value) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in _tensors(part)]
