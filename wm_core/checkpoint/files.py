"""Opening weight files: memory-mapped safetensors, one file or a sharded index, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .keymaps import FOREIGN_LAYOUTS, PREFIXES, VAE_LAYOUTS, WORLD_LAYOUTS, Layout


@dataclass(frozen=True, eq=False)
class WeightFile:
    """Names, shapes and metadata of a checkpoint; `read` maps tensors on demand. `prefix` is already cut off the names."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    config: Mapping[str, object] | None  # the config.json beside it
    prefix: str
    shards: Mapping[str, Path]

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, memory-mapped: no bytes are read before they are used."""
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self.shards[name], []).append(name)
        tensors = {}
        for shard, shard_names in wanted.items():
            with _open(shard) as f:
                tensors |= {name: f.get_tensor(self.prefix + name) for name in shard_names}
        return tensors


def open_weights(path: str | Path) -> WeightFile:
    """Open a .safetensors file, a .safetensors.index.json, or a folder that holds one of either.

    CheckpointError: missing, truncated, not safetensors, or a shard is missing.
    """
    path = _find(Path(path))
    shards: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    metadata: dict[str, str] = {}
    for file in _shard_files(path):
        with _open(file) as f:
            metadata |= f.metadata() or {}
            for key in f.keys():
                shards[key] = file
                shapes[key] = tuple(f.get_slice(key).get_shape())
    prefix = common_prefix(shapes)
    cut = len(prefix)
    inside = [key for key in shapes if key.startswith(prefix)]
    return WeightFile(
        path=path,
        shapes={key[cut:]: shapes[key] for key in inside},
        metadata=metadata,
        config=_sibling_config(path),
        prefix=prefix,
        shards={key[cut:]: shards[key] for key in inside},
    )


def common_prefix(keys: Iterable[str]) -> str:
    """The longest chain of known prefixes under which the keys of a known layout lie; '' if they lie bare."""
    names = set(keys)
    for layout in (*WORLD_LAYOUTS, *VAE_LAYOUTS):
        for key in names:
            if key.endswith(layout.has[0]):
                prefix = key[: -len(layout.has[0])]
                if _is_known_prefix(prefix) and all(prefix + other in names for other in layout.has):
                    return prefix
    return ""


def recognise(shapes: Mapping[str, object]) -> Layout | None:
    """The first known layout whose names are all there."""
    for layout in (*WORLD_LAYOUTS, *VAE_LAYOUTS, *FOREIGN_LAYOUTS):
        if all(any(key == name or key.endswith("." + name) for key in shapes) for name in layout.has):
            return layout
    return None


def _is_known_prefix(prefix: str) -> bool:
    while prefix:
        known = next((p for p in PREFIXES if prefix.startswith(p)), None)
        if known is None:
            return False
        prefix = prefix[len(known) :]
    return True


def _find(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(f"no such file: {path}")
    if path.is_dir():
        found = sorted(path.glob("*.safetensors.index.json")) or sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            names = ", ".join(f.name for f in found) or "none"
            raise CheckpointError(f"{path} must hold one .safetensors file or one index, found {names}; name the file")
        return found[0]
    if path.suffix != ".safetensors" and not path.name.endswith(".safetensors.index.json"):
        raise CheckpointError(
            f"{path.name} is not a .safetensors file; other formats can run code when they are opened and are not "
            "read. Convert it to safetensors first"
        )
    return path


def _shard_files(path: Path) -> list[Path]:
    if path.suffix == ".safetensors":
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path.name} is not an index of safetensors shards: {error}") from error
    files = [path.parent / Path(name).name for name in names]
    missing = [f.name for f in files if not f.exists()]
    if missing:
        raise CheckpointError(f"{path.name} lists {len(files)} shards, missing: {', '.join(missing[:8])}")
    return files


def _open(path: Path):
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"{path.name} ({size:,} bytes) is truncated or not a safetensors file ({error}); download it again"
        ) from error


def _sibling_config(path: Path) -> dict[str, object] | None:
    file = path.parent / "config.json"
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
