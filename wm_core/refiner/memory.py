"""How many bytes a refinement needs at once, from sizes alone: known before anything is loaded.

The peak is in a feed-forward layer of the merged forward: hidden states twice, once modulated, the wide middle before and after
its activation; beside them angles, the window and one layer's keys and values side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import RefinerConfig, RefinerRecipe
from .attention import FFN_TOKENS
from .connectors import CONTEXT_TOKENS
from .kv_ring import RingSize

SLOTS = 2  # swapped blocks that are on the device at once: the one that runs and the next


@dataclass(frozen=True)
class RefinerMemory:
    """Bytes, all at once at the peak. window and weights may lie elsewhere than the rest, see `resident`."""

    weights: int
    window: int  # K and V of the sink and the history
    text: int  # K and V of the prompt
    scratch: int  # K and V of one layer, side by side
    activations: int
    swapped: int = 0  # of the weights, what rests in the computer's memory
    slots: int = 0  # of the weights, where those that rest take turns
    window_is_on_device: bool = True

    @property
    def resident(self) -> int:
        """What the device holds at the peak."""
        window = self.window if self.window_is_on_device else 0
        return self.weights - self.swapped + window + self.text + self.scratch + self.activations

    @property
    def elsewhere(self) -> int:
        """What rests in the computer's memory."""
        return self.swapped + (0 if self.window_is_on_device else self.window)


def block_weights(config: RefinerConfig) -> int:
    """Parameters of one block."""
    c = config.hidden_size
    attention = 4 * (c * c + c) + 2 * c
    feed_forward = 2 * config.mlp_ratio * c * c + (config.mlp_ratio + 1) * c
    return 2 * attention + feed_forward + 6 * c


def all_weights(config: RefinerConfig) -> int:
    """Parameters of the whole model, its video path."""
    c = config.hidden_size
    outside = c * (config.in_channels + 1) + config.out_channels * (c + 1) + 2 * c
    prompt = c * (config.caption_channels + 1) + c * (c + 1)
    time = c * 257 + c * (c + 1) + 6 * c * (c + 1)
    return config.depth * block_weights(config) + outside + prompt + time


def refiner_memory(
    config: RefinerConfig,
    recipe: RefinerRecipe,
    grid: tuple[int, int, int],
    *,
    weight_bytes: float,
    itemsize: int,
    context_tokens: int = CONTEXT_TOKENS,
    resident_blocks: int | None = None,
    window_is_on_device: bool = True,
) -> RefinerMemory:
    """Of refining latents of grid = (t, h, w). weight_bytes: of one weight; itemsize: of an activation.

    resident_blocks: how many blocks stay on the device, None for all; see block_swap.
    """
    frames, tokens = grid[0] - recipe.sink, grid[1] * grid[2]
    block = min(recipe.block, frames) if recipe.block else frames
    size = RingSize(tokens, recipe.sink, min(recipe.history, frames) if recipe.block else 0)
    merged = block + (recipe.sink if block == frames else block)
    weights = round(all_weights(config) * weight_bytes)
    kept = config.depth if resident_blocks is None else min(resident_blocks, config.depth)
    away = config.depth - kept
    slots = min(SLOTS, away)
    a_block = block_weights(config) * weight_bytes
    return RefinerMemory(
        weights=weights,
        window=size.bytes_held(config, itemsize),
        text=2 * config.depth * context_tokens * config.hidden_size * itemsize,
        scratch=size.scratch_bytes(config, block, itemsize),
        activations=_activations(config, recipe, block * tokens, merged * tokens, tokens, itemsize),
        swapped=round((away - slots) * a_block),
        slots=round(slots * a_block),
        window_is_on_device=window_is_on_device,
    )


def _activations(
    config: RefinerConfig, recipe: RefinerRecipe, own: int, merged: int, tokens: int, itemsize: int
) -> int:
    """own and merged: tokens of a block and of all that goes through the model with it."""
    c = config.hidden_size
    at_once = min(merged, FFN_TOKENS)
    hidden = (3 * merged + 2 * at_once * config.mlp_ratio + (merged if merged > at_once else 0)) * c * itemsize
    sinks = recipe.sink * tokens
    tables = 2 if config.rope == "interleaved" else 1  # cos and sin, and for neighbours the same as complex numbers
    angles = (merged + 2 * sinks) * c * 4 * tables
    latents = 5 * own * config.in_channels * 4
    levels = len(recipe.sigmas) * 7 * c * itemsize
    return hidden + angles + latents + levels
