"""A session on disk: chunk_*.safetensors, carried_*.safetensors, and session.json beside them that says what they are.

The tensors are written first, under the name of their chunk, and session.json, which names them and their checksums, is
moved into place last. So at any instant, also of a kill, session.json belongs to whole files. Never a pickle.

What is carried is a file of its own: it has 1.6 GB at 720p, more than can be written in the time of a chunk, and
unlike the latents it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..camera import CameraPath, Provenance
from ..errors import CheckpointError, StorageError
from ..shapes import Stride
from .carried_file import flatten, unflatten
from .session import Carried, ChunkRecord, Prompt, Recipe, Session
from .tensor_file import write_tensors

log = logging.getLogger("sana_wm")

VERSION = 1
INDEX = "session.json"
_PROMPT = tuple(field.name for field in fields(Prompt))
_HASHED = 2**22  # bytes read at a time


def save_session(session: Session, folder: str | Path, *, with_carried: bool = True) -> Path:
    """Write the session into a folder, replacing the one there; returns the path of its session.json.

    with_carried: also write what the models carry, a hundred times as much as the rest. Without, what lies there of an
    earlier chunk of the same rollout is kept. StorageError if the disk is full or cannot be written; the session that was
    there before is then still whole.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entry = _kept_entry(session, folder)
        if with_carried and session.carried is not None and (entry or {}).get("chunks") != session.carried.chunks:
            tensors, about = flatten(session.carried)
            entry = about | _write_tensors(tensors, folder, f"carried_{session.carried.chunks:05}")
        index = {
            "version": VERSION,
            "model": session.model,
            "vae": session.vae,
            "stride": asdict(session.stride),
            "recipe": asdict(session.recipe),
            "picture": session.picture,
            "records": [vars(record) for record in session.records],
            "prompts": len(session.prompts),
            "camera": None if session.camera is None else _describe_camera(session.camera),
            "carried": entry,
            **_write_tensors(_tensors(session), folder, f"chunk_{session.chunks:05}"),
        }
        with _unfinished(folder) as partial:
            # without indent, which json writes in Python: after ten minutes that was a twentieth of a small chunk's time
            partial.write_text(json.dumps(index))
            _on_disk(partial)
            os.replace(partial, folder / INDEX)
        named = {index["tensors"], (entry or {}).get("tensors")}
        for old in folder.glob("*.safetensors"):
            if old.name not in named:
                old.unlink()
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"the session of {session.chunks} chunks could not be written to {folder}: {error}; free space there or "
            "choose another folder; what was saved before is still there"
        ) from error
    return folder / INDEX


@dataclass(frozen=True)
class SessionOutline:
    """What session.json alone tells, without a gigabyte of tensors being read. Fields as in Session."""

    folder: Path
    model: str
    vae: str | None
    recipe: Recipe
    picture: str
    records: tuple[ChunkRecord, ...]

    @property
    def chunks(self) -> int:
        return len(self.records)


def read_outline(folder: str | Path) -> SessionOutline:
    """The outline of a session on disk; CheckpointError as load_session, but the tensors are not looked at."""
    index = _read_index(Path(folder))
    try:
        return SessionOutline(
            folder=Path(folder),
            model=index["model"],
            vae=index["vae"],
            recipe=_read_recipe(index),
            picture=index["picture"],
            records=tuple(ChunkRecord(**record) for record in index["records"]),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{Path(folder) / INDEX} lacks an entry ({error!r}); restore it from a copy") from error


def load_session(folder: str | Path, *, device: torch.device | str = "cpu") -> Session:
    """Read what save_session wrote. CheckpointError names the file that is missing, damaged or of a newer version.

    What the models carry can be made again, so if only that is missing or damaged a warning names it and it is left out.
    """
    folder = Path(folder)
    index = _read_index(folder)
    tensors = _read_tensors(folder, index, device)
    try:
        return Session(
            recipe=_read_recipe(index),
            model=index["model"],
            vae=index["vae"],
            stride=Stride(**index["stride"]),
            first=tensors["first"],
            latents=tensors["latents"],
            carried=_read_carried(folder, index["carried"], device),
            camera=_read_camera(index["camera"], tensors),
            records=tuple(ChunkRecord(**record) for record in index["records"]),
            prompts=tuple(
                Prompt(**{part: tensors.get(f"prompt.{i}.{part}") for part in _PROMPT}) for i in range(index["prompts"])
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{INDEX} does not describe {index['tensors']} ({error!r}); restore both from one copy"
        ) from error


def _tensors(session: Session) -> dict[str, Tensor]:
    """All but what is carried."""
    tensors: dict[str, Tensor] = {"first": session.first, "latents": session.latents}
    if session.camera is not None:
        tensors |= {"camera.c2w": torch.tensor(session.camera.c2w)}
        tensors |= {"camera.intrinsics": torch.tensor(session.camera.intrinsics)}
    for i, prompt in enumerate(session.prompts):
        parts = {f"prompt.{i}.{part}": getattr(prompt, part) for part in _PROMPT}
        tensors |= {name: tensor for name, tensor in parts.items() if tensor is not None}
    return tensors


def _kept_entry(session: Session, folder: Path) -> dict | None:
    """What session.json says of the carried tensors that lie there, if they are of an earlier chunk of this session."""
    try:
        index = _read_index(folder)
        entry, records = index["carried"], index["records"]
        chunks = entry["chunks"] if entry else 0
        same = records[:chunks] == [vars(record) for record in session.records[:chunks]]
    except (CheckpointError, KeyError, TypeError):
        return None
    same = same and all(index.get(fact) == getattr(session, fact) for fact in ("model", "vae", "picture"))
    return entry if same and _read_recipe(index) == session.recipe else None


def _read_carried(folder: Path, entry: dict | None, device: torch.device | str) -> Carried | None:
    try:
        return None if entry is None else unflatten(_read_tensors(folder, entry, device), entry)
    except (CheckpointError, KeyError, TypeError) as error:
        log.warning("%s, or let it be made again from the latents, which happens now", error)
        return None


def _read_tensors(folder: Path, entry: dict, device: torch.device | str) -> dict[str, Tensor]:
    """The tensors of an entry {tensors: file name, sha256: checksum}."""
    file = folder / Path(str(entry.get("tensors"))).name
    if not file.is_file():
        raise CheckpointError(f"{file.name} is missing beside {INDEX}; restore it from a copy")
    if _sha256(file) != entry.get("sha256"):
        raise CheckpointError(f"{file.name} is damaged: its checksum is not the one in {INDEX}; restore it from a copy")
    try:
        return load_file(file, device=str(device))
    except SafetensorError as error:
        raise CheckpointError(f"{file.name} is not whole ({error}); restore it from a copy") from error


def _write_tensors(tensors: dict[str, Tensor], folder: Path, name: str) -> dict[str, str]:
    """An entry for session.json."""
    with _unfinished(folder) as partial:
        sha256 = write_tensors(partial, tensors)
        file = folder / f"{name}_{sha256[:12]}.safetensors"  # never one that session.json names for other tensors
        os.replace(partial, file)
    return {"tensors": file.name, "sha256": sha256}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_HASHED):
            digest.update(block)
    return digest.hexdigest()


def _read_recipe(index: dict) -> Recipe:
    return Recipe(**{**index["recipe"], "sigmas": tuple(index["recipe"]["sigmas"])})


def _read_index(folder: Path) -> dict:
    path = folder / INDEX
    if not path.is_file():
        raise CheckpointError(f"no session in {folder}: {INDEX} is missing")
    try:
        index = json.loads(path.read_text())
        version = index["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a session ({error!r}); restore it from a copy") from error
    if version != VERSION:
        raise CheckpointError(f"{path} has session version {version}, this pack reads {VERSION}; update the pack")
    return index


def _describe_camera(camera: CameraPath) -> dict:
    return {"size": camera.size, "fps": camera.fps, "provenance": asdict(camera.provenance)}


def _read_camera(about: dict | None, tensors: dict[str, Tensor]) -> CameraPath | None:
    if about is None:
        return None
    provenance = {**about["provenance"], "conversions": tuple(about["provenance"]["conversions"])}
    c2w, intrinsics = (tensors[f"camera.{name}"].cpu().numpy() for name in ("c2w", "intrinsics"))
    return CameraPath(c2w, intrinsics, tuple(about["size"]), about["fps"], Provenance(**provenance))


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A name to write to first. Always the same, so that what a kill left there is overwritten."""
    partial = folder / ".unfinished"
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _on_disk(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
