"""The two users of the scan, from projections to what tokens read: the main branch with its denominator, and the camera's.

This is the torch form; `triton_branches` has the same functions as fused kernels. SANA-WM (arXiv 2605.15178) sec. 3.2, 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..positions import RayGeometry, Rotation, inflation, rotate, within_rms
from . import delta_scan

DENOMINATOR_EPS = 1e-8


@dataclass(eq=False)
class Projected:
    """What a branch's layers made of the tokens: q, k, v (b, t, n, c), k behind its short convolution; and what is next.

    Used up by the torch form, which lets go of each projection as soon as its feature is there: so long as nobody else
    holds them, only one of the two takes memory. q_weight, k_weight (c,) and eps: of the RMS norms over all channels. beta (b, t, n, h) in (0, 1): how strongly a token
    writes; decay (b, h, t) in (0, 1), at least float32: how much of the memory each frame keeps.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    q_weight: Tensor
    k_weight: Tensor
    eps: float
    beta: Tensor
    decay: Tensor

    @property
    def heads(self) -> int:
        return self.beta.shape[3]

    @property
    def key_scale(self) -> float:
        """1 / sqrt(d * n), which keeps the erased matrix a contraction."""
        return (self.k.shape[3] // self.heads * self.k.shape[2]) ** -0.5

    def query_feature(self) -> Tensor:
        """(b, t, n, h, d), not negative."""
        return self._split(_normed(self._taken("q"), self.q_weight, self.eps).relu_())

    def key_feature(self) -> Tensor:
        """(b, t, n, h, d), not negative and scaled."""
        scale = self.key_scale
        return self._split((_normed(self._taken("k"), self.k_weight, self.eps) * scale).relu_())

    def values(self) -> Tensor:
        """(b, t, n, h, d); a copy where v is a view that would keep the memory of q and k for as long as it is needed."""
        return self._split(self._taken("v").contiguous())

    def _taken(self, name: str) -> Tensor:
        tensor = getattr(self, name)
        setattr(self, name, None)
        return tensor

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


MainMemory = tuple[Tensor | None, Tensor | None]  # kv (b, h, d, d) and z (b, h, 1, d), float32; None = zeros


def main_branch(
    x: Projected, rotation: Rotation, *, chunks: tuple[int, ...], past: MainMemory = (None, None), keep: int | None = None
) -> tuple[Tensor, MainMemory]:
    """What tokens read from the rotated memory over what they read from the unrotated one, (b, t, n, c), and the memory
    after the first `keep` frames, all by default. past: memory before the first frame."""
    q, k, v = x.query_feature(), x.key_feature(), x.values()
    beta = rearrange(x.beta, "b t n h -> b h t n")
    ones = v.new_ones(()).expand(*beta.shape[:3], 1, beta.shape[3])
    below, z = delta_scan(_major(q), _major(k), ones, beta, x.decay, chunks=chunks, past=past[1], keep=keep)
    q = rotate(q, rotation)  # one after the other: each frees its operand
    k = rotate(k, rotation)
    above, kv = delta_scan(*(_major(y) for y in (q, k, v)), beta, x.decay, chunks=chunks, past=past[0], keep=keep)
    return rearrange(above.div_(below + DENOMINATOR_EPS), "b h t d n -> b t n (h d)"), (kv, z)


def camera_branch(
    x: Projected,
    rays: RayGeometry,
    *,
    clamp: bool,
    chunks: tuple[int, ...],
    past: Tensor | None = None,
    keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """What tokens read in ray space, carried back, (b, t, n, c), and the memory (b, h, d, d) after `keep` frames.

    clamp: see `Reference.clamp_gdn_camera`.
    """
    k = x.key_feature()
    moved = _carried(rays.keys, k, clamp)
    beta = rearrange(x.beta, "b t n h -> b h t n") / inflation(moved, k).clamp_min(1.0)[..., None]
    del k
    q = _carried(rays.queries, x.query_feature(), clamp)
    v = _carried(rays.keys, x.values(), clamp)
    operands = [_major(y) for y in (q, moved, v)]
    read, memory = delta_scan(*operands, beta, x.decay, chunks=chunks, past=past, keep=keep)
    del q, moved, v, operands
    return rays.outputs(rearrange(read, "b h t d n -> b t n h d")).flatten(-2), memory


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], weight.to(x), eps)


def _carried(carry, x: Tensor, clamp: bool) -> Tensor:
    moved = carry(x)
    return within_rms(moved, x) if clamp else moved


def _major(x: Tensor) -> Tensor:
    return rearrange(x, "b t n h d -> b h t d n")
