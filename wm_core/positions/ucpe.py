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
    back: Rotation  # the inverse rotation

    def queries(self, x: Tensor) -> Tensor:
        return carry(x, self.to_ray.mT, self.rotation)

    def keys(self, x: Tensor) -> Tensor:
        return carry(x, self.from_ray, self.rotation)

    def outputs(self, x: Tensor) -> Tensor:
        return carry(x, self.to_ray, self.back)


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
    return RayGeometry(to_ray, from_ray, rotation, rotation.inverse())


def _rigid(turn: Tensor, shift: Tensor) -> Tensor:
    out = torch.zeros(*shift.shape[:-1], 4, 4, dtype=turn.dtype, device=turn.device)
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = turn, shift, 1.0
    return out


def carry(x: Tensor, matrix: Tensor, rotation: Rotation) -> Tensor:
    """Multiply the first half of each head by its token's matrix, rotate the second half.

    x (b, t, n, h, d), matrix (b or 1, t, n, 4, 4) -> like x.
    """
    straight, turned = x.chunk(2, -1)
    groups = _wide(straight).reshape(*x.shape[:3], -1, 4)  # fp32: camera geometry
    moved = (groups @ matrix.mT.to(groups)).view(straight.shape).to(x.dtype)
    return torch.cat([moved, rotate(turned, rotation)], -1)


def within_rms(moved: Tensor, before: Tensor) -> Tensor:
    """Scale `moved` down to the channel RMS that `before` had, per token and head; see `Reference`. (b, t, n, h, d)"""
    was, now = (_norm(y).square().div(y.shape[-1]).add(NORM_EPS) for y in (before, moved))
    return moved * (was / now).sqrt().clamp(max=1.0).to(moved.dtype)[..., None]


def inflation(moved: Tensor, before: Tensor) -> Tensor:
    """Mean over a frame's tokens of how much carrying grew the squared norm of keys: (b, t, n, h, d) -> (b, h, t)."""
    was, now = (_norm(y).clamp_min(NORM_EPS) for y in (before, moved))
    return rearrange((now / was).square().mean(2), "b t h -> b h t")


def _norm(x: Tensor) -> Tensor:
    """Length of each head's features: reads x once, where the mean of squares would first write the squares."""
    return torch.linalg.vector_norm(_wide(x), dim=-1)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
