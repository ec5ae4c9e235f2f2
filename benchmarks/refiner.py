"""The refiner's loop once its window is full: each call of a side makes the next block of one long clip. Random weights.

What is computed once a prompt, our keys and values of the text, lies outside a block and is a case of its own; diffusers
computes them in every pass.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaWMLTX2RefinerTransformer3DModel
from diffusers.pipelines.sana_wm.refiner import SanaWMLTX2Refiner
from einops import rearrange
from torch import Tensor, nn

from wm_core.checkpoint.layouts import refiner_names
from wm_core.config import RELEASED_REFINING, RefinerConfig
from wm_core.refiner import VideoRefiner
from wm_core.refiner.block_swap import swap_blocks
from wm_core.refiner.memory import RefinerMemory, refiner_memory
from wm_core.sampling.refining import begin_refining, block_spans, refine, refine_block, refiner_stage, settled

from .measure import SIDES, Pair, allocator_peak

FPS = 16.0
WARM_UP = 5  # blocks; the fifth is the first that looks back at a full window
BLOCKS = 40  # of the clip


@dataclass(frozen=True)
class Size:
    """grid: (h, w) of the latents. caption is to the width as in the released model, or the text would cost too much."""

    config: RefinerConfig
    grid: tuple[int, int]
    text: int = 1024  # tokens of the prompt


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
    clip = _Clip(size, device, dtype)
    return Pair(_warm(_TheirLoop(theirs, clip)), _warm(_OurLoop(ours, clip)))


def merging(size: str, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Ours, and in place of theirs ours with the pass that leaves keys and values by itself."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    model, clip = _models(size.config, device, dtype)[1], _Clip(size, device, dtype)
    return Pair(_warm(_OurLoop(model, clip, merged=False)), _warm(_OurLoop(model, clip)))


def swapping(size: str, resident: int, device: str = "cpu", dtype: str = "float32") -> Pair:
    """Ours with `resident` blocks on the device, and in place of theirs ours with all of them."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    model, clip = _models(size.config, device, dtype)[1], _Clip(size, device, dtype)
    swapped = _sharing({name: weight.cpu() for name, weight in model.state_dict().items()}, size.config)
    swap_blocks(swapped, resident, device)
    for parameter in swapped.parameters():  # of what stays
        parameter.data = parameter.data.to(device)
    return Pair(_warm(_OurLoop(model, clip)), _warm(_OurLoop(swapped, clip)))


def prompt_keys(size: str, device: str = "cpu", dtype: str = "float32") -> Pair:
    """K (b, l, c) of the last layer, with all that comes before it: ours once, theirs in each pass of one block."""
    size, dtype = SIZES[size], getattr(torch, dtype)
    theirs, ours = _models(size.config, device, dtype)
    context = _Clip(size, device, dtype).context

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
    models, clip = _models(size.config), _Clip(size)
    loops = _warm(_TheirLoop(models[0], clip)), _warm(_OurLoop(models[1], clip))
    return {side: _forwards(*of, blocks) / blocks for side, *of in zip(SIDES, models, loops)}


@torch.no_grad()
def count_kept_frames(size: str) -> dict[str, float]:
    """Latent frames of K and V of all layers that stay in memory between two blocks, from the bytes of their storages."""
    size = SIZES[size]
    models, clip = _models(size.config), _Clip(size)
    theirs, ours = _warm(_TheirLoop(models[0], clip)), _warm(_OurLoop(models[1], clip))
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
    clip = _Clip(size)
    latents = clip.latents[:, :, :frames]

    def whole() -> None:
        model = _filled(VideoRefiner(size.config))
        prompt, recipe = model.prompt_keys(clip.context), RELEASED_REFINING
        for _ in refine(refiner_stage(model), latents, prompt, clip.draw(), fps=FPS, recipe=recipe):
            pass

    said: RefinerMemory = refiner_memory(
        size.config, RELEASED_REFINING, (frames, *size.grid), weight_bytes=4, itemsize=4, context_tokens=size.text
    )
    return {"said": said.resident / 2**20, "measured": allocator_peak(whole) / 2**20}


class _Clip:
    """Stage 1's latents (1, c, t, h, w), the context (1, l, c) and the noise, the same for every side."""

    def __init__(self, size: Size, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        g = torch.Generator().manual_seed(0)
        frames = RELEASED_REFINING.sink + BLOCKS * RELEASED_REFINING.block
        made = lambda *shape: torch.randn(shape, generator=g).to(device, dtype)
        self.latents = made(1, size.config.in_channels, frames, *size.grid)
        self.context = made(1, size.text, size.config.caption_channels)
        self.tokens = size.grid[0] * size.grid[1]
        self._dtype = dtype

    def generator(self) -> torch.Generator:
        """Of the noise of all blocks in turn."""
        return torch.Generator().manual_seed(1)

    def draw(self) -> Callable[[int, tuple[int, ...]], Tensor]:
        generator = self.generator()
        return lambda start, shape: torch.randn(shape, generator=generator, dtype=self._dtype)


class _OurLoop:
    """Refines the clip block by block. merged: whether a block leaves its keys and values with the next one's first step."""

    def __init__(self, model: VideoRefiner, clip: _Clip, *, merged: bool = True) -> None:
        recipe = RELEASED_REFINING
        self._clip, self._draw, self._merged = clip, clip.draw(), merged
        self._stage = refiner_stage(model)
        self._prompt = self._stage.prompt_keys(clip.context)
        self._spans = iter(block_spans(range(recipe.sink, clip.latents.shape[2]), recipe.block))
        self.state = begin_refining(self._stage, clip.latents[:, :, : recipe.sink], FPS, recipe)

    def __call__(self) -> Tensor:
        span = next(self._spans)
        draft = self._clip.latents[:, :, span.start : span.stop]
        noise = self._draw(span.start, tuple(draft.shape)).to(draft.device)
        refined, self.state = refine_block(self._stage, self.state, draft, span.start, noise, self._prompt)
        if not self._merged:
            self.state = settled(self._stage, self.state)
        return refined


class _TheirLoop:
    """diffusers' loop, which refines a whole clip in one call: in a thread of its own, held after every block."""

    def __init__(self, model: nn.Module, clip: _Clip) -> None:
        self.cache = None
        self._refined: Tensor | None = None
        self._go, self._made = threading.Semaphore(0), queue.SimpleQueue()
        self._model, self._clip, self._threads = model, clip, torch.get_num_threads()
        threading.Thread(target=self._run, daemon=True).start()  # it ends with the process, or with the clip

    def __call__(self) -> Tensor:
        self._go.release()
        made = self._made.get()
        if made is None:
            raise RuntimeError("diffusers' loop has ended, with the clip or with the error above")
        return made

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # a new thread does not always know
        try:
            self._refine()
        finally:
            self._made.put(None)

    def _refine(self) -> None:
        clip, recipe = self._clip, asdict(RELEASED_REFINING)
        pipeline = _HeldRefiner(self._model, None, None, None, FlowMatchEulerDiscreteScheduler(shift=1.0))
        pipeline.encoded = clip.context, torch.ones(clip.context.shape[:2], device=clip.context.device)
        pipeline.after_block = self._hold
        self._model.register_forward_pre_hook(self._see, with_kwargs=True)
        self._go.acquire()
        pipeline(
            clip.latents, "", fps=FPS, sink_size=recipe["sink"], generator=clip.generator(), block_size=recipe["block"],
            kv_max_frames=recipe["window"], sigmas=recipe["sigmas"], output_type="latent",
        )  # fmt: skip

    def _see(self, model: nn.Module, arguments: tuple, given: dict) -> None:
        """The last pass of a block is given the refined latents, (b, t h w, c)."""
        self.cache, self._refined = given["kv_cache"], given["hidden_states"]

    def _hold(self) -> None:
        h, w = self._clip.latents.shape[3:]
        self._made.put(rearrange(self._refined, "b (t h w) c -> b c t h w", h=h, w=w))
        self._go.acquire()


class _HeldRefiner(SanaWMLTX2Refiner):
    """Reads its prompt from `encoded` and calls `after_block` where it would move its progress bar."""

    def _encode_prompt(self, prompt: str, *, device, dtype) -> tuple[Tensor, Tensor]:
        return self.encoded

    def progress_bar(self, iterable=None, total=None):
        return nullcontext(SimpleNamespace(update=self.after_block))


def _warm(loop: Callable[[], Tensor]) -> Callable[[], Tensor]:
    with torch.no_grad():
        for _ in range(WARM_UP):
            loop()
    return loop


def _forwards(model: nn.Module, loop: Callable[[], Tensor], blocks: int) -> int:
    calls = []
    watch = model.register_forward_pre_hook(lambda *_: calls.append(1))
    for _ in range(blocks):
        loop()
    watch.remove()
    return len(calls)


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
    theirs = _filled(theirs.to(dtype).to_empty(device=device))
    weights = theirs.state_dict()
    return theirs, _sharing({name: weights[key] for name, key in refiner_names(weights).items()}, config)


def _sharing(weights: dict[str, Tensor], config: RefinerConfig) -> VideoRefiner:
    model = VideoRefiner(config, device="meta")
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _filled(model: nn.Module) -> nn.Module:
    """Every parameter drawn, so that no path is dead."""
    g = None
    for name, p in model.named_parameters():
        g = g or torch.Generator(p.device).manual_seed(0)
        p.normal_(0, 0.3 if p.ndim < 2 else p[0].numel() ** -0.5, generator=g)
        if ".norm_" in name:
            p.add_(1)
    return model.eval().requires_grad_(False)


def _bytes_behind(tensors: Iterable[Tensor]) -> int:
    storages = [x.untyped_storage() for x in tensors]
    return sum({x.data_ptr(): x.nbytes() for x in storages}.values())
