"""The streaming student: the chunk-causal model taught to finish a chunk in four steps on a past that it made itself.

Self-forcing (Huang et al. 2025) with the truth at hand: a clip is rolled out chunk by chunk exactly as `stream_chunk` does.
In every chunk one of the four steps learns, the steps before it run without gradients, and the velocity there is pulled
towards the one that leads from where the model has come to the true latents. So the student meets its own errors, within
a chunk and across chunks, and learns to return from them. SANA-WM sec. 4.3 distils from a teacher instead.
"""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from wm_core.dit import WorldDiT, WorldState
from wm_core.sampling import STUDENT_SIGMAS
from wm_core.shapes import chunk_lengths

from .generate import WINDOW, Start, streamed_latents
from .gradients import Gradients
from .settings import Settings
from .train_world import (
    ANOTHER,
    Batch,
    WorldClips,
    begun_world,
    draw_given,
    draw_noise,
    mean_of_made,
    plain_parameters,
    update_average,
)
from .training import Stage, load_modules

STEPS = len(STUDENT_SIGMAS) - 1


def train_student(settings: Settings, folder: Path, minutes: float, of: float | None, device: str) -> None:
    torch.manual_seed(settings.seed + 20)
    recipe = settings.student
    world = begun_world(settings.world).to(device)
    load_modules(folder / "causal_world.pt", {"average": world})
    average = copy.deepcopy(world).requires_grad_(False)
    modules, plain = {"world": world, "average": average}, plain_parameters(world)
    stage = Stage("student", folder, settings, modules, world.parameters(), recipe, minutes, of, plain=plain)
    sets = [WorldClips(settings, folder, name, device) for name in recipe.clips]
    held_out = WorldClips(settings, folder, "held_out", device)
    random = torch.Generator(device).manual_seed(settings.seed + stage.step)

    def gather(key: tuple[int, int], noise: Tensor, *batch: Tensor) -> Tensor:
        return learn_rollout(world, Batch.of(*batch), noise, first=key[1])

    gradients = Gradients(gather, stage.trained, device, stage.not_counted)

    def step() -> dict[str, Tensor]:
        clips = sets[stage.step % len(sets)]
        frames = clips.latents.shape[2]
        first = first_lesson(stage.step // len(sets), len(chunk_lengths(frames)))
        batch = clips.batch(clips.draw(recipe.batch, random), frames, draw_given(recipe.batch, frames, 0.0, random))
        losses = gradients((frames, first), draw_noise(batch.latents, random), *batch.tensors())
        norm = stage.descend()
        update_average(average, world, recipe.average, stage.step)
        return {"loss": losses.mean(), "last": losses[-1], "norm": norm}

    stage.train(step, lambda: validate_rollout(average, held_out))
    stage.end(lambda: validate_rollout(average, held_out))


def first_lesson(turn: int, chunks: int) -> int:
    """Which step learns in the first chunk. A rollout of many chunks teaches every step anyway, and has one recording."""
    return turn % STEPS if chunks < STEPS else 0


def learn_rollout(world: WorldDiT, batch: Batch, noise: Tensor, first: int) -> Tensor:
    """Roll the clips out chunk by chunk and gather gradients; the loss of each chunk.

    Step `first` learns in the first chunk, the one after it in the second, and so on around. A chunk's loss also reaches the clean pass of the chunk before it, so
    what is written into the state learns too.
    """
    past, chunks, losses = world.begin(window=WINDOW), list(batch.started(noise).chunks()), []
    for i, (frames, chunk) in enumerate(chunks):
        done, loss = _learn_chunk(world, chunk, batch.latents[:, :, frames], past, (first + i) % STEPS)
        (loss / len(chunks)).backward()
        losses.append(loss.detach())
        _, past = world(done, torch.zeros_like(done[:, 0, :, 0, 0]), chunk.cond, past=detached(past))
    return torch.stack(losses)


def _learn_chunk(world: WorldDiT, chunk: Start, wanted: Tensor, past: WorldState, learnt: int) -> tuple[Tensor, Tensor]:
    """The finished chunk, without gradients, and the loss of its step `learnt` against the true latents."""
    still = detached(past)
    noisy = (~chunk.given).float()
    spread = noisy[:, None, :, None, None]
    x = chunk.noise
    for i, (sigma, after) in enumerate(pairwise(STUDENT_SIGMAS)):
        with torch.set_grad_enabled(i == learnt):
            velocity, _ = world(x, sigma * noisy, chunk.cond, past=past if i == learnt else still)
        if i == learnt:
            loss = mean_of_made((velocity - (x - wanted) / sigma).square(), chunk.given)
        x = x + (after - sigma) * spread * velocity.detach()
    return x, loss


def detached(state: WorldState) -> WorldState:
    """The same values without their history."""
    return _mapped(state, lambda tensor: tensor.detach())


def _mapped(value, change):
    """A frozen record of records, tuples and tensors with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    if is_dataclass(value):
        return replace(value, **{f.name: _mapped(getattr(value, f.name), change) for f in fields(value)})
    return value


@torch.no_grad()
def validate_rollout(world: WorldDiT, clips: WorldClips) -> dict[str, float]:
    """Mean squared error of streamed latents against the truth, with their own cameras and with those of other clips."""
    frames, count = clips.latents.shape[2], min(16, len(clips))
    result = {}
    for which, shift in (("own", 0), ("other", ANOTHER)):
        random, errors = torch.Generator().manual_seed(1), []
        for at in range(0, count, 8):
            rows = list(range(at, at + 8))
            cameras = [(row + shift) % count for row in rows]
            batch = clips.batch(rows, frames, draw_given(len(rows), frames, 0.0, random), cameras)
            errors.append(
                (streamed_latents(world, batch.start(random)) - batch.latents)[:, :, 1:].square().mean().item()
            )
        result[f"streamed_{which}"] = sum(errors) / len(errors)
    return result
