"""Rolling generation: latents chunk by chunk with carried state, decoded as they come, in constant memory.

`step` makes one chunk, `run` many; both return values and change nothing. Bit for bit, a run that was interrupted and
resumed equals one that was not: noise comes from (seed, chunk), state from the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import RELEASED_REFINING, RELEASED_SAMPLING, RefinerRecipe
from ..errors import ConfigError, ShapeError
from ..sampling.euler import OnStep
from ..sampling.refining import Refining, begin_refining, given_block
from .chunk import chunk_velocity, decoded_chunk, drafted_chunk, prompt_keys, refined_chunk, with_tails
from .plan import Plan
from .session import Carried, Recipe, RefinerUse, Session
from .stages import Stages

OnDraft = Callable[[Session], None]


@dataclass(frozen=True, eq=False)
class RolloutEvent:
    """One finished chunk: its latents as stage 1 made them, its pixels (b, 3, f, H, W) or None, and the session to go on from."""

    index: int
    latents: Tensor
    pixels: Tensor | None
    session: Session


def open_session(
    stages: Stages,
    first: Tensor,
    recipe: Recipe | None = None,
    *,
    refining: RefinerRecipe | None = None,
    fps: float = RELEASED_SAMPLING.fps,
) -> Session:
    """A rollout before its first chunk. first: latent of the given picture, (1, c, 1, h, w), normalised.

    refining: how stages.refine is used; its block is a chunk, its sink the given picture. fps: as the refiner is told.
    """
    recipe = recipe or Recipe()
    if first.ndim != 5 or first.shape[0] != 1 or first.shape[2] != 1:
        raise ShapeError(f"the given frame must be one latent (1, c, 1, h, w), got {tuple(first.shape)}")
    empty = first.float().new_empty(1, first.shape[1], 0, *first.shape[-2:])
    session = Session(recipe, stages.world, stages.vae, stages.stride, first.float(), empty)
    if stages.refine is None:
        return session
    refining = replace(refining or RELEASED_REFINING, block=recipe.chunk, sink=1)
    return replace(session, refiner=RefinerUse(stages.refiner, refining, fps), refined=empty)


def run(
    stages: Stages,
    plan: Plan,
    session: Session,
    *,
    on_step: OnStep | None = None,
    on_draft: OnDraft | None = None,
) -> Iterator[RolloutEvent]:
    """Chunks after the session's until there are plan.chunks; each event's session can be saved and gone on from.

    on_draft: see step.
    """
    while session.chunks < plan.chunks:
        event = step(stages, plan, session, on_step=on_step, on_draft=on_draft)
        session = event.session
        yield event


@torch.no_grad()
def step(
    stages: Stages,
    plan: Plan,
    session: Session,
    *,
    on_step: OnStep | None = None,
    on_draft: OnDraft | None = None,
) -> RolloutEvent:
    """The next chunk: drafted, refined if there is a refiner, decoded. ConfigError if the session is of another model,
    CameraError if the path has another past.

    on_step(i, x) is called after each denoising step i of the chunk, the refiner's following stage 1's. on_draft(session) before
    the refiner begins, with the rollout as stage 1 alone would have made it: whatever the refiner does, that can be kept.
    """
    session = caught_up(stages, session)
    drafted, latents = drafted_chunk(stages, plan, session, on_step=on_step)
    if on_draft is not None and stages.refine is not None:
        on_draft(drafted.draft())
    refined, shown = refined_chunk(stages, plan, drafted, latents, session.carried.refining, on_step=on_step)
    pixels, tails = decoded_chunk(stages, shown, session.carried.tails)
    return RolloutEvent(session.chunks, latents, pixels, with_tails(refined, tails))


@torch.no_grad()
def caught_up(stages: Stages, session: Session, *, on_step: OnStep | None = None) -> Session:
    """The session with what the models carry after its last chunk, bit for bit what making the chunks left.

    What is missing is made again from the latents: one model call a chunk, a fifth of making it, and decoding it again. What the
    refiner carries is never on the disk: one call of it a chunk, equal up to rounding. on_step(i, latents) after chunk i.
    """
    _check_models(stages, session)
    carried = session.carried or Carried(0, _begin(stages, session.recipe))
    told = None if carried.chunks < session.chunks else on_step  # each chunk is told of once
    for index in range(carried.chunks, session.chunks):
        start, stop = session.recipe.span(index)
        latents = session.latents[:, :, start:stop]
        velocity = chunk_velocity(stages, session, session.prompt_of(index), session.camera, (start, stop))
        _, state = velocity(latents, torch.zeros(1, stop - start, device=latents.device), carried.world)
        _, tails = decoded_chunk(stages, session.shown[:, :, start:stop], carried.tails)
        carried = Carried(index + 1, state, tails, carried.refining)
        if on_step is not None:
            on_step(index, latents)
    return replace(session, carried=replace(carried, refining=_refining(stages, session, carried.refining, told)))


def _refining(
    stages: Stages, session: Session, refining: Refining | None, on_step: OnStep | None
) -> Refining | None:
    """What the refiner carries after the session's chunks: as it is, or where it was gone on from, made again."""
    if stages.refine is None or (refining is not None and refining.is_fresh and refining.next == _refined_frames(session)):
        return refining
    use = session.refiner
    refining = begin_refining(stages.refine, session.first, use.fps, use.recipe)
    for index in range(session.chunks):
        stop = session.recipe.span(index)[1]
        start = stop - session.recipe.chunk
        prompt = prompt_keys(stages, session.prompt_of(index), refining)
        refining = given_block(stages.refine, refining, session.refined[:, :, start:stop], start, prompt)
        if on_step is not None:
            on_step(index, session.refined)
    return refining


def _refined_frames(session: Session) -> int:
    return session.recipe.span(session.chunks - 1)[1] if session.chunks else 1


def _begin(stages: Stages, recipe: Recipe):
    state = stages.begin(recipe.window, recipe.keeps_sink)
    return state if recipe.cfg == 1.0 else (state, state)


def _check_models(stages: Stages, session: Session) -> None:
    if stages.world != session.model:
        raise ConfigError(
            f"the session was made with model {session.model}, this one is {stages.world}; "
            "load the model it was made with, with the same reference and LoRAs"
        )
    if stages.vae != session.vae:
        raise ConfigError(
            f"the session was decoded with VAE {session.vae}, this one is {stages.vae}; load the VAE it was made with"
        )
    made = session.refiner.model if session.refiner else None
    if stages.refiner != made:
        raise ConfigError(
            f"the session was made with refiner {made or 'none'}, this is {stages.refiner or 'none'}; connect the same one, "
            "or refine the finished film with SANA-WM Refine"
        )
