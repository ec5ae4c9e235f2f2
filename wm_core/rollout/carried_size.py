"""How many bytes the models of a rollout hand from chunk to chunk, from their shapes alone: no weights, no computation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import RELEASED_DIT, RELEASED_VAE, DiTConfig, VAEConfig
from ..dit import WorldConditions, WorldDiT, WorldState
from ..dit.state import GDNState
from ..errors import ConfigError
from ..vae import VideoVAE
from ..vae.blocks import TailExchange
from .session import Recipe

TEXT_TOKENS = 1  # nothing that is carried depends on the prompt


@dataclass(frozen=True)
class CarriedSize:
    """Bytes of a `Carried` by what they are for."""

    recurrence: int  # matrices of the gated-delta blocks, float32
    short_convolutions: int  # the keys before a chunk
    windows: int  # keys and values of the softmax blocks, sink and recent chunks
    feed_forward: int  # the frame before a chunk
    vae_tails: int

    @property
    def total(self) -> int:
        return self.recurrence + self.short_convolutions + self.windows + self.feed_forward + self.vae_tails


@torch.no_grad()
def carried_size(
    grid: tuple[int, int],
    chunks: int,
    *,
    world: DiTConfig = RELEASED_DIT,
    vae: VAEConfig | None = RELEASED_VAE,
    recipe: Recipe | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> CarriedSize:
    """What is carried after `chunks` chunks of latents of grid (h, w), computed in `dtype` without guidance.

    The VAE counts as causal whatever its configuration says; None leaves it out. After recipe.window chunks the size stays.
    """
    if chunks < 1:
        raise ConfigError(f"nothing is carried before the first chunk, got {chunks} chunks")
    state = _state_after(chunks, grid, world, recipe or Recipe(), dtype)
    gdn = [block.mixer for block in state.blocks if isinstance(block.mixer, GDNState)]
    windows = [block.mixer for block in state.blocks if not isinstance(block.mixer, GDNState)]
    return CarriedSize(
        recurrence=_bytes(t for m in gdn for t in (m.kv, m.z, m.camera)),
        short_convolutions=_bytes(t for m in gdn for t in (m.k_tail, m.camera_k_tail)),
        windows=_bytes(t for window in windows for chunk in window.chunks for t in chunk),
        feed_forward=_bytes(block.ffn_tail for block in state.blocks),
        vae_tails=0 if vae is None else _bytes(_tails(vae, grid, dtype)),
    )


def _state_after(
    chunks: int, grid: tuple[int, int], config: DiTConfig, recipe: Recipe, dtype: torch.dtype
) -> WorldState:
    """The state of a model on the meta device, whose tensors have a shape and no content."""
    model = WorldDiT(config, dtype=dtype, device="meta")
    state = model.begin(window=recipe.window, keeps_sink=recipe.keeps_sink)
    empty = lambda *shape: torch.empty(shape, dtype=dtype, device="meta")
    for index in range(chunks):
        start, stop = recipe.span(index)
        t = stop - start
        cond = WorldConditions(
            empty(1, TEXT_TOKENS, config.caption_channels),
            None,
            empty(1, t, 20).float(),
            empty(1, config.plucker_channels, t, *grid).float(),
        )
        sigma = empty(1, t).float()
        _, state = model(empty(1, config.in_channels, t, *grid), sigma, cond, past=state)
    return state


def _tails(config: VAEConfig, grid: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, ...]:
    vae = VideoVAE(replace(config, decoder_causal=True), dtype=dtype, device="meta")
    exchange = TailExchange(None)
    vae.decoder(torch.empty(1, config.latent_channels, 1, *grid, dtype=dtype, device="meta"), exchange)
    return exchange.tails


def _bytes(tensors: Iterator[Tensor | None] | tuple[Tensor, ...]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
