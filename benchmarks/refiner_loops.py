"""Both refiners' loops over one long clip, made so that a call gives the next block."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.sana_wm.refiner import SanaWMLTX2Refiner
from einops import rearrange
from torch import Tensor, nn

from wm_core.config import RELEASED_REFINING, RefinerConfig
from wm_core.refiner import VideoRefiner
from wm_core.sampling.refining import begin_refining, block_spans, refine_block, refiner_stage, settled

FPS = 16.0
WARM_UP = 5  # blocks; the fifth is the first that looks back at a full window
BLOCKS = 40  # of the clip


class Clip:
    """Stage 1's latents (1, c, t, h, w), the context (1, l, c) and the noise, the same for every side."""

    def __init__(
        self, config: RefinerConfig, grid: tuple[int, int], text: int, device: str = "cpu", dtype=torch.float32
    ) -> None:
        g = torch.Generator().manual_seed(0)
        frames = RELEASED_REFINING.sink + BLOCKS * RELEASED_REFINING.block
        made = lambda *shape: torch.randn(shape, generator=g).to(device, dtype)
        self.latents = made(1, config.in_channels, frames, *grid)
        self.context = made(1, text, config.caption_channels)
        self.tokens = grid[0] * grid[1]
        self._dtype = dtype

    def generator(self) -> torch.Generator:
        """Of the noise of all blocks in turn."""
        return torch.Generator().manual_seed(1)

    def draw(self) -> Callable[[int, tuple[int, ...]], Tensor]:
        generator = self.generator()
        return lambda start, shape: torch.randn(shape, generator=generator, dtype=self._dtype)


class OurLoop:
    """Refines the clip block by block. merged: whether a block leaves its keys and values with the next one's first step."""

    def __init__(self, model: VideoRefiner, clip: Clip, *, merged: bool = True) -> None:
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


class TheirLoop:
    """diffusers' loop, which refines a whole clip in one call: in a thread of its own, held after every block."""

    def __init__(self, model: nn.Module, clip: Clip) -> None:
        self.cache = None
        self._refined: Tensor | None = None
        self._go, self._made = threading.Semaphore(0), queue.SimpleQueue()
        self._model, self._clip, self._threads = model, clip, torch.get_num_threads()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __call__(self) -> Tensor:
        self._go.release()
        made = self._made.get()
        if made is None:
            raise RuntimeError("diffusers' loop has ended, with the clip or with the error above")
        return made

    def close(self) -> None:
        """End the thread, which would keep the model for as long as the process lives."""
        self._is_closed = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # a new thread does not always know
        try:
            self._refine()
        except _Closed:
            pass
        finally:
            self._made.put(None)

    def _refine(self) -> None:
        clip, recipe = self._clip, asdict(RELEASED_REFINING)
        pipeline = _HeldRefiner(self._model, None, None, None, FlowMatchEulerDiscreteScheduler(shift=1.0))
        pipeline.encoded = clip.context, torch.ones(clip.context.shape[:2], device=clip.context.device)
        pipeline.after_block = self._hold
        watch = self._model.register_forward_pre_hook(self._see, with_kwargs=True)
        try:
            self._wait()
            pipeline(
                clip.latents, "", fps=FPS, sink_size=recipe["sink"], generator=clip.generator(),
                block_size=recipe["block"], kv_max_frames=recipe["window"], sigmas=recipe["sigmas"], output_type="latent",
            )  # fmt: skip
        finally:
            watch.remove()

    def _see(self, model: nn.Module, arguments: tuple, given: dict) -> None:
        """The last pass of a block is given the refined latents, (b, t h w, c)."""
        self.cache, self._refined = given["kv_cache"], given["hidden_states"]

    def _hold(self) -> None:
        h, w = self._clip.latents.shape[3:]
        self._made.put(rearrange(self._refined, "b (t h w) c -> b c t h w", h=h, w=w))
        self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._is_closed:
            raise _Closed


class _Closed(Exception):
    """The loop is wanted no more."""


class _HeldRefiner(SanaWMLTX2Refiner):
    """Reads its prompt from `encoded` and calls `after_block` where it would move its progress bar."""

    def _encode_prompt(self, prompt: str, *, device, dtype) -> tuple[Tensor, Tensor]:
        return self.encoded

    def progress_bar(self, iterable=None, total=None):
        return nullcontext(SimpleNamespace(update=self.after_block))


def warm(loop: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The loop with its window full."""
    with torch.no_grad():
        for _ in range(WARM_UP):
            loop()
    return loop


def count_forwards(model: nn.Module, loop: Callable[[], Tensor], blocks: int) -> int:
    """Forwards through the model in the next blocks."""
    calls = []
    watch = model.register_forward_pre_hook(lambda *_: calls.append(1))
    for _ in range(blocks):
        loop()
    watch.remove()
    return len(calls)
