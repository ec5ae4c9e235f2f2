"""The world model: noisy latents, a prompt and a camera in, velocity out. SANA-WM (arXiv 2605.15178) sec. 3.

Inside a chunk every temporal operator looks both ways; across a chunk boundary information only moves forward.
`chunks=(t,)` is the dense model, several chunks the chunk-causal teacher, one chunk a call with `past` the streaming one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..attention import Attend, softmax_attention
from ..config import DiTConfig
from ..errors import ShapeError
from ..kernels import Kernels, kernels_for
from ..kv_window import KVWindow
from ..positions import ray_geometry, rotation_table
from ..shapes import check_chunks, check_keep
from .block import Block, TextKeys
from .embed import CaptionEmbed, FinalLayer, PatchEmbed, TimestepEmbed
from .mixers import Geometry
from .state import BlockState, GDNState, WorldState


@dataclass(frozen=True, eq=False)
class WorldPrompt:
    """A prompt as every block reads it, and which of its tokens count. Does not depend on noise, camera or frame."""

    blocks: tuple[TextKeys, ...]
    mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class WorldConditions:
    """What the frames of one call are to show.

    text (b, l, caption channels), text_mask (b, l) True = counts, or None; raymap (b, t, 20) and plucker
    (b, 48, t, h, w) as `camera.build_conditions` makes them, sliced to the call's frames; None leaves that path out.
    What the model makes of a text and of a raymap is the same in every step: a caller may make it once, by
    `WorldDiT.read_prompt` in place of text and mask, and by `WorldDiT.place` as geometry of the same frames.
    """

    text: Tensor | WorldPrompt
    text_mask: Tensor | None = None
    raymap: Tensor | None = None
    plucker: Tensor | None = None
    geometry: Geometry | None = None


class WorldDiT(nn.Module):
    """Velocity of the flow from noise to video. Weighted layers come from `operations` (torch.nn or a host's own)."""

    def __init__(
        self, config: DiTConfig, operations=nn, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ):
        super().__init__()
        self.config = config
        factory = {"dtype": dtype, "device": device}
        c, patch = config.hidden_size, config.patch_size
        self.x_embedder = PatchEmbed(config.in_channels, c, patch, operations, **factory)
        self.plucker_embedder = PatchEmbed(config.plucker_channels, c, patch, operations, **factory)
        self.t_embedder = TimestepEmbed(c, operations, **factory)
        self.t_block = nn.Sequential(nn.SiLU(), operations.Linear(c, 6 * c, **factory))
        self.y_embedder = CaptionEmbed(config.caption_channels, c, operations, **factory)
        self.attention_y_norm = operations.RMSNorm(c, eps=config.norm_eps_qk, **factory)
        self.blocks = nn.ModuleList(Block(config, i, operations, **factory) for i in range(config.depth))
        self.final_layer = FinalLayer(c, config.in_channels, patch, operations, **factory)

    def begin(self, *, window: int = 2, keeps_sink: bool = True) -> WorldState:
        """The state before the first frame of a stream; window counts chunks (the sink is one of them), -1 = all."""
        empty = KVWindow((), window, keeps_sink)
        kinds = (empty if self.config.uses_softmax(i) else GDNState() for i in range(self.config.depth))
        return WorldState(tuple(BlockState(kind) for kind in kinds))

    def tokens_of(self, x: Tensor) -> tuple[int, int, int]:
        """Tokens (t, h, w) of latents x (b, c, t, h, w)."""
        return tuple(n // p for n, p in zip(x.shape[2:], self.config.patch_size))

    def read_prompt(self, text: Tensor, mask: Tensor | None = None) -> WorldPrompt:
        """What all blocks read of a prompt (b, l, caption channels) in the dtype of the activations; mask (b, l). ShapeError."""
        if text.ndim != 3 or text.shape[-1] != self.config.caption_channels:
            raise ShapeError(
                f"the prompt embedding must be (b, l, {self.config.caption_channels}), got {tuple(text.shape)}; "
                "encode the prompt with the text encoder that belongs to this model"
            )
        embedded = self.attention_y_norm(self.y_embedder(text))
        return WorldPrompt(tuple(block.cross_attn.keys(embedded) for block in self.blocks), mask)

    def place(self, raymap: Tensor | None, grid: tuple[int, int, int], first_frame: int = 0, device=None) -> Geometry:
        """Where the tokens of `grid` = (t, h, w) are, and the rays that they see along: raymap (b, t, 20) or None.

        first_frame: latent frames before them, `past.frames`.
        """
        head = self.config.head_dim
        rotation = rotation_table(grid, head, first_frame=first_frame, device=device)
        if raymap is None:
            return Geometry(rotation, None)
        half = rotation_table(grid, head, turned=head // 2, first_frame=first_frame, device=device)
        return Geometry(rotation, ray_geometry(raymap.to(device), grid, self.config.patch_size, half))

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        cond: WorldConditions,
        *,
        chunks: tuple[int, ...] | None = None,
        past: WorldState | None = None,
        keep: int | None = None,
        attend: Attend = softmax_attention,
        kernels: Kernels | None = None,
    ) -> tuple[Tensor, WorldState | None]:
        """Velocity noise - x0 of x at noise level sigma, and the state after it (None without `past`).

        x (b, c, t, h, w), sigma (b, t) in [0, 1] per latent frame, chunks defaults to one chunk. The result is like x.
        keep: the state is that after the first `keep` frames, all by default, which must end a chunk. kernels: what to
        compute with, by default what the device can do; `attend` takes the place of theirs.
        """
        grid = self._grid(x, sigma, cond)
        chunks = chunks or (grid[0],)
        check_chunks(chunks, grid[0])
        keep = keep or grid[0]
        check_keep(chunks, keep)
        kernels = replace(kernels or kernels_for(x, self.config.hidden_size, self.config.head_dim), attend=attend)
        dtype = x.dtype
        time = self.t_embedder(sigma, dtype)
        modulation = self.t_block(time).unflatten(-1, (6, -1))
        prompt = cond.text
        if not isinstance(prompt, WorldPrompt):
            prompt = self.read_prompt(prompt.to(dtype), cond.text_mask)
        geometry = cond.geometry or self.place(cond.raymap, grid, past.frames if past else 0, x.device)
        plucker = None if cond.plucker is None else self.plucker_embedder(cond.plucker.to(dtype))
        x = self.x_embedder(x)
        states = []
        for i, block in enumerate(self.blocks):
            seen = plucker if i < self.config.plucker_blocks else None
            text = prompt.blocks[i], prompt.mask
            x, state = block(x, modulation, *text, geometry, seen, grid[1:], chunks, past and past.blocks[i], keep, kernels)
            if past is not None:
                states.append(state)
        velocity = self.final_layer(x, time, grid[1], kernels)
        return velocity, None if past is None else WorldState(tuple(states), past.frames + keep)

    def _grid(self, x: Tensor, sigma: Tensor, cond: WorldConditions) -> tuple[int, int, int]:
        """Tokens (t, h, w) of x; ShapeError names what does not fit."""
        config = self.config
        if x.ndim != 5 or x.shape[1] != config.in_channels:
            raise ShapeError(
                f"latents must be (b, {config.in_channels}, t, h, w), got {tuple(x.shape)}; "
                "use the video VAE that belongs to this model"
            )
        if any(n % p for n, p in zip(x.shape[2:], config.patch_size)):
            raise ShapeError(
                f"latent (t, h, w) must be multiples of {config.patch_size}, got {tuple(x.shape[2:])}; "
                "choose a width and height of the video that are so many times the VAE's stride"
            )
        b, t = x.shape[0], x.shape[2]
        if tuple(sigma.shape) != (b, t):
            raise ShapeError(f"sigma must be one level per latent frame, {(b, t)}, got {tuple(sigma.shape)}")
        if cond.raymap is not None and tuple(cond.raymap.shape[1:]) != (t, 20):
            raise ShapeError(
                f"the camera must have {t} latent frames, raymap (b, {t}, 20), got {tuple(cond.raymap.shape)}"
            )
        wanted = (config.plucker_channels, *x.shape[2:])
        if cond.plucker is not None and tuple(cond.plucker.shape[1:]) != wanted:
            raise ShapeError(f"the Pluecker volume must be (b, {wanted}), got {tuple(cond.plucker.shape)}")
        return self.tokens_of(x)
