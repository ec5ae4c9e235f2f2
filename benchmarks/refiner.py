"""The refiner's loop once its window is full: each call of a side makes the next block of one long clip. Random weights.

What is computed once a prompt, our keys and values of the text, lies outside a block and is a case of its own; diffusers
computes them in every pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from diffusers import SanaWMLTX2RefinerTransformer3DModel
from torch import Tensor

from wm_core.checkpoint.layouts import refiner_names
from wm_core.config import RELEASED_REFINING, RefinerConfig
from wm_core.refiner import VideoRefiner
from wm_core.refiner.block_swap import swap_blocks
from wm_core.refiner.memory import RefinerMemory, refiner_memory
from wm_core.sampling.refining import refine, refiner_stage

from .measure import SIDES, Pair, allocator_peak
from .random_models import filled
from .refiner_loops import FPS, Clip, OurLoop, TheirLoop, count_forwards, warm


@dataclass(frozen=True)
class Size:
    """grid: (h, w) of the latents. caption is to the width as in the released model, or the text would cost too much."""

    config: RefinerConfig
    grid: tuple[int, int]
    text: int = 1024  # tokens of the prompt

    def clip(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Clip:
        return Clip(self.config, self.grid, self.text, device, dtype)


SIZES = {
    "tiny": Size(RefinerConfig("split", depth=2, num_heads=2, head_dim=8, caption_channels=15), (2, 3), text=7),
    "toy": Size(RefinerConfig("split", depth=4, num_heads=8, head_dim=64, caption_channels=480), (6, 10)),
    "toy, short text": Size(
        RefinerConfig("split", depth=4, num_heads=8, head_dim=64, caption_channels=480), (6, 10), 64
    ),
    "interleaved": Size(RefinerConfig("interleaved", depth=3, num_heads=6, head_dim=64, caption_channels=360), (8, 9)),
    "released": Size(RefinerConfig("split"), (22, 40)),
}


def block(size: str, device: str = "cpu", dtype: str = "float32") -> Pair:
    """The next refined block (b, c, t, h, w)."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    theirs, ours = _models(size.config, device, dtype)
    clip = size.clip(device, dtype)
    our_loop = warm(OurLoop(ours, clip))
    loop = TheirLoop(theirs, clip)  # last: its thread would keep the models if anything failed behind it
    return Pair(warm(loop), our_loop, end=loop.close)


def merging(size: str, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Ours, and in place of theirs ours with the pass that leaves keys and values by itself."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    model, clip = _models(size.config, device, dtype)[1], size.clip(device, dtype)
    return Pair(warm(OurLoop(model, clip, merged=False)), warm(OurLoop(model, clip)))


def swapping(size: str, resident: int, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Ours with `resident` blocks on the device, and in place of theirs ours with all of them."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    model, clip = _models(size.config, device, dtype)[1], size.clip(device, dtype)
    swapped = _sharing({name: weight.cpu() for name, weight in model.state_dict().items()}, size.config)
    swap_blocks(swapped, resident, device)
    for parameter in swapped.parameters():  # of what stays
        parameter.data = parameter.data.to(device)
    return Pair(warm(OurLoop(model, clip)), warm(OurLoop(swapped, clip)))


def prompt_keys(size: str, device: str = "cpu", dtype: str = "float32") -> Pair:
    """K (b, l, c) of the last layer, with all that comes before it: ours once, theirs in each pass of one block."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    theirs, ours = _models(size.config, device, dtype)
    context = size.clip(device, dtype).context

    def in_each_pass() -> Tensor:
        for _ in range(len(RELEASED_REFINING.sigmas)):  # a pass for each step, one for the history
            text = theirs.caption_projection(context)
            kept = [(x.attn2.norm_k(x.attn2.to_k(text)), x.attn2.to_v(text)) for x in theirs.transformer_blocks]
        return kept[-1][0]

    return Pair(in_each_pass, lambda: ours.prompt_keys(context).blocks[-1][0].flatten(2))


@torch.no_grad()
def count_passes(size: str, blocks: int = 3) -> dict[str, float]:
    """Forwards through the whole model for one block, from calls that were made."""
    size = SIZES[size]
    models, clip = _models(size.config), size.clip()
    loops = warm(TheirLoop(models[0], clip)), warm(OurLoop(models[1], clip))
    return {side: count_forwards(*of, blocks) / blocks for side, *of in zip(SIDES, models, loops)}


@torch.no_grad()
def count_kept_frames(size: str) -> dict[str, float]:
    """Latent frames of K and V of all layers that stay in memory between two blocks, from the bytes of their storages."""
    size = SIZES[size]
    models, clip = _models(size.config), size.clip()
    theirs, ours = warm(TheirLoop(models[0], clip)), warm(OurLoop(models[1], clip))
    a_frame = 2 * size.config.depth * clip.tokens * size.config.hidden_size * clip.latents.element_size()
    kept = [tensor for layer in theirs.cache.layer_caches for tensor in vars(layer).values() if tensor is not None]
    return {
        "theirs": _bytes_behind(kept) / a_frame,
        "ours": _bytes_behind(x for layer in ours.state.ring.layers for x in layer) / a_frame,
    }


@torch.no_grad()
def predict_peak(size: str, frames: int) -> dict[str, float]:
    """What memory.py says of a whole refinement of `frames` latents and what the allocator gave out at most, MiB; without the clip."""
    size = SIZES[size]
    clip = size.clip()
    latents = clip.latents[:, :, :frames]

    def whole() -> None:
        model = filled(VideoRefiner(size.config))
        prompt, recipe = model.prompt_keys(clip.context), RELEASED_REFINING
        for _ in refine(refiner_stage(model), latents, prompt, clip.draw(), fps=FPS, recipe=recipe):
            pass

    said: RefinerMemory = refiner_memory(
        size.config, RELEASED_REFINING, (frames, *size.grid), weight_bytes=4, itemsize=4, context_tokens=size.text
    )
    return {"said": said.resident / 2**20, "measured": allocator_peak(whole) / 2**20}


def _models(
    config: RefinerConfig, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[SanaWMLTX2RefinerTransformer3DModel, VideoRefiner]:
    """diffusers' and ours, with the same weights in the same memory. Audio, which neither runs, is small."""
    with torch.device("meta"):
        theirs = SanaWMLTX2RefinerTransformer3DModel(
            in_channels=config.in_channels, out_channels=config.out_channels, num_layers=config.depth,
            num_attention_heads=config.num_heads, attention_head_dim=config.head_dim,
            cross_attention_dim=config.hidden_size, caption_channels=config.caption_channels, rope_type=config.rope,
            audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=2, audio_attention_head_dim=4,
            audio_cross_attention_dim=8,
        )  # fmt: skip
    theirs = filled(theirs.to(dtype).to_empty(device=device))
    weights = theirs.state_dict()
    return theirs, _sharing({name: weights[key] for name, key in refiner_names(weights).items()}, config)


def _sharing(weights: dict[str, Tensor], config: RefinerConfig) -> VideoRefiner:
    model = VideoRefiner(config, device="meta")
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)


def _bytes_behind(tensors: Iterable[Tensor]) -> int:
    storages = [x.untyped_storage() for x in tensors]
    return sum({x.data_ptr(): x.nbytes() for x in storages}.values())
