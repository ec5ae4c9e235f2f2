"""One transformer block, the same for the dense, the chunk-causal and the streaming model. SANA-WM sec. 3.2."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from ..attention import Attend
from ..config import DiTConfig
from ..kernels import Kernels
from .ffn import GatedConvFFN
from .mixers import GDNMixer, Geometry, SoftmaxMixer
from .state import BlockState

TextKeys = tuple[Tensor, Tensor]  # K and V of a prompt for one block, (b, h, l, d) each


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

    def keys(self, text: Tensor) -> TextKeys:
        """K and V of an embedded prompt (b, l, c)."""
        k, v = self.kv_linear(text).chunk(2, -1)
        return self._split(self.k_norm(k)), self._split(v)

    def forward(self, x: Tensor, text: TextKeys, mask: Tensor | None, attend: Attend) -> Tensor:
        """x (b, t, n, c), mask (b, l) True = attend -> like x."""
        q = self._split(self.q_norm(self.q_linear(x)).flatten(1, 2))
        out = attend(q, *text, mask=mask)
        return self.proj(rearrange(out, "b h (t n) d -> b t n (h d)", t=x.shape[1]))

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (h d) -> b h n d", h=self.heads)


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
        text: TextKeys,
        text_mask: Tensor | None,
        geometry: Geometry,
        plucker: Tensor | None,
        size: tuple[int, int],
        chunks: tuple[int, ...],
        past: BlockState | None,
        keep: int,
        kernels: Kernels,
    ) -> tuple[Tensor, BlockState]:
        """x (b, t, n, c), modulation (b, t, 6, c), plucker (b, t, n, c) or None, size = tokens (h, w)."""
        table = self.scale_shift_table.to(x) + modulation
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table.unsqueeze(3).unbind(2)  # six of (b t 1 c)
        modulated = kernels.modulate(x, shift, scale)
        mixed, mixer = self.attn(modulated, geometry, chunks, past and past.mixer, keep, kernels)
        x = torch.addcmul(x, gate, mixed)
        del modulated, mixed
        if plucker is not None:
            x = x + self.plucker_proj(plucker)
        x = x + self.cross_attn(x, text, text_mask, kernels.attend)
        modulated = kernels.modulate(x, ffn_shift, ffn_scale)
        fed, tail = self.mlp(modulated, size, chunks, past and past.ffn_tail, keep=keep, kernels=kernels)
        return torch.addcmul(x, ffn_gate, fed), BlockState(mixer, tail)
