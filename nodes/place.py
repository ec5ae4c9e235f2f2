"""Where work lies in the output folder: NAME_00001_session while it goes on, NAME_00001_.mp4 beside it when finished.

A rollout's folder ends in _session, that of a refinement in _refined.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..wm_core.errors import StorageError
from ..wm_core.rollout import DRAFT
from .bridge import path_inside


@dataclass(frozen=True)
class Kind:
    """How a folder's name ends, and the file that is in it as soon as there is something to go on from."""

    ending: str
    index: str


SESSION, REFINED = Kind("session", "session.json"), Kind("refined", "refined.json")


@dataclass(frozen=True)
class Place:
    """A folder of work, and the video that is there once it is finished."""

    folder: Path
    kind: Kind = SESSION

    @property
    def video(self) -> Path:
        return self.folder.with_name(self.folder.name.removesuffix(self.kind.ending) + ".mp4")

    @property
    def index(self) -> Path:
        """What says that there is something to go on from; of a rollout whose refiner never worked, the draft's."""
        own, draft = self.folder / self.kind.index, self.folder / DRAFT / self.kind.index
        return draft if draft.is_file() and not own.is_file() else own

    @property
    def has_begun(self) -> bool:
        return self.index.is_file()

    @property
    def is_finished(self) -> bool:
        return self.video.is_file()

    @property
    def shown(self) -> ui.SavedResult:
        """The video, for a node's preview."""
        return ui.SavedResult(self.video.name, _below_output(self.video.parent), io.FolderType.output)

    @contextmanager
    def nothing_half_done(self) -> Iterator[None]:
        """Remove the folder again if the block fails before there is a session to go on from."""
        try:
            yield
        finally:
            if not self.has_begun:
                shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name: str) -> dict[str, str]:
        """A file of the folder as /view takes it."""
        return {"filename": name, "subfolder": _below_output(self.folder), "type": "output"}


def new_place(
    prefix: str, size: tuple[int, int] = (0, 0), kind: Kind = SESSION, *, over_drafts: bool = False
) -> Place:
    """A folder for new work, numbered as core numbers what it saves. size: (h, w), for %height%, %width%.

    One that was left by a kill before anything was saved is taken again; over_drafts: also one that has a draft only.
    """
    folder, name, counter = _named(prefix, size)
    for begun in _folders(folder, name, kind):
        has_content = (begun.folder / kind.index).is_file() if over_drafts else begun.has_begun
        if not has_content and not begun.is_finished:
            return begun
    return Place(folder / f"{name}_{counter:05}_{kind.ending}", kind)


def places(prefix: str, size: tuple[int, int] = (0, 0), kind: Kind = SESSION) -> list[Place]:
    """All work of a prefix that has begun, by number."""
    folder, name, _ = _named(prefix, size)
    return [place for place in _folders(folder, name, kind) if place.has_begun]


def all_places() -> list[str]:
    """Every rollout in the output folder and two levels of folders below it, as paths below it, newest first."""
    output = Path(folder_paths.get_output_directory())
    found = [
        index for level in ("", "*/", "*/*/") for index in output.glob(f"{level}*_{SESSION.ending}/{SESSION.index}")
    ]
    found.sort(key=lambda index: -index.stat().st_mtime)
    return [_below_output(index.parent) for index in found]


def place_below_output(name: str) -> Place | None:
    """The rollout of a path that all_places gave, None if there is none (any more)."""
    folder = path_inside(folder_paths.get_output_directory(), name)
    return Place(folder) if folder is not None and Place(folder).has_begun else None


def unfinished(prefix: str, kind: Kind = SESSION) -> list[tuple[str, int]]:
    """(name, time of change) of all work of a prefix that waits to be gone on with, for a node's fingerprint."""
    waiting = [place for place in places(prefix, kind=kind) if not place.is_finished]
    return [(place.folder.name, place.index.stat().st_mtime_ns) for place in waiting]


def _folders(folder: Path, name: str, kind: Kind) -> list[Place]:
    return [Place(found, kind) for found in sorted(folder.glob(f"{glob.escape(name)}_*_{kind.ending}"))]


def _named(prefix: str, size: tuple[int, int]) -> tuple[Path, str, int]:
    """Folder, name and next number of a prefix below the output folder. StorageError if the folder cannot be made."""
    output = folder_paths.get_output_directory()
    try:
        folder, name, counter, *_ = folder_paths.get_save_image_path(prefix, output, size[1], size[0])
    except OSError as error:
        raise StorageError(f"{prefix} cannot be saved in {output}: {error}; choose another save_prefix") from error
    return Path(folder), name, counter


def _below_output(folder: Path) -> str:
    below = folder.relative_to(folder_paths.get_output_directory()).as_posix()
    return "" if below == "." else below
