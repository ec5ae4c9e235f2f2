"""The three stages at once: stage 1 a chunk ahead of the refiner, the refiner a chunk ahead of the decoder.

On CUDA each has a stream of its own, and one waits for another only through the chunk that passes between them. Elsewhere they
take turns in the same order. The numbers are those of run.run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..sampling.euler import OnStep
from .chunk import decoded_chunk, drafted_chunk, refined_chunk, with_tails
from .plan import Plan
from .run import RolloutEvent, caught_up
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
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, work: Callable[[], tuple[Any, tuple[Tensor, ...]]], after: Ticket | None = None) -> Ticket:
        """work() -> (value, tensors for others), begun once `after` is there."""
        if self.stream is None:
            return Ticket(*work(), None)
        self.take(after)
        with torch.cuda.stream(self.stream):
            value, tensors = work()
            return Ticket(value, tensors, self.stream.record_event())

    def take(self, ticket: Ticket | None) -> None:
        """Wait for another lane's result and keep its memory until this lane has read it."""
        if ticket is None or ticket.ready is None:
            return
        stream = self.stream or torch.cuda.current_stream()
        stream.wait_event(ticket.ready)
        for tensor in ticket.tensors:
            tensor.record_stream(stream)


@torch.no_grad()
def run_overlapped(
    stages: Stages, plan: Plan, session: Session, *, on_step: OnStep | None = None
) -> Iterator[RolloutEvent]:
    """The events of run.run, in the same order. What is in flight when it is closed is lost: two drafts, one refined chunk."""
    session = caught_up(stages, session)
    device = session.first.device
    draft, refine, decode, here = (Lane(device) for _ in range(4))
    here.stream = None  # the caller's own stream, on which events are read
    _follow_caller(device, draft, refine, decode)
    drafted, finished = session, session
    waiting: list[Ticket] = []  # drafts that the refiner has not seen, then refined chunks that are not decoded
    refined: list[Ticket] = []
    while finished.chunks < plan.chunks:
        if drafted.chunks < plan.chunks:
            ticket = draft.start(lambda s=drafted: _drafted(stages, plan, s, on_step))
            waiting.append(ticket)
            drafted = ticket.value[0]
        is_last = drafted.chunks == plan.chunks
        if waiting and (len(waiting) > 1 or is_last):
            before = refined[-1].value[0] if refined else finished
            ticket = waiting.pop(0)
            refined.append(refine.start(lambda t=ticket, b=before: _refined(stages, plan, t, b, on_step), ticket))
        if refined and (len(refined) > 1 or (is_last and not waiting)):
            ticket = refined.pop(0)
            after, latents, shown = ticket.value
            tails = finished.carried.tails
            done = decode.start(lambda x=shown, t=tails: _decoded(stages, x, t), ticket)
            here.take(done)
            pixels, tails = done.value
            finished = with_tails(after, tails)
            yield RolloutEvent(finished.chunks - 1, latents, pixels, finished)


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


def _follow_caller(device: torch.device, *lanes: Lane) -> None:
    """Begin after whatever the caller has already asked for."""
    if device.type == "cuda":
        ready = torch.cuda.current_stream(device).record_event()
        for lane in lanes:
            lane.stream.wait_event(ready)
