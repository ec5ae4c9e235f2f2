"""The whole main and camera branch of a gated-delta block behind its projections: norms, ReLU, rotation or rays, both sweeps.

Ours are the kernels that the device has. Beside them stand diffusers' norms and attention modules, SGLang's kernels, and
flash-linear-attention's rule, which is another one: it lets each token see the tokens before it, token by token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers import transformer_sana_wm as reference
from einops import rearrange
from torch import Tensor

from wm_core.gdn.branches import DENOMINATOR_EPS, Projected
from wm_core.kernels import Kernels, kernels_for
from wm_core.positions import RayGeometry, Rotation, ray_geometry, rotate, rotation_table

from .ceilings import Work
from .dit import turning_camera
from .gdn import HEAD_DIM, scan_work
from .measure import Pair

EPS = 1e-5  # of the norms


@dataclass(frozen=True, eq=False)
class Operands:
    """What every side is given. qkv (1, t, n, 3, c) of the main branch, q k v (1, t, n, c) of the camera's."""

    qkv: Tensor
    camera: tuple[Tensor, Tensor, Tensor]
    norms: tuple[Tensor, Tensor]  # weights of q and k, (c,)
    beta: Tensor  # (1, t, n, h)
    decay: Tensor  # (1, h, t), float32
    rotation: Rotation
    rays: RayGeometry

    @classmethod
    def drawn(cls, grid: tuple[int, int], frames: int, heads: int, device: str, dtype: torch.dtype) -> Operands:
        g, c, n = torch.Generator(device).manual_seed(0), heads * HEAD_DIM, grid[0] * grid[1]
        draw = lambda *shape: torch.randn(shape, generator=g, device=device, dtype=dtype)
        size = (frames, *grid)
        half = rotation_table(size, HEAD_DIM, turned=HEAD_DIM // 2, device=device)
        rays = ray_geometry(turning_camera(frames, grid).to(device), size, (1, 1, 1), half)
        return cls(
            qkv=draw(1, frames, n, 3, c),
            camera=tuple(draw(1, frames, n, c) for _ in range(3)),
            norms=tuple(1 + 0.3 * draw(c) for _ in range(2)),
            beta=draw(1, frames, n, heads).sigmoid(),
            decay=torch.sigmoid(draw(1, heads, frames).float() + 2),
            rotation=rotation_table(size, HEAD_DIM, device=device),
            rays=rays,
        )

    @property
    def heads(self) -> int:
        return self.beta.shape[3]

    @property
    def kernels(self) -> Kernels:
        with torch.no_grad():
            return kernels_for(self.qkv, self.heads * HEAD_DIM, HEAD_DIM)

    def projected(self, q: Tensor, k: Tensor, v: Tensor) -> Projected:
        return Projected(q, k, v, *self.norms, EPS, self.beta, self.decay)

    def main(self) -> Projected:
        """q and v as views of what one layer made, k apart: it comes out of its short convolution."""
        q, k, v = self.qkv.unbind(3)
        return self.projected(q, k.contiguous(), v)

    def work(self, *, has_denominator: bool) -> Work:
        _, frames, tokens, heads = self.beta.shape
        return scan_work(frames, tokens, heads, self.qkv.element_size(), has_denominator=has_denominator)

    def by_head(self, x: Tensor) -> Tensor:
        return rearrange(x, "b t n (h d) -> b (t n) h d", h=self.heads)

    def strengths(self) -> Tensor:
        return rearrange(self.beta, "b t n h -> b h t n").contiguous()


def main(
    grid: tuple[int, int],
    frames: int,
    heads: int = 4,
    device: str = "cpu",
    dtype: str = "float32",
    beside: str = "diffusers",
) -> Pair:
    """Results (b, n, c). beside: a row of MAIN."""
    given = Operands.drawn(tuple(grid), frames, heads, device, getattr(torch, dtype))
    x, kernels = given.main(), given.kernels
    ours = lambda: kernels.main_branch(replace(x), given.rotation, chunks=(frames,))[0].flatten(1, 2)
    theirs = MAIN[beside](given)
    return Pair(theirs, ours, lambda: given.work(has_denominator=True), is_comparable=beside != "fla")


def camera(
    grid: tuple[int, int],
    frames: int,
    heads: int = 4,
    device: str = "cpu",
    dtype: str = "float32",
    beside: str = "diffusers",
) -> Pair:
    """Results (b, n, c), scaled down to the RMS before the rays as diffusers does. beside: a row of CAMERA."""
    given = Operands.drawn(tuple(grid), frames, heads, device, getattr(torch, dtype))
    x, kernels = given.projected(*given.camera), given.kernels
    ours = lambda: kernels.camera_branch(replace(x), given.rays, clamp=True, chunks=(frames,))[0].flatten(1, 2)
    return Pair(CAMERA[beside](given), ours, lambda: given.work(has_denominator=False))


def _diffusers_main(given: Operands):
    attention, (norm_q, norm_k) = reference.SanaWMBidirectionalGDNAttention(eps=DENOMINATOR_EPS), _norms(given)
    x, beta, recall = given.main(), given.strengths(), torch.zeros(given.heads, device=given.qkv.device)
    angles = rearrange(given.rotation.turn, "t n 1 d -> 1 1 (t n) d").contiguous()
    feature = lambda norm, y: given.by_head(norm(y)).relu()

    def run() -> Tensor:
        q, k = feature(norm_q, x.q), feature(norm_k, x.k)
        return attention(q, k, given.by_head(x.v), beta, given.decay, recall, given.decay.shape[2], rotary_emb=angles)

    return run


def _diffusers_camera(given: Operands):
    attention, (norm_q, norm_k) = reference.SanaWMBidirectionalGDNCamAttention(), _norms(given)
    beta, (q, k, v) = given.strengths(), given.camera
    to_ray, from_ray, angles = _rays(given)
    transforms = to_ray, to_ray.mT, from_ray, angles
    feature = lambda norm, y: given.by_head(norm(y)).relu()

    def run() -> Tensor:
        features = feature(norm_q, q), feature(norm_k, k), given.by_head(v)
        return attention(*features, transforms, beta, given.decay, given.decay.shape[2])

    return run


def _sglang_main(given: Operands):
    from sglang.jit_kernel.diffusion.triton import sana_wm_gdn as kernels

    _, frames, tokens, _ = given.beta.shape
    qkv = rearrange(given.qkv, "b t n s (h d) -> b (t n) s h d", h=given.heads)
    angles = rearrange(given.rotation.turn, "t n 1 d -> 1 1 (t n) d")
    table = kernels.prepare_rope_tables(angles, frames * tokens, HEAD_DIM, qkv.device)
    norms, beta, scale = [w.float() for w in given.norms], given.strengths(), (HEAD_DIM * tokens) ** -0.5

    def run() -> Tensor:
        lengths = kernels.fused_qk_inv_rms(qkv, eps=EPS)
        out = kernels.fused_bigdn_func(
            qkv, *lengths, *norms, *table, beta, given.decay, F=frames, S=tokens, k_scale=scale, eps=DENOMINATOR_EPS
        )
        return out.flatten(2)

    return run


def _sglang_camera(given: Operands):
    from sglang.jit_kernel.diffusion.triton import sana_wm_gdn as kernels
    from sglang.jit_kernel.diffusion.triton.sana_wm_gdn_chunkwise import cam_scan_bidi_chunkwise

    tokens, beta, (q, k, v) = given.beta.shape[2], given.strengths().float(), map(given.by_head, given.camera)
    to_ray, from_ray, angles = _rays(given)
    scale = (HEAD_DIM * tokens) ** -0.5

    def run() -> Tensor:
        *features, growth = kernels.sana_wm_cam_gdn_preprocess(
            q, k, v, *given.norms, to_ray.mT.contiguous(), from_ray, angles, k_scale=scale, eps=EPS
        )
        kept = beta / growth.view_as(beta).mean(-1, keepdim=True).clamp_min(1)
        read = cam_scan_bidi_chunkwise(*(y.float() for y in features), kept.contiguous(), given.decay)
        out = kernels.sana_wm_cam_output_apply_o(read.transpose(-1, -2), to_ray, angles)
        return rearrange(out, "b h n d -> b n (h d)").to(q.dtype)

    return run


def _fla_main(given: Operands):
    """Both directions of its rule on features that are already there: less work than the whole branch, and no denominator."""
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    x = given.main()
    ready = [rotate(y, given.rotation).flatten(1, 2) for y in (x.query_feature(), x.key_feature())]
    ready += [x.values().flatten(1, 2), given.beta.flatten(1, 2)]
    fade = torch.zeros_like(given.beta, dtype=torch.float32)
    fade[:, :, 0] = given.decay.log().transpose(1, 2)  # a frame's first token carries its decay
    ready.append(fade.flatten(1, 2))
    there_and_back = ready, [y.flip(1).contiguous() for y in ready]

    def run() -> Tensor:
        a, b = (chunk_gated_delta_rule(q, k, v, g=g, beta=beta, scale=1.0)[0] for q, k, v, beta, g in there_and_back)
        return (a + b.flip(1)).flatten(2)

    return run


def _norms(given: Operands) -> list[RMSNorm]:
    norms = [RMSNorm(len(w), eps=EPS) for w in given.norms]
    for norm, weight in zip(norms, given.norms):
        norm.weight = torch.nn.Parameter(weight, requires_grad=False)
    return norms


def _rays(given: Operands) -> tuple[Tensor, Tensor, Tensor]:
    """World to ray and back (1, n, 4, 4), in the dtype of the features as diffusers needs them, and the angles."""
    to_ray, from_ray = (m.flatten(1, 2).to(given.qkv.dtype) for m in (given.rays.to_ray, given.rays.from_ray))
    return to_ray, from_ray, rearrange(given.rays.rotation.turn, "t n 1 d -> 1 1 (t n) d").contiguous()


MAIN = {"diffusers": _diffusers_main, "sglang": _sglang_main, "fla": _fla_main}
CAMERA = {"diffusers": _diffusers_camera, "sglang": _sglang_camera}
