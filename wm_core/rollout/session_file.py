"""A session on disk: one .safetensors with every tensor, and session.json beside it that says what they are.

The tensors are written first, under the name of their chunk, and session.json, which names them and their checksum, is
moved into place last. So at any instant, also of a kill, session.json belongs to a whole file. Never a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..camera import CameraPath, Provenance
from ..dit import WorldState
from ..dit.state import BlockState, GDNState
from ..errors import CheckpointError, StorageError
from ..kv_window import KVWindow
from ..shapes import Stride
from .session import ChunkRecord, Prompt, Recipe, Session

VERSION = 1
INDEX = "session.json"
_PROMPT = tuple(field.name for field in fields(Prompt))
_HASHED = 2**22  # bytes read at a time


def save_session(session: Session, folder: str | Path) -> Path:
    """Write the session into a folder, replacing the one there; returns the path of its session.json.

    StorageError if the disk is full or cannot be written; the session that was there before is then still whole.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {"first": session.first, "latents": session.latents}
    states = session.state if isinstance(session.state, tuple) else (session.state,)
    described = [_flatten(state, f"state{i}.", tensors) for i, state in enumerate(states)]
    if session.tails is not None:
        tensors |= {f"tail.{i:03}": tail for i, tail in enumerate(session.tails)}
    if session.camera is not None:
        tensors |= {"camera.c2w": torch.tensor(session.camera.c2w)}
        tensors |= {"camera.intrinsics": torch.tensor(session.camera.intrinsics)}
    for i, prompt in enumerate(session.prompts):
        parts = {f"prompt.{i}.{part}": getattr(prompt, part) for part in _PROMPT}
        tensors |= {name: tensor for name, tensor in parts.items() if tensor is not None}
    index = {
        "version": VERSION,
        "model": session.model,
        "vae": session.vae,
        "stride": asdict(session.stride),
        "recipe": asdict(session.recipe),
        "picture": session.picture,
        "records": [asdict(record) for record in session.records],
        "states": described,
        "tails": None if session.tails is None else len(session.tails),
        "prompts": len(session.prompts),
        "camera": None if session.camera is None else _describe_camera(session.camera),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name, sha256 = _write_tensors(tensors, folder, session.chunks)
        index |= {"tensors": name, "sha256": sha256}
        with _unfinished(folder) as partial:
            partial.write_text(json.dumps(index, indent=1))
            _move(partial, folder / INDEX)
        for old in folder.glob("chunk_*.safetensors"):
            if old.name != name:
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
    """Read what save_session wrote. CheckpointError names the file that is missing, damaged or of a newer version."""
    index = _read_index(Path(folder))
    file = Path(folder) / Path(str(index.get("tensors"))).name
    if not file.is_file():
        raise CheckpointError(f"{file.name} is missing beside {INDEX}; restore it, the session cannot go on without it")
    if _sha256(file) != index.get("sha256"):
        raise CheckpointError(f"{file.name} is damaged: its checksum is not the one in {INDEX}; restore it from a copy")
    try:
        tensors = load_file(file, device=str(device))
        states = tuple(_unflatten(about, f"state{i}.", tensors) for i, about in enumerate(index["states"]))
        return Session(
            recipe=_read_recipe(index),
            model=index["model"],
            vae=index["vae"],
            stride=Stride(**index["stride"]),
            first=tensors["first"],
            latents=tensors["latents"],
            state=states if len(states) > 1 else states[0],
            tails=None if index["tails"] is None else tuple(tensors[f"tail.{i:03}"] for i in range(index["tails"])),
            camera=_read_camera(index["camera"], tensors),
            records=tuple(ChunkRecord(**record) for record in index["records"]),
            prompts=tuple(
                Prompt(**{part: tensors.get(f"prompt.{i}.{part}") for part in _PROMPT}) for i in range(index["prompts"])
            ),
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{INDEX} does not describe {file.name} ({error!r}); restore both from one copy"
        ) from error


def _write_tensors(tensors: dict[str, Tensor], folder: Path, chunks: int) -> tuple[str, str]:
    """File name and checksum. Nothing is copied: the session of a minute has a gigabyte."""
    with _unfinished(folder) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
        sha256 = _sha256(partial)
        name = f"chunk_{chunks:05}_{sha256[:12]}.safetensors"  # never the one that session.json names now
        _move(partial, folder / name)
    return name, sha256


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


def _flatten(state: WorldState, prefix: str, tensors: dict[str, Tensor]) -> dict:
    """Put a state's tensors under names; returns what is needed to put it together again."""
    blocks = []
    for i, block in enumerate(state.blocks):
        name = f"{prefix}block{i:02}."
        if block.ffn_tail is not None:
            tensors[f"{name}ffn_tail"] = block.ffn_tail
        if isinstance(block.mixer, KVWindow):
            window = block.mixer
            for c, chunk in enumerate(window.chunks):
                tensors |= {f"{name}window.{c}.{k}": tensor for k, tensor in enumerate(chunk)}
            widths = [len(chunk) for chunk in window.chunks]
            blocks.append({"window": widths, "size": window.size, "keeps_sink": window.keeps_sink})
        else:
            parts = {f.name: getattr(block.mixer, f.name) for f in fields(GDNState)}
            tensors |= {f"{name}{part}": tensor for part, tensor in parts.items() if tensor is not None}
            blocks.append({"gdn": sorted(part for part, tensor in parts.items() if tensor is not None)})
    return {"frames": state.frames, "blocks": blocks}


def _unflatten(about: dict, prefix: str, tensors: dict[str, Tensor]) -> WorldState:
    blocks = []
    for i, block in enumerate(about["blocks"]):
        name = f"{prefix}block{i:02}."
        if "window" in block:
            chunks = [
                tuple(tensors[f"{name}window.{c}.{k}"] for k in range(width)) for c, width in enumerate(block["window"])
            ]
            mixer: KVWindow | GDNState = KVWindow(tuple(chunks), block["size"], block["keeps_sink"])
        else:
            mixer = GDNState(**{part: tensors[f"{name}{part}"] for part in block["gdn"]})
        blocks.append(BlockState(mixer, tensors.get(f"{name}ffn_tail")))
    return WorldState(tuple(blocks), about["frames"])


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


def _move(partial: Path, path: Path) -> None:
    """Into place, and on the disk before the next file is begun."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
