"""A refinement on disk while it goes on: one .safetensors for each finished block, and refined.json that names them.

refined.json also says what fixes the numbers, so that only the same refinement is gone on with. It is moved into place last:
at any instant, also of a kill, it belongs to whole files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..config import RefinerRecipe
from ..errors import CheckpointError, StorageError
from .tensor_file import read_entry, unfinished, write_entry

VERSION = 1
INDEX = "refined.json"


@dataclass(frozen=True)
class RefinedKey:
    """What fixes the numbers of a refinement."""

    refiner: str  # fingerprint of its weights and LoRAs
    draft: str  # of stage 1's latents
    prompt: str  # of the encoded prompt
    recipe: RefinerRecipe
    seed: int
    fps: float
    frames: tuple[int, int]  # latent frames [start, stop) that are refined

    def as_json(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def fingerprint_latents(latents: Tensor) -> str:
    """A short hash of latents, to the last bit."""
    return hashlib.sha256(latents.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def save_block(folder: str | Path, key: RefinedKey, index: int, block: Tensor) -> None:
    """Add block `index` (1, c, t, h, w) to those in the folder, which it follows. StorageError if it cannot be written."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        blocks = _entries(folder, key)[:index]
        entry = write_entry({"latents": block.float()}, folder, f"block_{index:05}")
        content = {"version": VERSION, "key": key.as_json(), "blocks": [*blocks, entry]}
        with unfinished(folder) as partial:
            partial.write_text(json.dumps(content))
            with partial.open("rb+") as opened:
                os.fsync(opened.fileno())
            os.replace(partial, folder / INDEX)
    except OSError as error:
        raise StorageError(
            f"refined block {index} could not be written to {folder}: {error}; free space there or choose another "
            "save_prefix; stage 1 and the blocks before are still there"
        ) from error


def load_blocks(folder: str | Path, key: RefinedKey, device: torch.device | str = "cpu") -> list[Tensor]:
    """The finished blocks of this very refinement, up to the first that is missing or damaged; none if it is another."""
    blocks = []
    for entry in _entries(Path(folder), key):
        try:
            blocks.append(read_entry(Path(folder), entry, device)["latents"])
        except (CheckpointError, KeyError, TypeError):
            break
    return blocks


def find_refined(folders: Iterable[str | Path], key: RefinedKey) -> Path | None:
    """The folder that has most blocks of this very refinement."""
    counted = [(len(_entries(Path(folder), key)), Path(folder)) for folder in folders]
    count, folder = max(counted, default=(0, None))
    return folder if count else None


def _entries(folder: Path, key: RefinedKey) -> list[dict]:
    try:
        index = json.loads((folder / INDEX).read_text())
        return index["blocks"] if index["version"] == VERSION and index["key"] == key.as_json() else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
