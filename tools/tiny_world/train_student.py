"""The streaming student: the chunk-causal model taught to finish a chunk in four steps on a past that it made itself.

Self-forcing (Huang et al. 2025) with the truth at hand: a clip is rolled out chunk by chunk exactly as `stream_chunk` does.
In every chunk one of the four steps is drawn, the steps before it run without gradients, and the velocity there is pulled
towards the one that leads from where the model has come to the true latents. So the student meets its own errors, within
a chunk and across chunks, and learns to return from them. SANA-WM sec. 4.3 distils from a teacher instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from wm_core.dit import WorldDiT, WorldState
from wm_core.sampling import STUDENT_SIGMAS

from .generate import WINDOW, Start, streamed_latents
from .settings import Settings
from .train_world import ANOTHER, Batch, WorldClips, begun_world, draw_given, plain_parameters, update_average
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
    random = torch.Generator().manual_seed(settings.seed + stage.step)

    def step() -> dict[str, float]:
        clips = sets[stage.step % len(sets)]
        frames = clips.latents.shape[2]
        rows = torch.randint(len(clips), (recipe.batch,), generator=random).tolist()
        batch = clips.batch(rows, frames, draw_given(len(rows), frames, 0.0, random))
        losses = list(learn_rollout(world, batch, random))
        norm = stage.descend()
        update_average(average, world, recipe.average, stage.step)
        return {"loss": sum(losses) / len(losses), "last": losses[-1], "norm": norm}

    stage.train(step, lambda: validate_rollout(average, held_out))
    stage.end(lambda: validate_rollout(average, held_out))


def learn_rollout(world: WorldDiT, batch: Batch, random: torch.Generator) -> Iterator[float]:
    """Roll the clips out chunk by chunk and gather gradients; the loss of each chunk.

    A chunk's loss also reaches the clean pass of the chunk before it, so what is written into the state learns too.
    """
    past, chunks = world.begin(window=WINDOW), list(batch.start(random).chunks())
    for frames, chunk in chunks:
        learnt = int(torch.randint(STEPS, (), generator=random))
        done, loss = _learn_chunk(world, chunk, batch.latents[:, :, frames], past, learnt)
        (loss / len(chunks)).backward()
        yield loss.item()
        _, past = world(done, torch.zeros(done.shape[0], done.shape[2]).to(done), chunk.cond, past=detached(past))


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
            error = (velocity - (x - wanted) / sigma).square().mean((1, 3, 4))
            loss = error[~chunk.given].mean()
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
