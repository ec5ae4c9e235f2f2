"""Camera paths on disk: one .safetensors file with tensors c2w and intrinsics, everything else as metadata.

Metadata (strings): format, version, size (JSON [h, w]), fps (JSON number), provenance (JSON object).
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from ..errors import CameraError, SanaWMError
from .path import CameraPath, Provenance

FORMAT = "sana-wm-camera"
VERSION = "1"


def save_path(path: CameraPath, file: str | Path) -> None:
    """Write `path` to `file` as a whole: a reader, or a crash, sees the old file or the new one."""
    from safetensors.numpy import save

    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "size": json.dumps(path.size),
        "fps": json.dumps(path.fps),
        "provenance": json.dumps(asdict(path.provenance)),
    }
    file = Path(file)
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        unfinished.write_bytes(save({"c2w": path.c2w, "intrinsics": path.intrinsics}, metadata))
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def load_path(file: str | Path) -> CameraPath:
    """Read what save_path wrote; CameraError names the file when it is missing, foreign, truncated or invalid."""
    file = Path(file)
    tensors, metadata = _read(file)
    if metadata.get("format") != FORMAT:
        raise CameraError(f"{file} is a safetensors file, but not a camera path (no format {FORMAT!r} in its metadata)")
    if metadata.get("version") != VERSION:
        raise CameraError(
            f"{file} has camera path version {metadata.get('version')}, this pack reads {VERSION}; update the pack"
        )
    for name in ("c2w", "intrinsics"):
        if name not in tensors or tensors[name].dtype != np.float32:
            raise CameraError(f"{file} must hold a float32 tensor {name!r}, got {_list(tensors)}; save the path again")
    try:
        size = tuple(json.loads(metadata["size"]))
        provenance = _provenance(json.loads(metadata["provenance"]))
        return CameraPath(tensors["c2w"], tensors["intrinsics"], size, json.loads(metadata["fps"]), provenance)
    except (SanaWMError, KeyError, TypeError, ValueError) as error:
        raise CameraError(f"{file} is not a valid camera path: {error}") from error


def _read(file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise CameraError(f"no camera path at {file}; check the name, and the folder it was saved to")
    try:
        with safe_open(file, framework="numpy") as opened:
            names = opened.keys()
            return {name: opened.get_tensor(name) for name in names}, opened.metadata() or {}
    except (SafetensorError, TypeError) as error:  # TypeError: a dtype that numpy lacks, so not one of our files
        raise CameraError(f"{file} is not a whole .safetensors file ({error}); save the path again") from error


def _provenance(stored: dict) -> Provenance:
    known = {field.name for field in fields(Provenance)}
    if not isinstance(stored, dict) or set(stored) != known:
        raise ValueError(f"provenance must have exactly the fields {', '.join(sorted(known))}, got {stored!r:.200}")
    texts = [stored["source"], stored["intrinsics_source"], *stored["conversions"]]
    texts += [stored[name] for name in ("dialect", "actions") if stored[name] is not None]
    if not isinstance(stored["conversions"], list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"provenance must hold texts, got {stored!r:.200}")
    return Provenance(**{**stored, "conversions": tuple(stored["conversions"])})


def _list(tensors: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items()) or "none"
