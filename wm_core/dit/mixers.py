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
from ..gdn import delta_scan
from ..kv_window import KVWindow
from .rope import Rotation, rotate
from .state import GDNState, next_tail
from .temporal_conv import ShortConv
from .ucpe import RayGeometry, inflation, within_rms

DENOMINATOR_EPS = 1e-8


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
        norm = {"eps": config.norm_eps_qk, **factory}
        self.qkv = operations.Linear(c, 3 * c, bias=False, **factory)
        self.q_norm, self.k_norm = operations.RMSNorm(c, **norm), operations.RMSNorm(c, **norm)
        self.q_proj_cam, self.k_proj_cam, self.v_proj_cam, self.out_proj_cam = (
            operations.Linear(c, c, **factory) for _ in range(4)
        )
        self.q_norm_cam, self.k_norm_cam = operations.RMSNorm(c, **norm), operations.RMSNorm(c, **norm)
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
        self, x: Tensor, geometry: Geometry, chunks: tuple[int, ...], past: GDNState | None, attend: Attend
    ) -> tuple[Tensor, GDNState]:
        """x (b, t, n, c) -> like x, and the memory after its last frame. `attend` is not used here."""
        start = past or GDNState()
        beta = rearrange(self.beta_proj(x).sigmoid(), "b t n h -> b h t n")
        decay = self._decay(x)
        main, kv, z, k_tail = self._main(x, geometry.rotation, beta, decay, chunks, start)
        camera = memory = camera_tail = None
        if geometry.rays is not None:
            camera, memory, camera_tail = self._camera(x, geometry.rays, beta, decay, chunks, start)
        return self.close(x, main, camera), GDNState(kv, z, memory, k_tail, camera_tail)

    def _decay(self, x: Tensor) -> Tensor:
        """(b, h, t) in (0, 1): how much of the memory each frame keeps."""
        bias, rate = (_wide(p.to(x.device)) for p in (self.dt_bias, self.A_log))  # fp32: gates
        step = F.softplus(_wide(self.gate_proj(x.mean(2))) + bias)
        return torch.exp(-rate.exp() * step).transpose(1, 2)

    def _main(
        self, x: Tensor, rotation: Rotation, beta: Tensor, decay: Tensor, chunks: tuple[int, ...], past: GDNState
    ):
        q, k, v = self.qkv(x).chunk(3, -1)
        tail = next_tail(k, past.k_tail, self.reach)
        k = self._key_feature(self.k_norm(self.conv_k(k, chunks, past.k_tail)))
        q = self.split(self.q_norm(q).relu_())
        v = self.split(v.contiguous())  # a view would keep the memory of all three for as long as v is needed
        heads_last = "b t n h d -> b h t d n"
        ones = v.new_ones(()).expand(*beta.shape[:3], 1, beta.shape[3])
        below, z = delta_scan(
            rearrange(q, heads_last), rearrange(k, heads_last), ones, beta, decay, chunks=chunks, past=past.z
        )
        q = rotate(q, rotation)  # one after the other: each frees its operand
        k = rotate(k, rotation)
        above, kv = delta_scan(*(rearrange(y, heads_last) for y in (q, k, v)), beta, decay, chunks=chunks, past=past.kv)
        return _tokens(above.div_(below + DENOMINATOR_EPS)), kv, z, tail

    def _camera(
        self, x: Tensor, rays: RayGeometry, beta: Tensor, decay: Tensor, chunks: tuple[int, ...], past: GDNState
    ):
        k = self.k_proj_cam(x)
        seen = past.camera_k_tail if self.reference.camera_conv_streams else None
        tail = next_tail(k, past.camera_k_tail, self.reach)
        k = self._key_feature(self.k_norm_cam(self.conv_k_cam(k, chunks, seen)))
        clamp = self.reference.clamp_gdn_camera
        moved = _carried(rays.keys, k, clamp)
        beta = beta / inflation(moved, k).clamp_min(1.0)[..., None]
        del k
        q = _carried(rays.queries, self.split(self.q_norm_cam(self.q_proj_cam(x)).relu_()), clamp)
        v = _carried(rays.keys, self.split(self.v_proj_cam(x)), clamp)
        read, memory = delta_scan(
            *(rearrange(y, "b t n h d -> b h t d n") for y in (q, moved, v)),
            beta,
            decay,
            chunks=chunks,
            past=past.camera,
        )
        del q, moved, v
        return rays.outputs(rearrange(read, "b h t d n -> b t n h d")).flatten(-2), memory, tail

    def _key_feature(self, k: Tensor) -> Tensor:
        """Non-negative keys scaled by 1 / sqrt(d * n), which keeps the erased matrix a contraction."""
        return self.split((k * (self.head_dim * k.shape[2]) ** -0.5).relu_())


class SoftmaxMixer(_Projections):
    """Exact attention over the own chunk, the chunks before it in this call, and the window of earlier calls."""

    def forward(
        self, x: Tensor, geometry: Geometry, chunks: tuple[int, ...], past: KVWindow | None, attend: Attend
    ) -> tuple[Tensor, KVWindow | None]:
        """x (b, t, n, c) -> like x, and the window after its last chunk (None without `past`)."""
        if self.reference.softmax_bf16 and x.dtype == torch.float32:
            attend = rounded_to_bf16(attend)
        streams = past is not None
        padded = padded_scale(self.head_dim)
        scale = padded if streams and self.reference.stream_scale_padded else None
        window = past and _part(past, slice(0, 2))
        main, window = _attend_chunks(*self._main(x, geometry.rotation), scale, chunks, window, attend)
        if geometry.rays is None:
            return self.close(x, main, None), window
        if not streams and self.reference.camera_scale_padded:
            scale = padded
        seen = past and _part(past, slice(2, 4))
        camera, seen = _attend_chunks(*self._camera(x, geometry.rays), scale, chunks, seen, attend)
        camera = geometry.rays.outputs(self.split(camera)).flatten(-2)
        return self.close(x, main, camera), window and _both(window, seen)

    def _main(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, -1)
        q = rotate(self.split(self.q_norm(q)), rotation)
        k = rotate(self.split(self.k_norm(k)), rotation)
        return q, k, self.split(v.contiguous())  # a view would keep the memory of all three

    def _camera(self, x: Tensor, rays: RayGeometry) -> tuple[Tensor, Tensor, Tensor]:
        clamp = self.reference.clamp_softmax_camera
        q = _carried(rays.queries, self.split(self.q_norm_cam(self.q_proj_cam(x))), clamp)
        k = _carried(rays.keys, self.split(self.k_norm_cam(self.k_proj_cam(x))), clamp)
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
    attend: Attend,
) -> tuple[Tensor, KVWindow | None]:
    """Each chunk's queries against what it may see: q, k, v (b, t, n, h, d) -> (b, t, n, c)."""
    n = q.shape[2]
    q, k, v = (rearrange(y, "b t n h d -> b h (t n) d") for y in (q, k, v))
    outputs: list[Tensor] = []
    end = 0
    for length in chunks:
        start, end = end, end + length
        if past is None:
            seen = k[:, :, : end * n], v[:, :, : end * n]
        else:
            own = k[:, :, start * n : end * n], v[:, :, start * n : end * n]
            seen, past = past.joined(*own), past.append(*own)
        out = attend(q[:, :, start * n : end * n], *seen, scale=scale)
        outputs.append(rearrange(out, "b h (t n) d -> b t n (h d)", n=n))
    return torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0], past


def _carried(carry, x: Tensor, clamp: bool) -> Tensor:
    moved = carry(x)
    return within_rms(moved, x) if clamp else moved


def _tokens(x: Tensor) -> Tensor:
    return rearrange(x, "b h t d n -> b t n (h d)")


def _wide(x: Tensor) -> Tensor:
    """At least float32; float64 stays, so that a float64 model is exact to its own precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
