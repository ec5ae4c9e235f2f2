"""The three stages at once: stage 1 a chunk ahead of the refiner, the refiner a chunk ahead of the decoder.

On CUDA each has a stream of its own, and one waits for another only through the chunk that passes between them. Elsewhere they
take turns in the same order. The numbers are those of run.run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..sampling.euler import OnStep
from .chunk import decoded_chunk, drafted_chunk, refined_chunk, with_tails
from .plan import Plan
from .run import OnDraft, RolloutEvent, caught_up
from .session import Session
from .stages import Stages


@dataclass(frozen=True, eq=False)
class Ticket:
    """A result that may still be under way. tensors: those that another lane will read."""

    value: Any
    tensors: tuple[Tensor, ...]
    ready: torch.cuda.Event | None


class Lane:
    """A CUDA stream that takes one piece of work after another; on other devices the calling thread."""

    def __init__(self, device: torch.device) -> None:
        self.stream = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device)
            self.stream.wait_stream(torch.cuda.current_stream(device))  # whatever the caller has already asked for

    def start(self, work: Callable[[], tuple[Any, tuple[Tensor, ...]]], after: Ticket | None = None) -> Ticket:
        """work() -> (value, tensors for others), begun once `after` is there."""
        if self.stream is None:
            return Ticket(*work(), None)
        wait_for(after, self.stream)
        with torch.cuda.stream(self.stream):
            value, tensors = work()
            return Ticket(value, tensors, self.stream.record_event())

    def join(self) -> None:
        """Let the caller's stream go on only behind all that was started here."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)


def wait_for(ticket: Ticket | None, stream: torch.cuda.Stream | None = None) -> None:
    """Let a stream, the caller's by default, wait for a result, and keep its memory until that stream has read it."""
    if ticket is None or ticket.ready is None:
        return
    stream = stream or torch.cuda.current_stream()
    stream.wait_event(ticket.ready)
    for tensor in ticket.tensors:
        tensor.record_stream(stream)


@torch.no_grad()
def run_overlapped(
    stages: Stages,
    plan: Plan,
    session: Session,
    *,
    on_step: OnStep | None = None,
    on_draft: OnDraft | None = None,
) -> Iterator[RolloutEvent]:
    """The events of run.run, in the same order, on_draft a chunk earlier.

    If stage 1 or the refiner fails, what is refined is still decoded and given before the error; if the caller closes this,
    two drafts and a refined chunk are lost.
    """
    session = caught_up(stages, session)
    device = session.first.device
    lanes = draft, refine, decode = Lane(device), Lane(device), Lane(device)
    drafted, finished = session, session
    waiting: list[Ticket] = []  # drafts that the refiner has not seen
    refined: list[Ticket] = []  # refined chunks that are not decoded

    def decoded() -> RolloutEvent:
        nonlocal finished
        ticket = refined.pop(0)
        after, latents, shown = ticket.value
        done = decode.start(partial(_decoded, stages, shown, finished.carried.tails), ticket)
        wait_for(done)
        pixels, tails = done.value
        finished = with_tails(after, tails)
        return RolloutEvent(finished.chunks - 1, latents, pixels, finished)

    try:
        while finished.chunks < plan.chunks:
            if drafted.chunks < plan.chunks:
                ticket = draft.start(partial(_drafted, stages, plan, drafted, on_step))
                waiting.append(ticket)
                drafted = ticket.value[0]
            is_last = drafted.chunks == plan.chunks
            if waiting and (len(waiting) > 1 or is_last):
                before = refined[-1].value[0] if refined else finished
                ticket = waiting.pop(0)
                if on_draft is not None and stages.refine is not None:
                    wait_for(ticket)
                    on_draft(ticket.value[0].draft())
                refined.append(refine.start(partial(_refined, stages, plan, ticket, before, on_step), ticket))
            if refined and (len(refined) > 1 or (is_last and not waiting)):
                yield decoded()
    except Exception:
        while refined:
            yield decoded()
        raise
    finally:
        for lane in lanes:
            lane.join()


def _drafted(stages: Stages, plan: Plan, session: Session, on_step: OnStep | None):
    after, latents = drafted_chunk(stages, plan, session, on_step=on_step)
    return (after, latents), (latents, after.latents)


def _refined(stages: Stages, plan: Plan, ticket: Ticket, before: Session, on_step: OnStep | None):
    """Refine a draft on top of what was refined before it."""
    drafted, latents = ticket.value
    drafted = replace(drafted, refined=before.refined)
    after, shown = refined_chunk(stages, plan, drafted, latents, before.carried.refining, on_step=on_step)
    return (after, latents, shown), (shown, latents) if after.refined is None else (shown, latents, after.refined)


def _decoded(stages: Stages, shown: Tensor, tails):
    pixels, tails = decoded_chunk(stages, shown, tails)
    return (pixels, tails), () if pixels is None else (pixels,)
