"""The second stage: drafts of the first, covered with noise as the refiner's recipe does it, back to the true latents.

Blocks, sink and window are those of `sampling.refining`; a training step is one block at one of the recipe's levels, with
the blocks before it refined by the model itself.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from wm_core.attention import rounded_to_bf16, softmax_attention
from wm_core.config import RefinerConfig, RefinerRecipe
from wm_core.refiner import Part, PromptKeys, VideoRefiner
from wm_core.sampling.refining import (
    RefinerStage,
    Refining,
    begin_refining,
    block_part,
    block_spans,
    refine_block,
    refiner_stage,
    settled,
)

from .clips import FPS
from .drafts import Drafts
from .generate import constant_prompt, refined_latents
from .gradients import Gradients
from .mixed import MIXED
from .settings import Settings
from .train_world import draw_noise, update_average
from .training import Stage

EASY = 0.02  # mean squared error of a draft that is hardly worth refining


def begun_refiner(config: RefinerConfig) -> VideoRefiner:
    """Blocks that start near the identity and an output of zero."""
    refiner = VideoRefiner(config, MIXED)
    for name, p in refiner.named_parameters():
        if name.startswith("proj_out"):
            torch.nn.init.zeros_(p)
        elif name.endswith(("to_out.0.weight", "net.2.weight")):
            p.data.mul_(0.3)
    return refiner


def train_refiner(settings: Settings, folder: Path, minutes: float, of: float | None, device: str) -> None:
    torch.manual_seed(settings.seed + 30)
    recipe = settings.refiner
    refiner = begun_refiner(recipe.model).to(device)
    average = copy.deepcopy(refiner).requires_grad_(False)
    modules = {"refiner": refiner, "average": average}
    plain = [p for name, p in refiner.named_parameters() if "transformer_blocks" not in name]
    stage = Stage("refiner", folder, settings, modules, refiner.parameters(), recipe, minutes, of, plain=plain)
    drafts, held_out = Drafts(folder, "train", device), Drafts(folder, "held_out", device)
    random = torch.Generator(device).manual_seed(settings.seed + stage.step)
    lessons, inner = lessons_of(recipe.recipe, drafts.frames), ready_stage(refiner, recipe.recipe)
    context = constant_prompt(refiner.config).to(device)

    def gather(lesson: Lesson, draft: Tensor, truth: Tensor, noise: Tensor) -> Tensor:
        loss = block_loss(inner, recipe.recipe, lesson, context, draft, truth, noise)
        loss.backward()
        return loss

    gradients = Gradients(gather, stage.trained, device, stage.not_counted)

    def step() -> dict[str, Tensor]:
        draft, truth = drafts.pair(torch.randint(len(drafts), (recipe.batch,), generator=random, device=random.device))
        loss = gradients(lessons[stage.step % len(lessons)], draft, truth, draw_noise(draft, random))
        norm = stage.descend()
        update_average(average, refiner, recipe.average, stage.step)
        return {"loss": loss, "norm": norm}

    stage.train(step, lambda: validate_refiner(average, held_out, recipe.recipe))
    stage.end(lambda: validate_refiner(average, held_out, recipe.recipe))


@dataclass(frozen=True)
class Lesson:
    """One step of one block."""

    spans: tuple[range, ...]  # of latent frames; the last is the block that learns
    step: int


def lessons_of(recipe: RefinerRecipe, frames: int) -> list[Lesson]:
    """Every step of every block."""
    spans, steps = block_spans(range(recipe.sink, frames), recipe.block), len(recipe.sigmas) - 1
    return [Lesson(tuple(spans[: i + 1]), step) for i in range(len(spans)) for step in range(steps)]


def ready_stage(refiner: VideoRefiner, recipe: RefinerRecipe) -> RefinerStage:
    """The refiner's functions with all that comes from Python's numbers made once: no recording may wait for a copy.

    On CUDA attention takes bfloat16, for which there is the faster kernel.
    """
    weight = refiner.proj_in.weight
    stage = refiner_stage(refiner, attend=rounded_to_bf16(softmax_attention) if weight.is_cuda else softmax_attention)
    times = {sigma: torch.tensor(1000 * sigma, device=weight.device) for sigma in recipe.sigmas}
    return replace(
        stage, level=lambda sigma: refiner.time_embed(times[sigma], weight.dtype), rotation=cache(stage.rotation)
    )


def block_loss(
    inner: RefinerStage,
    recipe: RefinerRecipe,
    lesson: Lesson,
    context: Tensor,
    draft: Tensor,
    truth: Tensor,
    noise: Tensor,
) -> Tensor:
    """Loss of a lesson on clips (b, c, t, h, w), each as a share of its draft's error; context: the one prompt (1, l, c)."""
    span, context = lesson.spans[-1], context.expand(len(draft), -1, -1)
    with torch.no_grad():
        prompt = inner.prompt_keys(context)
        state = begin_refining(inner, truth[:, :, : recipe.sink], FPS, recipe, frames=draft.shape[2])
        for before in lesson.spans[:-1]:
            part, covered = (x[:, :, before.start : before.stop] for x in (draft, noise))
            _, state = refine_block(inner, state, part, before.start, covered, prompt)
        state = settled(inner, replace(state, prompt=prompt))
    wanted, sigma = truth[:, :, span.start : span.stop], recipe.sigmas[lesson.step]
    part = block_part(inner, state, draft[:, :, span.start : span.stop], span.start)
    x = _reached(inner, state, part, prompt, lesson.step, noise[:, :, span.start : span.stop])
    prompt = inner.prompt_keys(context)  # now with gradients
    velocity = inner.forward([replace(part, x=x, level=inner.level(sigma))], prompt, state.ring)[0]
    missed = _per_clip(sigma * velocity - (x - wanted))
    return (missed / (_per_clip(draft[:, :, span.start : span.stop] - wanted) + EASY)).mean()


def _per_clip(error: Tensor) -> Tensor:
    """Mean square of (b, c, t, h, w), (b,)."""
    return error.square().mean((1, 2, 3, 4))


@torch.no_grad()
def _reached(inner: RefinerStage, state: Refining, part: Part, prompt: PromptKeys, step: int, noise: Tensor) -> Tensor:
    """What the block is before step `step`, by the refiner's own steps before it."""
    sigmas = state.recipe.sigmas
    x = (1 - sigmas[0]) * part.x + sigmas[0] * noise
    for sigma, after in pairwise(sigmas[: step + 1]):
        velocity = inner.forward([replace(part, x=x, level=state.levels[sigma])], prompt, state.ring)[0]
        x = x + (after - sigma) * velocity
    return x


@torch.no_grad()
def validate_refiner(refiner: VideoRefiner, drafts: Drafts, recipe: RefinerRecipe) -> dict[str, float]:
    """Mean squared error against the true latents before and after refining, and the share of clips that got nearer."""
    before, after = [], []
    for at in range(0, len(drafts), 8):
        draft, truth = drafts.pair(torch.arange(at, min(at + 8, len(drafts))))
        refined = refined_latents(refiner, draft, recipe=recipe, seed=1 + at)
        for errors, latents in ((before, draft), (after, refined)):
            errors += _per_clip((latents - truth)[:, :, recipe.sink :]).tolist()
    nearer = sum(a < b for a, b in zip(after, before)) / len(before)
    return {"draft": sum(before) / len(before), "refined": sum(after) / len(after), "nearer": nearer}
