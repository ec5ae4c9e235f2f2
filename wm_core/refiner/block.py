"""One transformer block of the refiner: the window, the prompt, the feed-forward layer. LTX-2 (arXiv 2601.03233)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..config import RefinerConfig
from ..kernels import Kernels
from ..positions import Rotation
from .attention import Attention, FeedForward, rms_norm, weighted_norm
from .kv_ring import KVRing
from .part import Keeps, Part, joined, part_by_part
from .rope import rotate


class Block(nn.Module):
    def __init__(self, config: RefinerConfig, operations, **factory):
        super().__init__()
        c = config.hidden_size
        self.config = config
        self.attn1 = Attention(c, config.num_heads, config.head_dim, operations, **factory)
        self.attn2 = Attention(c, config.num_heads, config.head_dim, operations, **factory)
        self.ff = FeedForward(c, config.mlp_ratio, operations, **factory)
        self.scale_shift_table = nn.Parameter(torch.zeros(6, c, **factory))

    def forward(
        self,
        x: Tensor,
        parts: Sequence[Part],
        text: tuple[Tensor, Tensor],
        ring: KVRing | None,
        layer: int,
        kernels: Kernels,
    ) -> Tensor:
        """x (b, tokens of all parts, c), text: K and V of the prompt (b, l, h, d) -> like x.

        A part sees what the parts before it leave in the ring.
        """
        eps = self.config.norm_eps
        modulated = lambda shift, scale: joined(
            [kernels.rms_modulate(y, s, m, eps) for y, s, m in zip(part_by_part(x, parts), shift, scale)]
        )
        rows = [self.scale_shift_table.to(x) + part.level.blocks.to(x) for part in parts]
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = zip(*rows)
        mixed = self._look_around(modulated(shift, scale), parts, ring, layer, kernels)
        x = gated(x, mixed, parts, gate)
        del mixed
        q, k, v = (y.transpose(1, 2) for y in (self.attn2.queries(rms_norm(x, eps)), *text))
        x = x + self.attn2.output(kernels.attend(q, k, v))
        del q
        fed = self.ff(modulated(ffn_shift, ffn_scale))
        return gated(x, fed, parts, ffn_gate)

    def text_keys(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of a prompt (b, l, c) for this block, (b, l, h, d) each."""
        return self.attn2.keys(text)

    def _look_around(
        self, x: Tensor, parts: Sequence[Part], ring: KVRing | None, layer: int, kernels: Kernels
    ) -> Tensor:
        """Attention of each part to itself and to its past; the projections are made for all parts at once."""
        attn = self.attn1
        projected = (part_by_part(project(x), parts) for project in (attn.to_q, attn.to_k, attn.to_v))
        seen = []
        for part, q, k, v in zip(parts, *projected):
            turned = partial(self._turned, rotation=part.rotation, kernels=kernels)
            v = attn.split(v)
            own_k, all_k, all_v = self._keys(part, k, v, ring, layer, turned)
            q = turned(q, attn.norm_q)
            seen.append(kernels.attend(*(y.transpose(1, 2) for y in (q, all_k, all_v))).transpose(1, 2))
            if part.keeps is Keeps.SINK:
                ring.write_sink(layer, attn.split(weighted_norm(k, attn.norm_k)), v)
            elif part.keeps is Keeps.HISTORY:
                ring.write(layer, part.frames, own_k, v)
        return attn.output(joined(seen).transpose(1, 2))

    def _keys(
        self, part: Part, k: Tensor, v: Tensor, ring: KVRing | None, layer: int, turned: Callable[..., Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A part's own K, rotated, and K and V of all that it sees, (b, n, h, d); its K is made where it is read."""
        norm = self.attn1.norm_k
        if part.past is None:
            own = turned(k, norm)
            return own, own, v
        sink = rotate(ring.sink(layer), part.past.sink, self.config.rope)
        if torch.is_grad_enabled():
            own = turned(k, norm)
            return own, *ring.beside(layer, part.past.held, sink, own, v)
        all_k, all_v = ring.room(layer, part.past.held, sink, v)
        own = turned(k, norm, out=all_k[:, -v.shape[1] :])
        all_v[:, -v.shape[1] :].copy_(v)
        return own, all_k, all_v

    def _turned(
        self, x: Tensor, norm: nn.RMSNorm, rotation: Rotation, kernels: Kernels, out: Tensor | None = None
    ) -> Tensor:
        """Normalised and rotated heads of a projection (b, n, c): (b, n, h, d)."""
        halves = self.config.rope == "split"
        return kernels.norm_rotate(x, norm.weight.to(x), norm.eps, rotation, halves=halves, out=out)


def modulated(x: Tensor, parts: Sequence[Part], shift: Sequence[Tensor], scale: Sequence[Tensor]) -> Tensor:
    """Scale and shift each part by its own row (c,): x (b, n, c)."""
    pieces = zip(part_by_part(x, parts), shift, scale)
    return joined([torch.addcmul(s, piece, 1 + m) for piece, s, m in pieces])


def gated(x: Tensor, added: Tensor, parts: Sequence[Part], gate: Sequence[Tensor]) -> Tensor:
    """x + added * gate, each part with its own row (c,)."""
    pieces = zip(part_by_part(x, parts), part_by_part(added, parts), gate)
    return joined([torch.addcmul(base, more, g) for base, more, g in pieces])
