"""The refiner: the video stream of LTX-2 with a window of keys and values in place of attention to everything.

Stage 1's draft goes in with noise and comes out watchable. LTX-2 (arXiv 2601.03233), SANA-WM (arXiv 2605.15178) sec. 4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..attention import Attend, softmax_attention
from ..config import RefinerConfig
from ..dit.embed import TIME_CHANNELS, sinusoid
from ..errors import ShapeError
from ..kernels import Kernels, kernels_for
from ..positions import Rotation
from .block import Block, modulated
from .kv_ring import KVRing
from .part import Level, Part, part_by_part
from .rope import rotation_of, video_positions

Walk = Callable[[Iterable[nn.Module]], Iterable[nn.Module]]


@dataclass(frozen=True, eq=False)
class PromptKeys:
    """K and V of a prompt for every block, (b, l, h, d) each: computed once, read in every step. name: to tell it by."""

    blocks: tuple[tuple[Tensor, Tensor], ...]
    name: str = ""


class _TwoLinear(nn.Module):
    def __init__(self, channels: int, hidden: int, operations, **factory):
        super().__init__()
        self.linear_1 = operations.Linear(channels, hidden, **factory)
        self.linear_2 = operations.Linear(hidden, hidden, **factory)


class _TimeEmbed(nn.Module):
    """Noise level to modulation. Named as in the checkpoint."""

    def __init__(self, hidden: int, operations, **factory):
        super().__init__()
        self.emb = nn.Module()
        self.emb.timestep_embedder = _TwoLinear(TIME_CHANNELS, hidden, operations, **factory)
        self.linear = operations.Linear(hidden, 6 * hidden, **factory)

    def forward(self, timestep: Tensor, dtype: torch.dtype) -> Level:
        """timestep: one number in thousandths, float32."""
        embedder = self.emb.timestep_embedder
        time = embedder.linear_2(F.silu(embedder.linear_1(sinusoid(timestep[None]).to(dtype))))
        return Level(self.linear(F.silu(time)).unflatten(-1, (6, -1))[0], time[0])


class VideoRefiner(nn.Module):
    """All methods are pure, but that a forward may write into the ring that it is given."""

    def __init__(self, config: RefinerConfig, operations=nn, *, dtype=None, device=None):
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        c = config.hidden_size
        self.config = config
        self.proj_in = operations.Linear(config.in_channels, c, **factory)
        self.caption_projection = _TwoLinear(config.caption_channels, c, operations, **factory)
        self.time_embed = _TimeEmbed(c, operations, **factory)
        self.transformer_blocks = nn.ModuleList(Block(config, operations, **factory) for _ in range(config.depth))
        self.scale_shift_table = nn.Parameter(torch.zeros(2, c, **factory))
        self.proj_out = operations.Linear(c, config.out_channels, **factory)

    def prompt_keys(self, context: Tensor) -> PromptKeys:
        """What the blocks read of a prompt: context (b, l, caption channels), every token counts. ShapeError."""
        if context.ndim != 3 or context.shape[-1] != self.config.caption_channels:
            raise ShapeError(
                f"the refiner's prompt must be (b, l, {self.config.caption_channels}), got {tuple(context.shape)}; "
                "encode it with the CLIP of Load LTX-2 Refiner, not with stage 1's text encoder"
            )
        project = self.caption_projection
        text = project.linear_2(F.gelu(project.linear_1(context), approximate="tanh"))
        return PromptKeys(tuple(block.text_keys(text) for block in self.transformer_blocks))

    def level(self, sigma: float, dtype: torch.dtype, device=None) -> Level:
        """Modulation of a noise level in [0, 1], in the dtype of the activations."""
        return self.time_embed(torch.tensor(sigma * 1000, dtype=torch.float32, device=device), dtype)

    def rotation(self, start: int, grid: tuple[int, int, int], fps: float, device=None) -> Rotation:
        """Angles of the latents of `grid` = (t, h, w), of which the first frame has the absolute index `start`."""
        config = self.config
        positions = video_positions(start, grid, config.stride, fps, device)
        return rotation_of(
            positions, config.rope_span, config.num_heads, config.head_dim,
            theta=config.rope_theta, double=config.rope_double,
        )  # fmt: skip

    def forward(
        self,
        parts: Sequence[Part],
        prompt: PromptKeys,
        ring: KVRing | None = None,
        *,
        attend: Attend = softmax_attention,
        kernels: Kernels | None = None,
        walk: Walk = iter,
    ) -> list[Tensor]:
        """Velocity of each part, like its x. A part's keys and values go into the ring before the next part looks.

        kernels: what to compute with, by default what the device can do; `attend` takes the place of theirs.
        walk: gives the blocks one by one; a host brings the weights of the next over meanwhile.
        """
        for part in parts:
            self._check(part.x)
        x = self.proj_in(torch.cat([rearrange(part.x, "b c t h w -> b (t h w) c") for part in parts], 1))
        kernels = replace(kernels or kernels_for(x, self.config.hidden_size, self.config.head_dim), attend=attend)
        for layer, (block, text) in enumerate(zip(walk(self.transformer_blocks), prompt.blocks)):
            x = block(x, parts, text, ring, layer, kernels)
        shift, scale = zip(*(self.scale_shift_table.to(x) + part.level.last.to(x) for part in parts))
        out = self.proj_out(modulated(F.layer_norm(x, x.shape[-1:], eps=1e-6), parts, shift, scale))
        grids = [dict(zip("thw", part.x.shape[2:])) for part in parts]
        return [rearrange(y, "b (t h w) c -> b c t h w", **g) for y, g in zip(part_by_part(out, parts), grids)]

    def _check(self, x: Tensor) -> None:
        if x.ndim != 5 or x.shape[1] != self.config.in_channels:
            raise ShapeError(
                f"latents must be (b, {self.config.in_channels}, t, h, w), got {tuple(x.shape)}; "
                "refine what the LTX-2 video VAE of SANA-WM encodes, not another model's latents"
            )
