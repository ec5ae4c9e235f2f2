"""Gemma-3-12B on disk, the refiner's text encoder: a single .safetensors or a folder as transformers writes it.

Only headers and configurations are read here, so that a wrong choice is refused in a second and by name; weights are
read on demand, those of the language model alone. A folder may hold a vision tower: its tensors are never touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .gemma2 import TOKENIZER_KEY, GemmaConfig, gemma_weight_shapes

GEMMA_3_12B = GemmaConfig(
    vocab_size=262208, hidden_size=3840, intermediate_size=15360, layers=48, heads=16, kv_heads=8, head_dim=256
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")  # the first is what transformers reads
_CONFIG, _INDEX = "config.json", "model.safetensors.index.json"
_SUFFIXES = (".safetensors", ".sft")
_PREFIXES = ("language_model.model.", "model.language_model.", "model.")  # with a vision tower: older, newer; without
_PACKED = "U8"  # quantised: the shape in the file is not that of the weight
_SHOWN = 8
_SAMPLES, _SAMPLE_BYTES = 64, 256  # tensors of a file that its fingerprint looks into, and bytes of each


@dataclass(frozen=True, eq=False)
class Gemma3Files:
    """An encoder that was found complete. weights: name as in `gemma3_weight_shapes` -> (file, key in that file)."""

    path: Path
    config: Mapping[str, Any]  # of the language model, in transformers' words; empty for a single file
    weights: Mapping[str, tuple[Path, str]]
    tokenizer: Path  # a tokenizer of TOKENIZER_FILES, or the single file, which holds one

    @property
    def is_folder(self) -> bool:
        return bool(self.config)

    def read(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Every weight of the language model in `dtype`; one that has it already stays memory-mapped."""
        names: dict[Path, dict[str, str]] = {}
        for name, (file, key) in self.weights.items():
            names.setdefault(file, {})[name] = key
        tensors = {}
        for file, keys in names.items():
            try:
                with safe_open(file, framework="pt") as opened:
                    tensors |= {name: opened.get_tensor(key).to(dtype) for name, key in keys.items()}
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"{file.name} changed after it was opened ({error}); load it again") from error
        return tensors


@dataclass(frozen=True)
class _Header:
    """tensors: key -> (dtype, shape, first byte in the file, length in bytes)."""

    text: bytes
    size: int
    tensors: Mapping[str, tuple[str, tuple[int, ...], int, int]]


def gemma3_weight_shapes(config: GemmaConfig = GEMMA_3_12B) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of the language model, named as in a single file; no output head."""
    norms = {
        f"model.layers.{i}.self_attn.{x}_norm.weight": (config.head_dim,) for i in range(config.layers) for x in "qk"
    }
    return gemma_weight_shapes(config) | norms


def open_gemma3(path: str | Path, config: GemmaConfig = GEMMA_3_12B) -> Gemma3Files:
    """Find the encoder at `path`: a single file, a folder, or a file of such a folder. CheckpointError says what is amiss."""
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, config)
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        raise _refused(path, f"{'a ' + (path.suffix or 'nameless') + ' file' if path.is_file() else 'nothing there'}")
    header = _read_header(path)
    if TOKENIZER_KEY not in header.tensors and (path.parent / _CONFIG).is_file():
        return _open_folder(path.parent, config)
    return _open_file(path, header, config)


def gemma3_sizes(path: str | Path) -> GemmaConfig:
    """Sizes that a folder's config.json states; of what it leaves out, and of a single file, Gemma-3-12B's."""
    if not Path(path).is_dir():
        return GEMMA_3_12B
    stated = _language_config(Path(path))
    fields = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "intermediate_size": "intermediate_size",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "num_key_value_heads": "kv_heads",
        "head_dim": "head_dim",
    }
    return replace(GEMMA_3_12B, **{ours: stated[theirs] for theirs, ours in fields.items() if theirs in stated})


def gemma3_fingerprint(files: Gemma3Files) -> str:
    """Tells encoders apart: names, sizes and headers of their files, and bytes of up to 64 weights of each."""
    digest = hashlib.sha256(json.dumps(files.config, sort_keys=True).encode())
    for file in sorted({file for file, _ in files.weights.values()}):
        header = _read_header(file)
        digest.update(f"{file.name} {header.size} ".encode() + header.text)
        keys = sorted(key for place, key in files.weights.values() if place == file)
        with open(file, "rb") as opened:
            for key in keys[:: -(-len(keys) // _SAMPLES)]:
                _, _, begin, length = header.tensors[key]
                opened.seek(begin + max(0, length - _SAMPLE_BYTES) // 2)
                digest.update(opened.read(min(length, _SAMPLE_BYTES)))
    return digest.hexdigest()


def _open_file(path: Path, header: _Header, config: GemmaConfig) -> Gemma3Files:
    wanted = gemma3_weight_shapes(config)
    _check_names(path, header.tensors, wanted)
    for key, shape in wanted.items():
        dtype, got, *_ = header.tensors[key]
        if dtype != _PACKED and got != shape:
            raise _refused(path, f"{key} of shape {got} instead of {shape}")
    dtype, got, *_ = header.tensors.get(TOKENIZER_KEY, ("", ()))
    if dtype != "U8" or len(got) != 1:
        raise _refused(path, f"the weights without a tokenizer (a byte tensor {TOKENIZER_KEY!r})")
    return Gemma3Files(path, {}, {key: (path, key) for key in wanted}, path)


def _open_folder(folder: Path, config: GemmaConfig) -> Gemma3Files:
    stated = _language_config(folder)
    sizes = stated.get("hidden_size"), stated.get("num_hidden_layers")
    if sizes != (config.hidden_size, config.layers):
        raise _refused(folder, f"a Gemma-3 of width {sizes[0]} and {sizes[1]} layers")
    places = _places(folder)
    prefix = next((p for p in _PREFIXES if f"{p}embed_tokens.weight" in places), "model.")
    named = {"model." + key.removeprefix(prefix): key for key in places if key.startswith(prefix)}
    wanted = gemma3_weight_shapes(config)
    _check_names(folder, named, wanted)
    weights = {name: (places[named[name]], named[name]) for name in wanted}
    for file in sorted({file for file, _ in weights.values()}):
        found = _read_header(file).tensors
        if lacking := [key for place, key in weights.values() if place == file and key not in found]:
            raise _refused(folder, f"{file.name} without {_named(lacking)}, which the index says is there")
    return Gemma3Files(folder, stated, weights, _tokenizer(folder))


def _language_config(folder: Path) -> dict[str, Any]:
    """The language model's part of config.json."""
    config = _read_json(folder / _CONFIG)
    if not str(config.get("model_type", "")).startswith("gemma3"):
        raise _refused(folder, f"a model of type {config.get('model_type')!r}")
    if "quantization_config" in config:
        raise _refused(folder, "weights quantised for another program")
    return config.get("text_config", config)


def _places(folder: Path) -> dict[str, Path]:
    """Key -> file, from the index if there is one: then files without a weight of the language model stay closed."""
    if (folder / _INDEX).is_file():
        index = _read_json(folder / _INDEX).get("weight_map", {})
        return {key: folder / name for key, name in index.items()}
    files = sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES)
    if not files:
        raise _refused(folder, "no .safetensors in it")
    return {key: file for file in files for key in _read_header(file).tensors}


def _tokenizer(folder: Path) -> Path:
    """In the folder, or where a pipeline keeps it: tokenizer/ beside it."""
    for place in (folder, folder.parent / "tokenizer"):
        for name in TOKENIZER_FILES:
            if (place / name).is_file():
                return place / name
    raise _refused(folder, f"no tokenizer ({' or '.join(TOKENIZER_FILES)})")


def _check_names(path: Path, names: Iterable[str], wanted: Mapping[str, tuple[int, ...]]) -> None:
    names = set(names)
    if not wanted.keys() & names:
        raise _refused(path, f"{len(names)} other tensors such as {_named(sorted(names))}")
    if "model.layers.0.self_attn.q_norm.weight" not in names:
        raise _refused(path, "a language model without the norms of Gemma 3, such as Gemma 2")
    if missing := [key for key in wanted if key not in names]:
        raise _refused(path, f"{len(missing)} of its weights missing: {_named(missing)}")
    layers = {int(found[1]) for key in names if (found := re.match(r"model\.layers\.(\d+)\.", key))}
    if extra := len(layers) - sum(key.endswith(".q_norm.weight") for key in wanted):
        raise _refused(path, f"a model of {extra} layers more")


def _read_header(path: Path) -> _Header:
    """Parsed here rather than by the library, for the places of the tensors in the file."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length < size else b""
        described = json.loads(text)
        tensors = {
            key: (value["dtype"], tuple(value["shape"]), 8 + length + begin, end - begin)
            for key, value in described.items()
            if key != "__metadata__"
            for begin, end in (value["data_offsets"],)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, str(error)) from error
    if max((begin + count for _, _, begin, count in tensors.values()), default=0) > size:
        raise _unreadable(path, f"{size} bytes are fewer than its header promises")
    return _Header(text, size, tensors)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refused(path.parent, f"no {path.name} in it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} of {path.parent.name} cannot be read: {error}; copy it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} of {path.parent.name} is not an object, got {value!r:.40}; copy it again")
    return value


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path.parent.name}/{path.name} cannot be read as safetensors ({reason}); it may be missing or cut off, "
        "download it again"
    )


def _refused(path: Path, got: str) -> CheckpointError:
    return CheckpointError(
        f"the refiner's text encoder cannot be read from {path.name}: got {got}, wanted Gemma-3-12B; choose its folder "
        "with config.json, the tokenizer and all .safetensors, or one .safetensors of ComfyUI with the tokenizer inside"
    )


def _named(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
