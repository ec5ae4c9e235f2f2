"""A session on disk: .safetensors files, and session.json beside them that says what they are.

    chunk_*      the latents of one chunk, drafted and refined: written once, so that saving costs no more after an hour
    about_*      the given frame, the camera, the prompts
    carried_*    what the models carry: 1.6 GB at 720p, more than can be written in the time of a chunk; unlike the rest
                 it can be made again

Tensors are written first, under names of their own, and session.json, which names them and their checksums, is moved into
place last. So at any instant, also of a kill, session.json belongs to whole files. Never a pickle.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from ..camera import CameraPath, Provenance
from ..config import RefinerRecipe
from ..errors import CheckpointError, StorageError
from ..shapes import Stride
from .carried_file import flatten, unflatten
from .session import Carried, ChunkRecord, Prompt, Recipe, RefinerUse, Session, fingerprint_cameras
from .tensor_file import read_entry, unfinished, write_entry

log = logging.getLogger("sana_wm")

VERSION = 1
INDEX = "session.json"
_PROMPT = tuple(field.name for field in fields(Prompt))


def save_session(session: Session, folder: str | Path, *, with_carried: bool = True) -> Path:
    """Write the session into a folder, replacing the one there; returns the path of its session.json.

    with_carried: also write what the models carry, a hundred times as much as the rest. Without, what lies there of an
    earlier chunk of the same rollout is kept. StorageError if the disk is full or cannot be written; the session that was
    there before is then still whole.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        chunks, carried, about = _kept_entries(session, folder)
        for i in range(len(chunks), session.chunks):
            start, stop = session.recipe.span(i)
            parts = {"latents": session.latents, "refined": session.refined}
            tensors = {name: part[:, :, start:stop] for name, part in parts.items() if part is not None}
            chunks.append(write_entry(tensors, folder, f"chunk_{i:05}"))
        if with_carried and session.carried is not None and (carried or {}).get("chunks") != session.carried.chunks:
            tensors, described = flatten(session.carried)
            carried = described | write_entry(tensors, folder, f"carried_{session.carried.chunks:05}")
        index = {
            "version": VERSION,
            "model": session.model,
            "vae": session.vae,
            "stride": asdict(session.stride),
            "recipe": asdict(session.recipe),
            "refiner": None if session.refiner is None else asdict(session.refiner),
            "picture": session.picture,
            "records": [vars(record) for record in session.records],
            "prompts": len(session.prompts),
            "camera": None if session.camera is None else _describe_camera(session.camera),
            "about": about or write_entry(_tensors(session), folder, "about") | {"of": _about_what(session)},
            "chunks": chunks,
            "carried": carried,
        }
        _write_index(index, folder)
    except OSError as error:
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
    refiner: RefinerUse | None = None

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
            refiner=_read_refiner(index),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{Path(folder) / INDEX} lacks an entry ({error!r}); restore it from a copy") from error


def load_session(folder: str | Path, *, device: torch.device | str = "cpu") -> Session:
    """Read what save_session wrote. CheckpointError names the file that is missing, damaged or of a newer version.

    What the models carry can be made again, so if only that is missing or damaged a warning names it and it is left out.
    """
    folder = Path(folder)
    index = _read_index(folder)
    try:
        about, chunks, carried = index["about"], index["chunks"], index["carried"]
        tensors = read_entry(folder, about, device)
        made = [read_entry(folder, entry, device) for entry in chunks]
        first, refiner = tensors["first"], _read_refiner(index)
        joined = lambda name: torch.cat([first[:, :, :0], *(part[name] for part in made)], 2)
        return Session(
            recipe=_read_recipe(index),
            model=index["model"],
            vae=index["vae"],
            stride=Stride(**index["stride"]),
            first=first,
            latents=joined("latents"),
            refiner=refiner,
            refined=None if refiner is None else joined("refined"),
            carried=_read_carried(folder, carried, device),
            camera=_read_camera(index["camera"], tensors),
            records=tuple(ChunkRecord(**record) for record in index["records"]),
            prompts=tuple(
                Prompt(**{part: tensors.get(f"prompt.{i}.{part}") for part in _PROMPT}) for i in range(index["prompts"])
            ),
        )
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{folder / INDEX} does not fit its files ({error!r}); restore all from one copy") from error


def _tensors(session: Session) -> dict[str, Tensor]:
    """All but the latents and what is carried."""
    tensors: dict[str, Tensor] = {"first": session.first}
    if session.camera is not None:
        tensors |= {"camera.c2w": torch.tensor(session.camera.c2w)}
        tensors |= {"camera.intrinsics": torch.tensor(session.camera.intrinsics)}
    for i, prompt in enumerate(session.prompts):
        parts = {f"prompt.{i}.{part}": getattr(prompt, part) for part in _PROMPT}
        tensors |= {name: tensor for name, tensor in parts.items() if tensor is not None}
    return tensors


def _about_what(session: Session) -> list[str | None]:
    """Tells the tensors beside the chunks apart, which seldom change: a refiner's prompt alone has 16 MB."""
    camera = session.camera and fingerprint_cameras(session.camera, (0, session.camera.frames))
    prompts = [mark for p in session.prompts for mark in (p.fingerprint, p.context_fingerprint)]
    return [session.picture, camera, *prompts]


def _kept_entries(session: Session, folder: Path) -> tuple[list[dict], dict | None, dict | None]:
    """What lies there of this session already: entries of its first chunks, of what was carried after one of them, and of
    what the session is about."""
    try:
        index = _read_index(folder)
        same = all(index[fact] == getattr(session, fact) for fact in ("model", "vae", "picture"))
        if not same or _read_recipe(index) != session.recipe or _read_refiner(index) != session.refiner:
            return [], None, None
        pairs = zip((ChunkRecord(**record) for record in index["records"]), session.records)
        shared = next((i for i, (was, now) in enumerate(pairs) if was != now), min(len(index["records"]), session.chunks))
        carried, about = index["carried"], index["about"]
        is_same = about.get("of") == _about_what(session) and (folder / about["tensors"]).is_file()
        kept = carried if carried and carried["chunks"] <= shared else None
        return index["chunks"][:shared], kept, about if is_same else None
    except (CheckpointError, KeyError, TypeError):
        return [], None, None


def _write_index(index: dict, folder: Path) -> None:
    """Put session.json into place, and clear the files that it no longer names."""
    with unfinished(folder) as partial:
        # without indent, which json writes in Python: after ten minutes that was a twentieth of a small chunk's time
        partial.write_text(json.dumps(index))
        with partial.open("rb+") as opened:
            os.fsync(opened.fileno())
        os.replace(partial, folder / INDEX)
    named = {entry["tensors"] for entry in (index["about"], *index["chunks"], index["carried"]) if entry}
    for old in folder.glob("*.safetensors"):
        if old.name not in named:
            old.unlink()


def _read_carried(folder: Path, entry: dict | None, device: torch.device | str) -> Carried | None:
    try:
        return None if entry is None else unflatten(read_entry(folder, entry, device), entry)
    except (CheckpointError, KeyError, TypeError) as error:
        log.warning("%s, or let it be made again from the latents, which happens now", error)
        return None


def _read_recipe(index: dict) -> Recipe:
    return Recipe(**{**index["recipe"], "sigmas": tuple(index["recipe"]["sigmas"])})


def _read_refiner(index: dict) -> RefinerUse | None:
    about = index.get("refiner")  # sessions from before there was one lack it
    if about is None:
        return None
    recipe = {**about["recipe"], "sigmas": tuple(about["recipe"]["sigmas"])}
    return RefinerUse(about["model"], RefinerRecipe(**recipe), about["fps"])


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
