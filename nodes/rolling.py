"""A rollout inside the host: how it goes on after a stop, and what the user sees meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.model_management as management
import comfy.utils
import numpy as np
import torch
from comfy.cli_args import args
from numpy.typing import NDArray
from PIL import Image

from ..wm_core.errors import CheckpointError
from ..wm_core.rollout import (
    DRAFT,
    FILM,
    Plan,
    RolloutEvent,
    Session,
    Stages,
    caught_up,
    find_session,
    finish,
    load_session,
    open_film,
    planned_chunks,
    read_outline,
    record,
    run,
    run_overlapped,
    save_session,
    write_sidecar,
)
from .bridge import announce, say
from .place import Place, new_place, places
from .types import OpenRollout

EVENT = "sana_wm.chunk"
PREVIEW_SIDE = 512  # pixels


@dataclass(frozen=True, eq=False)
class Order:
    """What a node asks for: a plan, from the first `keep` chunks of a session on."""

    stages: Stages
    plan: Plan
    session: Session
    keep: int
    film: Path | None  # one that begins with the session's frames
    fps: float
    prefix: str
    resumes: bool  # a rollout on the disk that is the beginning of this one is gone on with
    device: torch.device
    node: str | None
    metadata: dict[str, str]
    overlaps: bool = False  # the stages run at once, each on a stream of its own


@dataclass(frozen=True, eq=False)
class Start:
    """Where a rollout begins: `keep` chunks of a session, and the film of another rollout that is copied for them."""

    place: Place
    session: Session
    keep: int
    copy_of: Path | None = None


def roll(order: Order) -> OpenRollout:
    """Make what is missing of a rollout and finish its video. On any stop what is finished stays, and the user is told.

    The result's folder names its video, see Place.
    """
    start = find_start(order)
    place, session = start.place, start.session
    if start.keep == order.plan.chunks and place.is_finished:
        say(f"{place.video.name} was finished before; nothing was made again", order.node)
        return open_rollout(session, place.folder)
    progress = Progress(order, place, start.keep)
    with progress.telling(), place.nothing_half_done():
        session = session.rewound(start.keep)
        if start.keep < order.plan.chunks:  # else only the video is missing
            session = caught_up(order.stages, session, on_step=progress.catching_up)
        writer = open_film(place.folder, session, order.stages, fps=order.fps, copy_of=start.copy_of)
        go = run_overlapped if order.overlaps else run
        keep = lambda draft: save_session(draft, place.folder / DRAFT, with_carried=False)
        events = go(order.stages, order.plan, session, on_step=progress.step, on_draft=keep)
        with closing(record(events, writer)) as recorded:
            for event, frames in recorded:
                session = event.session
                progress.chunk(event, frames)
        finish(writer.path, place.video, order.metadata)
        write_sidecar(session, place.video.with_suffix(".json"), place.video.name)
    progress.finished(session)
    return open_rollout(session, place.folder)


def open_rollout(session: Session, folder: Path) -> OpenRollout:
    """What goes down the wire. What the models carry stays on the disk: the host keeps outputs in its cache."""
    return OpenRollout(replace(session, carried=None).to("cpu"), folder)


def session_of(rollout: OpenRollout, device: torch.device | str) -> Session:
    """The session of a wire on a device, with what the models carry if the disk still has it."""
    session = rollout.session
    try:
        carried = load_session(rollout.folder, device=device).carried
        records = read_outline(rollout.folder).records
    except CheckpointError:
        carried, records = None, ()
    if carried is not None and records[: carried.chunks] == session.records[: carried.chunks]:
        session = replace(session, carried=carried)
    return session.to(device)


def find_start(order: Order) -> Start:
    """The longest beginning of the order that exists: its own session, or one on the disk.

    One that waits unfinished is gone on with where it lies. One that is finished, or differs later on, stays as it is, and
    its beginning is copied. At least one chunk is left to make then, and with it the last picture.
    """
    size, chunks = order.session.size, order.plan.chunks
    wanted = planned_chunks(order.plan, order.session, order.keep)
    folders = [place.folder for place in places(order.prefix, size)] if order.resumes else []
    if order.session.refiner is None:
        folders += [folder / DRAFT for folder in folders]
    found = find_session(folders, wanted, order.session)
    if found is None or found.chunks <= order.keep:
        place = new_place(order.prefix, size, over_drafts=order.session.refiner is not None)
        return Start(place, order.session, order.keep, order.film)
    place = Place(found.outline.folder)
    session = load_session(place.folder, device=order.device)
    if place.folder.name == DRAFT:  # of a rollout whose film shows refined frames
        return Start(new_place(order.prefix, size), session, min(found.chunks, chunks - 1))
    if found.is_whole and (found.chunks == chunks or not place.is_finished):
        return Start(place, session, found.chunks)
    return Start(new_place(order.prefix, size), session, min(found.chunks, chunks - 1), place.folder / FILM)


def video_metadata(prompt: dict | None, extra: dict | None) -> dict[str, str]:
    """What core's SaveVideo writes into a file, under the same names."""
    if args.disable_metadata:
        return {}
    found = {**(extra or {}), **({} if prompt is None else {"prompt": prompt})}
    return {name: json.dumps(value) for name, value in found.items()}


class Progress:
    """What the user sees of one rollout: a bar, the last frame of each chunk, an event for programs, words at the end."""

    def __init__(self, order: Order, place: Place, done: int) -> None:
        self.order, self.place, self.done, self.made = order, place, done, 0
        refiner = order.session.refiner
        self.steps = len(order.session.recipe.sigmas) - 1 + (len(refiner.recipe.sigmas) - 1 if refiner else 0)
        self.bar = comfy.utils.ProgressBar(order.plan.chunks * self.steps)
        if done:
            say(f"goes on after {done} of {order.plan.chunks} chunks", order.node)

    def catching_up(self, index: int, latents: torch.Tensor) -> None:
        say(f"what the models carry made again, chunk {index + 1} of {self.done}", self.order.node)

    def step(self, index: int, x: torch.Tensor) -> None:
        self.made = max(self.made, self.done * self.steps) + 1
        self.bar.update_absolute(min(self.made, self.order.plan.chunks * self.steps))

    def chunk(self, event: RolloutEvent, frames: NDArray) -> None:
        self.done = event.session.chunks
        about = {"node": self.order.node, "chunk": event.index, "chunks": self.order.plan.chunks}
        about |= {"frames": list(event.session.span(event.index)), "fps": self.order.fps}
        announce(EVENT, about | {"file": self.place.file(FILM)})
        picture = Image.fromarray(np.ascontiguousarray(frames[-1]))
        self.made = max(self.made, self.done * self.steps)
        self.bar.update_absolute(self.made, preview=("JPEG", picture, PREVIEW_SIDE))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say how to go on, whatever stops the rollout, and let it pass: newer hosts cancel with a BaseException."""
        try:
            yield
        except BaseException as error:
            words = [f"{self.done} of {self.order.plan.chunks} chunks are kept"] if self.done else ["no chunk was finished"]
            if isinstance(error, management.OOM_EXCEPTION):
                words.append("out of memory: choose a smaller size, or start ComfyUI with --lowvram")
            if self.done:
                words.append(f"queue again to go on. The film so far: {self.place.folder.name}/{FILM}")
            say("; ".join(words), self.order.node)
            raise

    def finished(self, session: Session) -> None:
        size = sum(file.stat().st_size for file in self.place.folder.iterdir()) / 2**20
        say(
            f"{session.frames} frames in {self.place.video.name}. Its session is kept to extend or branch it: "
            f"{self.place.folder.name}, {size:,.0f} MB",
            self.order.node,
        )
