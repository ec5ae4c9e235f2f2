"""Opening weight files: memory-mapped safetensors, one file or a sharded index, never a pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .damage import unreadable
from .keymaps import OTHER_PARTS, Layout
from .recognition import LAYOUTS, known_prefix

SHOWN = 8
SUFFIXES = (".safetensors", ".sft")
INDEX = re.compile(r".+\.safetensors\.index(\.\w+)?\.json")
SHARD = re.compile(r".+-\d{5}-of-(\d{5})\.(safetensors|sft)")
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
NOT_READ = {
    ".gguf": "GGUF files hold quantised weights, which are not read yet; take the .safetensors file in bf16 or fp32",
    **dict.fromkeys(
        PICKLES,
        "pickles can run code when they are opened and are not read; take a .safetensors file of the same model, or "
        "make one of SANA-WM's streaming model.pt: `python3 -m tools.convert FILE` in the folder of this node pack",
    ),
}


@dataclass(frozen=True, eq=False)
class WeightFile:
    """Names, shapes and metadata of a checkpoint, `prefix` cut off its names; `read` maps tensors on demand."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]  # in the words of safetensors: F32, BF16, F8_E4M3, ...
    metadata: Mapping[str, str]
    config: Mapping[str, Any]  # the config.json beside it, empty if there is none
    prefix: str
    outside: tuple[str, ...]  # keys without the prefix, or of other models in the same file
    shards: Mapping[str, Path]

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, memory-mapped: no bytes are read before they are used."""
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self.shards[name], []).append(name)
        tensors = {}
        for shard, shard_names in wanted.items():
            with _open(shard) as f:
                try:
                    tensors |= {name: f.get_tensor(self.prefix + name) for name in shard_names}
                except SafetensorError as error:
                    raise CheckpointError(
                        f"{shard.name} changed after it was opened ({error}); load it again"
                    ) from error
        return tensors


def open_weights(path: str | Path, layouts: tuple[Layout, ...] = LAYOUTS, *, whole: bool = False) -> WeightFile:
    """Open a .safetensors file, an index of shards, any shard whose index lies beside it, or a folder that holds one.

    layouts: which models to look for among the keys. whole: keep all keys, whatever prefix they have. CheckpointError: missing, cut off, not safetensors, a shard is
    missing, or the config.json beside it is broken.
    """
    path = _find(Path(path))
    shards: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for file in _shard_files(path):
        found, stated = _header(file)
        metadata |= stated
        for key, (shape, dtype) in found.items():
            if key in shards:
                raise CheckpointError(f"{key} is in both {shards[key].name} and {file.name}; download them again")
            shards[key], shapes[key], dtypes[key] = file, shape, dtype
    prefix = "" if whole else known_prefix(shapes, layouts)
    inside = {key[len(prefix) :]: key for key in shapes if whole or _belongs(key, prefix)}
    return WeightFile(
        path=path,
        shapes={name: shapes[key] for name, key in inside.items()},
        dtypes={name: dtypes[key] for name, key in inside.items()},
        metadata=metadata,
        config=_sibling_config(path),
        prefix=prefix,
        outside=tuple(sorted(set(shapes) - set(inside.values()))),
        shards={name: shards[key] for name, key in inside.items()},
    )


def json_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object in `text`; CheckpointError names `what` if it is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{what} is not valid JSON ({error}); mend it or take it away") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} must be a JSON object, got {type(value).__name__}; mend it or take it away")
    return value


def some(items: Iterable[str]) -> str:
    """Up to eight of them, for an error text."""
    items = list(items)
    return ", ".join(items[:SHOWN]) + (", ..." if len(items) > SHOWN else "")


def _belongs(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and not (prefix == "" and key.startswith(OTHER_PARTS))


def _find(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(f"no such file: {path}")
    if path.is_dir():
        return _only_one(path)
    if INDEX.fullmatch(path.name):
        return path
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CheckpointError(f"{path.name} is not a .safetensors file: {NOT_READ.get(suffix, 'choose one that is')}")
    return _index_of(path) if SHARD.fullmatch(path.name) else path


def _only_one(folder: Path) -> Path:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    found = sorted(f for f in folder.iterdir() if INDEX.fullmatch(f.name)) or files
    if len(found) == 1:
        return _index_of(found[0]) if SHARD.fullmatch(found[0].name) else found[0]
    inner = sorted({f.parent.name for suffix in SUFFIXES for f in folder.glob(f"*/*{suffix}")})
    hint = f"choose one of its folders {', '.join(inner)}" if inner and not found else "name the file"
    names = some(f.name for f in found) or "none"
    raise CheckpointError(f"{folder} must hold one .safetensors file or one index of shards, found {names}; {hint}")


def _index_of(shard: Path) -> Path:
    """The index beside a shard that lists it."""
    for file in sorted(shard.parent.iterdir()):
        if INDEX.fullmatch(file.name) and shard.name in _weight_map(file).values():
            return file
    count = int(SHARD.fullmatch(shard.name)[1])
    wanted = re.sub(r"-\d{5}-of-\d{5}", "", shard.name) + ".index.json"
    raise CheckpointError(
        f"{shard.name} is one of {count} shards and no index beside it lists it; put {wanted} and the other shards "
        "of the same model into this folder"
    )


def _weight_map(index: Path) -> dict[str, str]:
    found = json_object(_text(index), index.name).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise CheckpointError(f"{index.name} has no weight_map of keys to shards; download it again")
    return found


def _shard_files(path: Path) -> list[Path]:
    if not INDEX.fullmatch(path.name):
        return [path]
    names = sorted(set(_weight_map(path).values()))
    files = [path.parent / Path(name).name for name in names]
    missing = [f.name for f in files if not f.exists()]
    if missing:
        raise CheckpointError(
            f"{path.name} lists {len(files)} shards, missing: {some(missing)}; download them into the same folder"
        )
    return files


def _open(path: Path):
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def _header(path: Path) -> tuple[dict[str, tuple[tuple[int, ...], str]], dict[str, str]]:
    """{key: (shape, dtype)} and metadata of one file."""
    # In a function of its own: a slice that lived on in the frames of an error would keep the file mapped.
    with _open(path) as f:
        keys = f.keys()
        slices = {key: f.get_slice(key) for key in keys}
        return {key: (tuple(s.get_shape()), s.get_dtype()) for key, s in slices.items()}, f.metadata() or {}


def _sibling_config(path: Path) -> dict[str, Any]:
    file = path.parent / "config.json"
    return json_object(_text(file), f"config.json beside {path.name}") if file.exists() else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as text: {error}") from error
