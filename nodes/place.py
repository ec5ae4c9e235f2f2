"""Where rollouts lie in the output folder: NAME_00001_session while they go on, NAME_00001_.mp4 beside it when finished."""

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

_SESSION = "session"  # how a rollout's folder ends
_INDEX = "session.json"


@dataclass(frozen=True)
class Place:
    """A rollout's folder, and the video that is there once it is finished."""

    folder: Path

    @property
    def video(self) -> Path:
        return self.folder.with_name(self.folder.name.removesuffix(_SESSION) + ".mp4")

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
            if not (self.folder / _INDEX).is_file():
                shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name: str) -> dict[str, str]:
        """A file of the folder as /view takes it."""
        return {"filename": name, "subfolder": _below_output(self.folder), "type": "output"}


def new_place(prefix: str, size: tuple[int, int] = (0, 0)) -> Place:
    """A folder for a new rollout, numbered as core numbers what it saves. size: (h, w), for %height%, %width%.

    One that was left by a kill before its first chunk was saved is taken again.
    """
    folder, name, counter = _named(prefix, size)
    for begun in sorted(folder.glob(f"{glob.escape(name)}_*_{_SESSION}")):
        if not (begun / _INDEX).is_file() and not Place(begun).is_finished:
            return Place(begun)
    return Place(folder / f"{name}_{counter:05}_{_SESSION}")


def places(prefix: str, size: tuple[int, int] = (0, 0)) -> list[Place]:
    """All rollouts of a prefix that have begun, by number."""
    folder, name, _ = _named(prefix, size)
    folders = folder.glob(f"{glob.escape(name)}_*_{_SESSION}")
    return [Place(found) for found in sorted(folders) if (found / _INDEX).is_file()]


def all_places() -> list[str]:
    """Every rollout in the output folder and two levels of folders below it, as paths below it, newest first."""
    output = Path(folder_paths.get_output_directory())
    found = [index for level in ("", "*/", "*/*/") for index in output.glob(f"{level}*_{_SESSION}/{_INDEX}")]
    found.sort(key=lambda index: -index.stat().st_mtime)
    return [_below_output(index.parent) for index in found]


def place_below_output(name: str) -> Place | None:
    """The rollout of a path that all_places gave, None if there is none (any more)."""
    output = Path(folder_paths.get_output_directory())
    folder = (output / name).resolve()
    is_inside = folder.is_relative_to(output.resolve())
    return Place(folder) if is_inside and (folder / _INDEX).is_file() else None


def unfinished(prefix: str) -> list[tuple[str, int]]:
    """(name, time of change) of each rollout of a prefix that waits to be gone on with, for a node's fingerprint."""
    waiting = [place.folder for place in places(prefix) if not place.is_finished]
    return [(folder.name, (folder / _INDEX).stat().st_mtime_ns) for folder in waiting]


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
