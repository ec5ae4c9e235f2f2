"""One transformer block of the refiner: the window, the prompt, the feed-forward layer. LTX-2 (arXiv 2601.03233)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..attention import Attend
from ..config import RefinerConfig
from .attention import Attention, FeedForward, rms_norm
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
        attend: Attend,
    ) -> Tensor:
        """x (b, tokens of all parts, c), text: K and V of the prompt (b, l, h, d) -> like x.

        A part sees what the parts before it leave in the ring.
        """
        eps = self.config.norm_eps
        rows = [self.scale_shift_table.to(x) + part.level.blocks.to(x) for part in parts]
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = zip(*rows)
        mixed = self._look_around(modulated(rms_norm(x, eps), parts, shift, scale), parts, ring, layer, attend)
        x = gated(x, mixed, parts, gate)
        del mixed
        q, k, v = (y.transpose(1, 2) for y in (self.attn2.queries(rms_norm(x, eps)), *text))
        x = x + self.attn2.output(attend(q, k, v))
        del q
        fed = self.ff(modulated(rms_norm(x, eps), parts, ffn_shift, ffn_scale))
        return gated(x, fed, parts, ffn_gate)

    def text_keys(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of a prompt (b, l, c) for this block, (b, l, h, d) each."""
        return self.attn2.keys(text)

    def _look_around(self, x: Tensor, parts: Sequence[Part], ring: KVRing | None, layer: int, attend: Attend) -> Tensor:
        """Attention of each part to itself and to its past; the projections are made for all parts at once."""
        rope = self.config.rope
        k, v = self.attn1.keys(x)
        seen = []
        for part, q1, k1, v1 in zip(parts, *(part_by_part(y, parts) for y in (self.attn1.queries(x), k, v))):
            turned = rotate(k1, part.rotation, rope)
            k2, v2 = turned, v1
            if part.past is not None:
                sink = rotate(ring.sink(layer), part.past.sink, rope)
                k2, v2 = ring.beside(layer, part.past.held, sink, turned, v1)
            q1 = rotate(q1, part.rotation, rope)
            seen.append(attend(*(y.transpose(1, 2) for y in (q1, k2, v2))).transpose(1, 2))
            if part.keeps is Keeps.SINK:
                ring.write_sink(layer, k1, v1)
            elif part.keeps is Keeps.HISTORY:
                ring.write(layer, part.frames, turned, v1)
        return self.attn1.output(joined(seen).transpose(1, 2))


def modulated(x: Tensor, parts: Sequence[Part], shift: Sequence[Tensor], scale: Sequence[Tensor]) -> Tensor:
    """Scale and shift each part by its own row (c,): x (b, n, c)."""
    pieces = zip(part_by_part(x, parts), shift, scale)
    return joined([torch.addcmul(s, piece, 1 + m) for piece, s, m in pieces])


def gated(x: Tensor, added: Tensor, parts: Sequence[Part], gate: Sequence[Tensor]) -> Tensor:
    """x + added * gate, each part with its own row (c,)."""
    pieces = zip(part_by_part(x, parts), part_by_part(added, parts), gate)
    return joined([torch.addcmul(base, more, g) for base, more, g in pieces])
