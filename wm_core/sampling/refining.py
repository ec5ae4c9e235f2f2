"""Refining stage 1's latents block by block. SANA-WM (arXiv 2605.15178) sec. 4.4.

A block starts as a mixture of its draft and noise, takes a few Euler steps, and then leaves its keys and values for the blocks
after it. That last forward and the first step of the next block go through the weights together, so a block costs as many
passes over the weights as it has steps. The single-shot pass is the same with one block for the whole clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention import Attend, softmax_attention
from ..config import RefinerRecipe
from ..errors import ConfigError, ShapeError
from ..refiner import Keeps, KVRing, Level, Part, Past, PromptKeys, RingSize, Rotation, VideoRefiner
from .euler import OnStep

Grid = tuple[int, int, int]
Draw = Callable[[int, tuple[int, ...]], Tensor]  # noise of the block that begins at a latent frame, of a shape


@dataclass(frozen=True, eq=False)
class RefinerStage:
    """The refiner as plain functions, so that a host can put its own loading and casting around them.

    forward(parts, prompt, ring): a velocity for each part. ring(size, batch): an empty one where the model computes.
    """

    forward: Callable[[Sequence[Part], PromptKeys, KVRing], list[Tensor]]
    prompt_keys: Callable[[Tensor], PromptKeys]
    level: Callable[[float], Level]
    rotation: Callable[[int, Grid, float], Rotation]
    ring: Callable[[RingSize, int], KVRing]


def refiner_stage(model: VideoRefiner, *, attend: Attend = softmax_attention) -> RefinerStage:
    """Stage of a model that lies where the latents lie."""
    weight = model.proj_in.weight
    dtype, device = weight.dtype, weight.device

    def forward(parts: Sequence[Part], prompt: PromptKeys, ring: KVRing) -> list[Tensor]:
        cast = [replace(part, x=part.x.to(dtype)) for part in parts]
        return [v.to(part.x.dtype) for v, part in zip(model(cast, prompt, ring, attend=attend), parts)]

    return RefinerStage(
        forward=forward,
        prompt_keys=lambda context: model.prompt_keys(context.to(device, dtype)),
        level=lambda sigma: model.level(sigma, dtype, device),
        rotation=lambda start, grid, fps: model.rotation(start, grid, fps, device),
        ring=lambda size, batch: KVRing(model.config, size, dtype=dtype, device=device, batch=batch),
    )


@dataclass(frozen=True, eq=False)
class Refining:
    """A refinement between two blocks.

    Going on from it writes into its ring, so it can be gone on from once. held: frames whose keys and values the ring has.
    waiting: what has not left its own yet, the sink before the first block and later the last block; read with `prompt`.
    """

    ring: KVRing
    recipe: RefinerRecipe
    fps: float
    levels: Mapping[float, Level]
    held: range
    waiting: Part | None
    prompt: PromptKeys | None = None
    turn: int = 0
    next: int = 0  # the latent frame behind the last refined one; before the first block, behind the sink

    @property
    def is_fresh(self) -> bool:
        """Whether it can still be gone on from."""
        return self.ring.turn == self.turn


def begin_refining(
    stage: RefinerStage, sink: Tensor, fps: float, recipe: RefinerRecipe, *, frames: int | None = None
) -> Refining:
    """Before the first block. sink: the clip's first latent frames as stage 1 has them, (b, c, recipe.sink, h, w).

    frames: how many will be refined, if that is known; the ring need not hold more.
    """
    if sink.ndim != 5 or sink.shape[2] != recipe.sink:
        raise ShapeError(f"the sink must be (b, c, {recipe.sink}, h, w), got {tuple(sink.shape)}")
    if not 0 < fps < math.inf:
        raise ConfigError(f"fps must be positive, got {fps}; SANA-WM's videos have 16 frames a second")
    history = recipe.history if frames is None else min(recipe.history, frames)
    size = RingSize(sink.shape[3] * sink.shape[4], recipe.sink, history if recipe.block else 0)
    ring = stage.ring(size, sink.shape[0])  # first: it is the largest, and a host makes room for it
    levels = {sigma: stage.level(sigma) for sigma in recipe.sigmas}
    rotation = stage.rotation(0, tuple(sink.shape[2:]), fps)
    waiting = Part(sink, 0, levels[0.0], rotation, keeps=Keeps.SINK)
    return Refining(ring, recipe, fps, levels, range(0), waiting, next=recipe.sink)


@torch.no_grad()
def refine_block(
    stage: RefinerStage,
    state: Refining,
    draft: Tensor,
    start: int,
    noise: Tensor,
    prompt: PromptKeys,
    *,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Refining]:
    """The refined block of draft (b, c, t, h, w), float32, and the state after it. `start`: its first latent frame.

    It must follow the block before it; the first may begin anywhere behind the sink. on_step(i, x) after step i.
    """
    if state.waiting is not None and state.prompt is not prompt and state.prompt is not None:
        state = settled(stage, state)
    state = _taken(state)
    recipe, held = state.recipe, _held_after(state)
    _check_block(state, draft, start, noise, held)
    part = block_part(stage, replace(state, held=held), draft, start)
    x = (1 - recipe.sigmas[0]) * draft.float() + recipe.sigmas[0] * noise.to(draft.device).float()  # fp32: sigma arithmetic
    for i, (sigma, sigma_next) in enumerate(zip(recipe.sigmas, recipe.sigmas[1:])):
        now = replace(part, x=x, level=state.levels[sigma])
        parts = [state.waiting, now] if i == 0 and state.waiting is not None else [now]
        x = x + (sigma_next - sigma) * stage.forward(parts, prompt, state.ring)[-1].float()
        if on_step is not None:
            on_step(i, x)
    left = replace(part, x=x, level=state.levels[0.0], keeps=Keeps.HISTORY) if state.ring.size.history else None
    return x, replace(state, held=held, waiting=left, prompt=prompt, next=part.frames.stop)


def block_part(stage: RefinerStage, state: Refining, draft: Tensor, start: int) -> Part:
    """The block of draft (b, c, t, h, w) that begins at latent frame `start`, at the recipe's first level, and what it sees."""
    grid = (draft.shape[2], *draft.shape[3:])
    sink_at = start - len(state.held) - state.recipe.sink
    past = Past(state.held, stage.rotation(sink_at, (state.recipe.sink, *grid[1:]), state.fps))
    return Part(draft, start, state.levels[state.recipe.sigmas[0]], stage.rotation(start, grid, state.fps), past)


@torch.no_grad()
def settled(stage: RefinerStage, state: Refining) -> Refining:
    """The state with nothing waiting: its keys and values are in the ring, for one more pass over the weights."""
    if state.waiting is None:
        return state
    state = _taken(state)
    stage.forward([state.waiting], state.prompt, state.ring)
    return replace(state, held=_held_after(state), waiting=None)


def given_block(stage: RefinerStage, state: Refining, refined: Tensor, start: int, prompt: PromptKeys) -> Refining:
    """The state after a block that was refined before: one pass that leaves its keys and values. For resuming."""
    if state.prompt is None:
        state = replace(state, prompt=prompt)
    state = settled(stage, state)
    stop = start + refined.shape[2]
    if not state.ring.size.history:
        return replace(state, next=stop)
    part = block_part(stage, state, refined.float(), start)
    waiting = replace(part, level=state.levels[0.0], keeps=Keeps.HISTORY)
    return replace(state, waiting=waiting, prompt=prompt, next=stop)


def block_spans(frames: range, block: int) -> list[range]:
    """Blocks of latent frames, the last perhaps shorter; block 0 gives one for all."""
    step = block or max(1, len(frames))
    return [range(start, min(start + step, frames.stop)) for start in range(frames.start, frames.stop, step)]


def refine(
    stage: RefinerStage,
    latents: Tensor,
    prompt: PromptKeys,
    draw: Draw,
    *,
    fps: float,
    recipe: RefinerRecipe,
    frames: range | None = None,
    done: Sequence[Tensor] = (),
    on_step: OnStep | None = None,
) -> Iterator[tuple[range, Tensor]]:
    """(frames, refined latents) of one block after another. latents (b, c, t, h, w): the whole clip, as stage 1 left it.

    frames: which to refine, all but the sink by default. The sink is never refined. done: the first blocks, refined before;
    they are given back as they are, for one pass over the weights each. ShapeError if there is nothing to do.
    """
    frames = check_frames(latents, recipe, frames)
    state = begin_refining(stage, latents[:, :, : recipe.sink], fps, recipe, frames=len(frames))
    spans = block_spans(frames, recipe.block)
    for span, refined in zip(spans, done):
        if len(done) < len(spans):
            state = given_block(stage, state, refined, span.start, prompt)
        yield span, refined
    for span in spans[len(done) :]:
        draft = latents[:, :, span.start : span.stop]
        noise = draw(span.start, tuple(draft.shape)).to(draft.device)
        refined, state = refine_block(stage, state, draft, span.start, noise, prompt, on_step=on_step)
        yield span, refined


def check_frames(latents: Tensor, recipe: RefinerRecipe, frames: range | None = None) -> range:
    """The latent frames to refine, inside the clip and behind its sink; ShapeError names what does not fit."""
    total = latents.shape[2] if latents.ndim == 5 else 0
    if total <= recipe.sink:
        raise ShapeError(
            f"a clip must be longer than the sink of {recipe.sink} latent frames, got {tuple(latents.shape)} (b, c, t, h, w); "
            "make a longer clip or a smaller sink"
        )
    frames = frames or range(recipe.sink, total)
    if not recipe.sink <= frames.start < frames.stop <= total:
        raise ShapeError(
            f"latent frames to refine must lie in [{recipe.sink}, {total}), got [{frames.start}, {frames.stop}); "
            "the first frames are the sink and stay as they are"
        )
    if recipe.block > total - recipe.sink:
        raise ShapeError(
            f"a block of {recipe.block} latent frames is larger than the {total - recipe.sink} behind the sink; "
            "choose a smaller block, or a longer clip"
        )
    return frames


def _held_after(state: Refining) -> range:
    """The ring's history once what waits has been written."""
    if state.waiting is None or state.waiting.keeps is Keeps.SINK:
        return state.held
    return state.ring.size.held_after(state.held, state.waiting.frames)


def _taken(state: Refining) -> Refining:
    """The state as its one successor may use it; ConfigError if it had one, whose keys and values are in its ring."""
    if not state.is_fresh:
        raise ConfigError(
            "this refinement was gone on from before, and its keys and values are written over; begin again from the latents"
        )
    state.ring.turn += 1
    return replace(state, turn=state.ring.turn)


def _check_block(state: Refining, draft: Tensor, start: int, noise: Tensor, held: range) -> None:
    if held and start != held.stop or start < state.recipe.sink:
        wanted = f"at latent frame {held.stop}" if held else f"behind the sink of {state.recipe.sink}"
        raise ShapeError(f"the next block must begin {wanted}, got {start}; refine the blocks in order")
    if tuple(noise.shape) != tuple(draft.shape):
        raise ShapeError(f"noise must be {tuple(draft.shape)} like its block, got {tuple(noise.shape)}")
