"""From the text encoder to the refiner: the packed hidden states of a prompt become its context. LTX-2 (arXiv 2601.03233).

Learned registers stand where there is no text, so every token of the context counts and no mask is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..attention import Attend, softmax_attention
from ..config import ConnectorConfig
from ..errors import ShapeError
from ..positions import Rotation
from .attention import Attention, FeedForward, rms_norm
from .rope import rotate, rotation_of

CONTEXT_TOKENS = 1024  # of the released recipe


class _Block(nn.Module):
    def __init__(self, config: ConnectorConfig, operations, **factory):
        super().__init__()
        self.config = config
        self.attn1 = Attention(config.caption_channels, config.num_heads, config.head_dim, operations, **factory)
        self.ff = FeedForward(config.caption_channels, config.mlp_ratio, operations, **factory)

    def forward(self, x: Tensor, rotation: Rotation, attend: Attend) -> Tensor:
        """(b, l, c) -> likewise."""
        eps, rope = self.config.norm_eps, self.config.rope
        h = rms_norm(x, eps)
        k, v = self.attn1.keys(h)
        q, k = rotate(self.attn1.queries(h), rotation, rope), rotate(k, rotation, rope)
        x = x + self.attn1.output(attend(*(y.transpose(1, 2) for y in (q, k, v))))
        return x + self.ff(rms_norm(x, eps))


class _Connector(nn.Module):
    """The transformer over text tokens and registers."""

    def __init__(self, config: ConnectorConfig, operations, **factory):
        super().__init__()
        if config.registers:
            self.learnable_registers = nn.Parameter(torch.zeros(config.registers, config.caption_channels, **factory))
        self.transformer_blocks = nn.ModuleList(_Block(config, operations, **factory) for _ in range(config.depth))


class TextConnector(nn.Module):
    """Projection and transformer between Gemma-3 and the refiner; the video stream's half of the released connectors."""

    def __init__(self, config: ConnectorConfig, operations=nn, *, dtype=None, device=None):
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        self.config = config
        packed = config.caption_channels * config.encoder_layers
        self.text_proj_in = operations.Linear(packed, config.caption_channels, bias=False, **factory)
        self.video_connector = _Connector(config, operations, **factory)

    def forward(self, packed: Tensor, length: int = CONTEXT_TOKENS, *, attend: Attend = softmax_attention) -> Tensor:
        """The context (b, length, c) of a prompt's packed hidden states (b, l, c * layers), valid tokens only.

        length: a multiple of the registers, at least l; without registers the context has l tokens. ShapeError.
        """
        config = self.config
        wanted = config.caption_channels * config.encoder_layers
        if packed.ndim != 3 or packed.shape[-1] != wanted:
            raise ShapeError(
                f"packed hidden states must be (b, l, {wanted}), got {tuple(packed.shape)}; the connectors belong to "
                f"an encoder of {config.encoder_layers} hidden states of {config.caption_channels} channels"
            )
        x = self._filled(self.text_proj_in(packed), length)
        positions = torch.arange(x.shape[1], dtype=torch.float32, device=x.device)[:, None]
        rotation = rotation_of(
            positions, (config.rope_span,), config.num_heads, config.head_dim,
            theta=config.rope_theta, double=config.rope_double,
        )  # fmt: skip
        for block in self.video_connector.transformer_blocks:
            x = block(x, rotation, attend)
        return rms_norm(x, config.norm_eps)

    def _filled(self, x: Tensor, length: int) -> Tensor:
        """Text tokens (b, l, c), then the registers of the places after them: (b, length, c)."""
        count, given = self.config.registers, x.shape[1]
        if not count:
            return x
        if given > length or length % count:
            raise ShapeError(
                f"a context must have at least the prompt's {given} tokens and a multiple of {count}, got {length}; "
                f"shorten the prompt or use {-(-given // count) * count}"
            )
        registers = self.video_connector.learnable_registers.to(x).repeat(length // count, 1)[given:]
        return torch.cat([x, registers.expand(x.shape[0], -1, -1)], 1)
