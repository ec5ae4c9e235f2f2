"""Which session on the disk a plan can go on from, and how much of it the plan would make again, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from .plan import Plan
from .session import ChunkRecord, Session, fingerprint_cameras
from .session_file import SessionOutline, read_outline


@dataclass(frozen=True)
class Found:
    """A session on the disk whose first `chunks` chunks are what the plan wants."""

    outline: SessionOutline
    chunks: int

    @property
    def is_whole(self) -> bool:
        """Whether everything in it can be used, so that it can be gone on with where it lies."""
        return self.chunks == self.outline.chunks


def find_session(folders: Iterable[str | Path], wanted: tuple[ChunkRecord, ...], session: Session) -> Found | None:
    """The session with the most leading chunks that are wanted; of equals one that needs no rewinding.

    session: one of the models, picture and recipe that are asked for. Folders without a readable session.json are passed
    over. None if no folder has even the first wanted chunk.
    """
    found = []
    for folder in folders:
        try:
            outline = read_outline(folder)
        except CheckpointError:
            continue
        chunks = _shared_chunks(outline, wanted, session)
        if chunks:
            found.append(Found(outline, chunks))
    return max(found, key=lambda f: (f.chunks, f.is_whole, f.outline.folder.name), default=None)


def planned_chunks(plan: Plan, session: Session, keep: int) -> tuple[ChunkRecord, ...]:
    """What every chunk of the finished rollout will be made with: `keep` of the session's, then those of the plan."""
    path = plan.poses(session.span(plan.chunks - 1)[1], session)
    context = plan.prompt.context_fingerprint if session.refiner else None
    new = (
        ChunkRecord(plan.seed, plan.prompt.fingerprint, fingerprint_cameras(path, session.span(i)), context)
        for i in range(keep, plan.chunks)
    )
    return (*session.records[:keep], *new)


def _shared_chunks(outline: SessionOutline, wanted: tuple[ChunkRecord, ...], session: Session) -> int:
    facts = ("model", "vae", "recipe", "picture", "refiner")
    if any(getattr(outline, fact) != getattr(session, fact) for fact in facts):
        return 0
    pairs = zip(outline.records, wanted)
    return next((i for i, (made, asked) in enumerate(pairs) if made != asked), min(outline.chunks, len(wanted)))
