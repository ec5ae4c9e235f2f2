"""Self-attention of a block: a main branch and a camera branch that share gates and the output projection.

Two kinds, GDN and softmax, differ in how tokens meet; projections, norms and the camera's ray space are the same.
SANA-WM sec. 3.2 and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..attention import Attend, padded_scale, rounded_to_bf16
from ..config import DiTConfig
from ..gdn.branches import Projected
from ..kernels import Kernels
from ..kv_window import KVWindow
from ..positions import RayGeometry, Rotation, within_rms
from .state import GDNState, next_tail
from .temporal_conv import ShortConv


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the tokens of a call are: the main branch's RoPE, and the camera's rays (None = no camera branch)."""

    rotation: Rotation
    rays: RayGeometry | None


class _Projections(nn.Module):
    """The weights that both kinds have, under their checkpoint names, and what is done alike with them."""

    def __init__(self, config: DiTConfig, operations, **factory):
        super().__init__()
        c = config.hidden_size
        self.head_dim, self.reference = config.head_dim, config.reference
        norm = {"eps": config.norm_eps_qk, **factory}  # not the host's: fused kernels read their weights
        self.qkv = operations.Linear(c, 3 * c, bias=False, **factory)
        self.q_norm, self.k_norm = nn.RMSNorm(c, **norm), nn.RMSNorm(c, **norm)
        self.q_proj_cam, self.k_proj_cam, self.v_proj_cam, self.out_proj_cam = (
            operations.Linear(c, c, **factory) for _ in range(4)
        )
        self.q_norm_cam, self.k_norm_cam = nn.RMSNorm(c, **norm), nn.RMSNorm(c, **norm)
        self.output_gate = operations.Linear(c, c, **factory)
        self.proj = operations.Linear(c, c, **factory)

    def split(self, x: Tensor) -> Tensor:
        """Heads of (b, t, n, c) as (b, t, n, h, d), a view."""
        return x.unflatten(-1, (-1, self.head_dim))

    def close(self, x: Tensor, main: Tensor, camera: Tensor | None) -> Tensor:
        """Join the branches, gate and project: x, main and camera (b, t, n, c)."""
        if camera is not None:
            main = main + self.out_proj_cam(camera)
        gate = F.silu(_wide(self.output_gate(x)))  # fp32: as released
        return self.proj((main * gate).to(x.dtype))


class GDNMixer(_Projections):
    """Bidirectional gated delta rule inside a chunk, forward memory across chunks."""

    def __init__(self, config: DiTConfig, operations, **factory):
        super().__init__(config, operations, **factory)
        c, heads = config.hidden_size, config.hidden_size // config.head_dim
        self.beta_proj = operations.Linear(c, heads, **factory)
        self.gate_proj = operations.Linear(c, heads, **factory)
        self.A_log = nn.Parameter(torch.zeros(heads, **factory))
        self.dt_bias = nn.Parameter(torch.zeros(heads, **factory))
        self.conv_k = ShortConv(c, config.conv_kernel_size, **factory)
        self.conv_k_cam = ShortConv(c, config.conv_kernel_size, **factory)
        self.reach = config.conv_kernel_size - 1

    def forward(
        self,
        x: Tensor,
        geometry: Geometry,
        chunks: tuple[int, ...],
        past: GDNState | None,
        keep: int,
        kernels: Kernels,
    ) -> tuple[Tensor, GDNState]:
        """x (b, t, n, c) -> like x, and the memory after its first `keep` frames."""
        start = past or GDNState()
        gates = self.beta_proj(x).sigmoid(), self._decay(x)
        q, k, v = self.qkv(x).chunk(3, -1)
        k_tail = next_tail(k[:, :keep], start.k_tail, self.reach)
        k = self.conv_k(k, chunks, start.k_tail, kernels)
        projected = self._projected(q, k, v, self.q_norm, self.k_norm, gates)
        del q, k, v
        main, (kv, z) = kernels.main_branch(
            projected, geometry.rotation, chunks=chunks, past=(start.kv, start.z), keep=keep
        )
        del projected
        if geometry.rays is None:
            return self.close(x, main, None), GDNState(kv, z, None, k_tail)
        k = self.k_proj_cam(x)
        camera_tail = next_tail(k[:, :keep], start.camera_k_tail, self.reach)
        if past is None or self.reference.camera_conv_streams:
            k = self.conv_k_cam(k, chunks, start.camera_k_tail, kernels)
        else:
            k = torch.cat([self.conv_k_cam(part, part.shape[1:2], None, kernels) for part in k.split(chunks, 1)], 1)
        q, v = self.q_proj_cam(x), self.v_proj_cam(x)
        projected = self._projected(q, k, v, self.q_norm_cam, self.k_norm_cam, gates)
        del q, k, v
        clamp = self.reference.clamp_gdn_camera
        camera, memory = kernels.camera_branch(
            projected, geometry.rays, clamp=clamp, chunks=chunks, past=start.camera, keep=keep
        )
        del projected
        return self.close(x, main, camera), GDNState(kv, z, memory, k_tail, camera_tail)

    def _projected(
        self, q: Tensor, k: Tensor, v: Tensor, q_norm: nn.RMSNorm, k_norm: nn.RMSNorm, gates: tuple[Tensor, Tensor]
    ) -> Projected:
        weights = (norm.weight.to(q) for norm in (q_norm, k_norm))
        return Projected(q, k, v, *weights, q_norm.eps, *gates)

    def _decay(self, x: Tensor) -> Tensor:
        """(b, h, t) in (0, 1): how much of the memory each frame keeps."""
        bias, rate = (_wide(p.to(x.device)) for p in (self.dt_bias, self.A_log))  # fp32: gates
        step = F.softplus(_wide(self.gate_proj(x.mean(2))) + bias)
        return torch.exp(-rate.exp() * step).transpose(1, 2)


class SoftmaxMixer(_Projections):
    """Exact attention over the own chunk, the chunks before it in this call, and the window of earlier calls."""

    def forward(
        self,
        x: Tensor,
        geometry: Geometry,
        chunks: tuple[int, ...],
        past: KVWindow | None,
        keep: int,
        kernels: Kernels,
    ) -> tuple[Tensor, KVWindow | None]:
        """x (b, t, n, c) -> like x, and the window after its first `keep` frames (None without `past`)."""
        attend = kernels.attend
        if self.reference.softmax_bf16 and x.dtype == torch.float32:
            attend = rounded_to_bf16(attend)
        streams = past is not None
        padded = padded_scale(self.head_dim)
        scale = padded if streams and self.reference.stream_scale_padded else None
        window = past and _part(past, slice(0, 2))
        operands = self._main(x, geometry.rotation, kernels)
        main, window = _attend_chunks(*operands, scale, chunks, window, keep, attend)
        del operands
        if geometry.rays is None:
            return self.close(x, main, None), window
        if not streams and self.reference.camera_scale_padded:
            scale = padded
        seen = past and _part(past, slice(2, 4))
        camera, seen = _attend_chunks(*self._camera(x, geometry.rays), scale, chunks, seen, keep, attend)
        camera = geometry.rays.outputs(self.split(camera)).flatten(-2)
        return self.close(x, main, camera), window and _both(window, seen)

    def _main(self, x: Tensor, rotation: Rotation, kernels: Kernels) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = (
            kernels.norm_rotate(y, norm.weight.to(y), norm.eps, rotation)
            for y, norm in ((q, self.q_norm), (k, self.k_norm))
        )
        return q, k, self.split(v.contiguous())  # a view would keep the memory of all three

    def _camera(self, x: Tensor, rays: RayGeometry) -> tuple[Tensor, Tensor, Tensor]:
        clamp = self.reference.clamp_softmax_camera
        q = _carried(rays.queries, self.split(_normed(self.q_proj_cam(x), self.q_norm_cam)), clamp)
        k = _carried(rays.keys, self.split(_normed(self.k_proj_cam(x), self.k_norm_cam)), clamp)
        return q, k, _carried(rays.keys, self.split(self.v_proj_cam(x)), clamp)


def _part(window: KVWindow, branch: slice) -> KVWindow:
    """The keys and values of one branch only."""
    return replace(window, chunks=tuple(chunk[branch] for chunk in window.chunks))


def _both(main: KVWindow, camera: KVWindow) -> KVWindow:
    return replace(main, chunks=tuple(a + b for a, b in zip(main.chunks, camera.chunks)))


def _attend_chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    chunks: tuple[int, ...],
    past: KVWindow | None,
    keep: int,
    attend: Attend,
) -> tuple[Tensor, KVWindow | None]:
    """Each chunk's queries against what it may see: q, k, v (b, t, n, h, d) -> (b, t, n, c), and the window after `keep`."""
    n = q.shape[2]
    q, k, v = (rearrange(y, "b t n h d -> b h (t n) d") for y in (q, k, v))
    outputs: list[Tensor] = []
    end, kept = 0, past
    for length in chunks:
        start, end = end, end + length
        if past is None:
            seen = k[:, :, : end * n], v[:, :, : end * n]
        else:
            own = k[:, :, start * n : end * n], v[:, :, start * n : end * n]
            seen = past.joined(*own)
            if len(chunks) > 1:  # a view would keep the other chunks' memory alive
                own = tuple(y.clone() for y in own)
            past = past.append(*own)
            kept = past if end == keep else kept
        out = attend(q[:, :, start * n : end * n], *seen, scale=scale)
        outputs.append(rearrange(out, "b h (t n) d -> b t n (h d)", n=n))
    return torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0], kept


def _carried(carry, x: Tensor, clamp: bool) -> Tensor:
    moved = carry(x)
    return within_rms(moved, x) if clamp else moved


def _normed(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight.to(x), norm.eps)


def _wide(x: Tensor) -> Tensor:
    """At least float32; float64 stays, so that a float64 model is exact to its own precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
