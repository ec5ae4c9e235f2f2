"""Camera attention in ray space: every token's ray is a frame of its own, and features are carried into it.

UCPE, relative camera encoding by per-token rigid transforms; SANA-WM sec. 3.3. With P the 4x4 world-to-ray matrix of
a token, queries are multiplied by P^T and keys and values by P^-1, so that q.k depends only on how two rays lie to
each other; the output is multiplied by P. This takes the first half of a head in groups of four channels; the second
half gets RoPE.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .rope import Rotation, rotate

NORM_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class RayGeometry:
    """World-to-ray matrices of every token, their inverses (b, t, n, 4, 4), float32, and the second half's RoPE."""

    to_ray: Tensor
    from_ray: Tensor
    rotation: Rotation

    def queries(self, x: Tensor) -> Tensor:
        return carry(x, self.to_ray.mT, self.rotation)

    def keys(self, x: Tensor) -> Tensor:
        return carry(x, self.from_ray, self.rotation)

    def outputs(self, x: Tensor) -> Tensor:
        return carry(x, self.to_ray, self.rotation.inverse())


def ray_geometry(
    raymap: Tensor, grid: tuple[int, int, int], patch: tuple[int, int, int], rotation: Rotation
) -> RayGeometry:
    """Ray frames of a token grid (t, h, w).

    raymap (b, t, 20): row-major camera-to-world pose, then fx, fy, cx, cy in latent pixels. z is the ray through the
    token's integer position, x is orthogonal to it and to the camera's y axis, y completes the frame.
    """
    raymap = raymap.float()  # fp32: camera geometry
    _, h, w = grid
    pose = rearrange(raymap[..., :16], "b t (i j) -> b t i j", i=4)
    fx, fy, cx, cy = (x[..., None, None] for x in raymap[..., 16:].unbind(-1))
    column = torch.arange(w, device=raymap.device, dtype=torch.float32)
    row = torch.arange(h, device=raymap.device, dtype=torch.float32)[:, None]
    x = ((column * patch[2] - cx) / fx).expand(*fx.shape[:2], h, w)
    y = ((row * patch[1] - cy) / fy).expand(*fx.shape[:2], h, w)
    camera_ray = torch.stack([x, y, torch.ones_like(x)], -1)
    turn, centre = pose[..., :3, :3], pose[..., :3, 3]
    z_axis = F.normalize(torch.einsum("btij,bthwj->bthwi", turn, camera_ray), dim=-1)
    x_axis = F.normalize(torch.linalg.cross(turn[..., None, None, :, 1].expand_as(z_axis), z_axis), dim=-1)
    y_axis = torch.linalg.cross(z_axis, x_axis)
    axes = rearrange(torch.stack([x_axis, y_axis, z_axis], -2), "b t h w i j -> b t (h w) i j")
    shift = -torch.einsum("btnij,btj->btni", axes, centre)
    to_ray = _rigid(axes, shift)
    from_ray = _rigid(axes.mT, centre[:, :, None].expand_as(shift))
    return RayGeometry(to_ray, from_ray, rotation)


def _rigid(turn: Tensor, shift: Tensor) -> Tensor:
    out = torch.zeros(*shift.shape[:-1], 4, 4, dtype=turn.dtype, device=turn.device)
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = turn, shift, 1.0
    return out


def carry(x: Tensor, matrix: Tensor, rotation: Rotation) -> Tensor:
    """Multiply the first half of each head by its token's matrix, rotate the second half.

    x (b, t, n, h, d), matrix (b or 1, t, n, 4, 4) -> like x.
    """
    half = x.shape[-1] // 2
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    groups = _wide(x[..., :half].unflatten(-1, (-1, 4)))  # fp32: camera geometry
    columns = matrix[:, :, :, None, None].unbind(-1)  # four of (b, t, n, 1, 1, 4)
    moved = groups[..., 0:1] * columns[0]
    for j in (1, 2, 3):
        moved.addcmul_(groups[..., j : j + 1], columns[j])
    out[..., :half] = moved.flatten(-2)
    out[..., half:] = rotate(x[..., half:], rotation)
    return out


def within_rms(moved: Tensor, before: Tensor) -> Tensor:
    """Scale `moved` down to the channel RMS that `before` had, per token and head; see `Reference`. (b, t, n, h, d)"""
    was = _wide(before).square().mean(-1, keepdim=True).add(NORM_EPS).sqrt()
    now = _wide(moved).square().mean(-1, keepdim=True).add(NORM_EPS).sqrt()
    return moved * (was / now).clamp(max=1.0).to(moved.dtype)


def inflation(moved: Tensor, before: Tensor) -> Tensor:
    """Mean over a frame's tokens of how much carrying grew the squared norm of keys: (b, t, n, h, d) -> (b, h, t)."""
    was = torch.linalg.vector_norm(_wide(before), dim=-1).clamp_min(NORM_EPS)
    now = torch.linalg.vector_norm(_wide(moved), dim=-1).clamp_min(NORM_EPS)
    return rearrange((now / was).square().mean(2), "b t h -> b h t")


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
