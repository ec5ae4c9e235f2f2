"""One transformer block, the same for the dense, the chunk-causal and the streaming model. SANA-WM sec. 3.2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from ..attention import Attend
from ..config import DiTConfig
from .embed import modulate
from .ffn import GatedConvFFN
from .mixers import GDNMixer, Geometry, SoftmaxMixer
from .state import BlockState


@dataclass(frozen=True, eq=False)
class Text:
    """Embedded prompt (b, l, c) and which of its tokens count, (b, l) True = attend or None for all."""

    states: Tensor
    mask: Tensor | None


class CrossAttention(nn.Module):
    """Tokens ask the prompt; q and k are normalised over all channels."""

    def __init__(self, config: DiTConfig, operations, **factory):
        super().__init__()
        c = config.hidden_size
        self.heads = config.num_heads
        self.q_linear = operations.Linear(c, c, **factory)
        self.kv_linear = operations.Linear(c, 2 * c, **factory)
        self.proj = operations.Linear(c, c, **factory)
        self.q_norm = operations.RMSNorm(c, eps=config.norm_eps_cross, **factory)
        self.k_norm = operations.RMSNorm(c, eps=config.norm_eps_cross, **factory)

    def forward(self, x: Tensor, text: Text, attend: Attend) -> Tensor:
        """x (b, t, n, c) -> like x."""
        q = self.q_norm(self.q_linear(x)).flatten(1, 2)
        k, v = self.kv_linear(text.states).chunk(2, -1)
        q, k, v = (rearrange(y, "b n (h d) -> b h n d", h=self.heads) for y in (q, self.k_norm(k), v))
        out = attend(q, k, v, mask=text.mask)
        return self.proj(rearrange(out, "b h (t n) d -> b t n (h d)", t=x.shape[1]))


class Block(nn.Module):
    def __init__(self, config: DiTConfig, index: int, operations, **factory):
        super().__init__()
        c = config.hidden_size
        mixer = SoftmaxMixer if config.uses_softmax(index) else GDNMixer
        self.attn = mixer(config, operations, **factory)
        self.cross_attn = CrossAttention(config, operations, **factory)
        self.mlp = GatedConvFFN(c, config.mlp_hidden, config.t_kernel_size, operations, **factory)
        self.scale_shift_table = nn.Parameter(torch.zeros(6, c, **factory))
        if index < config.plucker_blocks:
            self.plucker_proj = operations.Linear(c, c, **factory)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        text: Text,
        geometry: Geometry,
        plucker: Tensor | None,
        size: tuple[int, int],
        chunks: tuple[int, ...],
        past: BlockState | None,
        attend: Attend,
    ) -> tuple[Tensor, BlockState]:
        """x (b, t, n, c), modulation (b, t, 6, c), plucker (b, t, n, c) or None, size = tokens (h, w)."""
        table = self.scale_shift_table.to(x) + modulation
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table.unsqueeze(3).unbind(2)  # six of (b t 1 c)
        mixed, mixer = self.attn(modulate(x, shift, scale), geometry, chunks, past and past.mixer, attend)
        x = torch.addcmul(x, gate, mixed)
        del mixed
        if plucker is not None:
            x = x + self.plucker_proj(plucker)
        x = x + self.cross_attn(x, text, attend)
        fed, tail = self.mlp(modulate(x, ffn_shift, ffn_scale), size, chunks, past and past.ffn_tail)
        return torch.addcmul(x, ffn_gate, fed), BlockState(mixer, tail)
