"""The gated delta rule, both directions: main branch (numerator and denominator) and camera branch.

Each side gets its operands in the layout in which its own block hands them over: ours token-major, diffusers' camera
branch channel-major. Rotary embeddings and ray transforms are left out, they are not part of the operation.
"""

from __future__ import annotations

import torch
from diffusers.models.transformers import transformer_sana_wm as reference
from einops import rearrange
from torch import Tensor

from wm_core.gdn import delta_scan

from .ceilings import Work
from .measure import Pair

HEAD_DIM = 112
EPS = 1e-8


def scan_work(frames: int, tokens: int, heads: int, itemsize: int, *, has_denominator: bool) -> Work:
    """What one scan must do for one video: P, U and the reading of each frame, both sweeps, the denominator's products with
    a vector; q, k and v read and the result written once. Nothing is computed twice, so a run may do more."""
    d = HEAD_DIM
    of_tokens, of_frame = 6 * d * d + (10 * d if has_denominator else 0), 4 * d**3
    moved = 4 * frames * tokens * heads * d * itemsize
    return Work(frames * heads * (tokens * of_tokens + of_frame), moved)


def main_branch(frames: int, tokens: int = 880, heads: int = 4, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Results (b, n, c): numerator over denominator."""
    q, k, v, beta, decay = _operands(frames, tokens, heads, device, getattr(torch, dtype))
    attention = reference.SanaWMBidirectionalGDNAttention(eps=EPS)
    recall = torch.zeros(heads, device=device)
    heads_last, scale = "b t n h d -> b h t d n", (HEAD_DIM * tokens) ** -0.5

    def theirs() -> Tensor:
        flat = (x.flatten(1, 2) for x in (q, k, v))
        return attention(*flat, beta, decay, recall, frames)

    def ours() -> Tensor:
        scaled = k * scale
        ones = v.new_ones(()).expand(*beta.shape[:3], 1, tokens)
        operands = [rearrange(x, heads_last) for x in (q, scaled, v)]
        below, _ = delta_scan(*operands[:2], ones, beta, decay, chunks=(frames,))
        above, _ = delta_scan(*operands, beta, decay, chunks=(frames,))
        return rearrange(above.div_(below + EPS), "b h t d n -> b (t n) (h d)")

    work = scan_work(frames, tokens, heads, v.element_size(), has_denominator=True)
    return Pair(theirs, ours, lambda: work)


def camera_branch(frames: int, tokens: int = 880, heads: int = 4, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Results (b, n, c): numerator only."""
    q, k, v, beta, decay = _operands(frames, tokens, heads, device, getattr(torch, dtype))
    k = k * (HEAD_DIM * tokens) ** -0.5
    channel_major = [rearrange(x, "b t n h d -> b h d (t n)").contiguous() for x in (q, k, v)]

    def theirs() -> Tensor:
        return rearrange(_camera_reference(*channel_major, beta, decay).to(v.dtype), "b h d n -> b n (h d)")

    def ours() -> Tensor:
        operands = (rearrange(x, "b t n h d -> b h t d n") for x in (q, k, v))
        read, _ = delta_scan(*operands, beta, decay, chunks=(frames,))
        return rearrange(read, "b h t d n -> b (t n) (h d)")

    work = scan_work(frames, tokens, heads, v.element_size(), has_denominator=False)
    return Pair(theirs, ours, lambda: work)


def _camera_reference(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor) -> Tensor:
    """Both passes as SanaWMBidirectionalGDNCamAttention.forward composes them; q, k, v (b, h, d, n)."""
    scan, frames = reference.torch_chunk_cam_single_path_delta_rule, beta.shape[2]
    forward = scan(q.float(), k.float(), v.float(), beta.float(), decay.float())
    by_frame = lambda x: x.unflatten(3, (frames, -1)).permute(0, 1, 3, 2, 4)
    flat = lambda x: x.permute(0, 1, 3, 2, 4).reshape(q.shape).float()
    backward = scan(
        flat(torch.flip(by_frame(q), dims=[2])),
        flat(reference.flip_and_shift(by_frame(k))),
        flat(reference.flip_and_shift(by_frame(v))),
        reference.flip_and_shift(beta).float(),
        reference.flip_and_shift(decay, shift_val=1.0).float(),
    )
    return forward + backward.unflatten(3, (frames, -1)).flip(3).reshape(q.shape)


def _operands(frames: int, tokens: int, heads: int, device: str, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v (1, t, n, h, d), q and k not negative as after the kernel; beta (1, h, t, n), decay (1, h, t)."""
    g = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, frames, tokens, heads, HEAD_DIM, generator=g).to(dtype).to(device).unbind()
    beta = torch.randn(1, heads, frames, tokens, generator=g).sigmoid().to(device)
    decay = torch.sigmoid(torch.randn(1, heads, frames, generator=g) + 2).to(device)
    return [q.relu(), k.relu(), v, beta, decay]
