"""A camera file of any kind that this package reads, told by its name and content."""

from __future__ import annotations

from pathlib import Path

from .exchange import find_scene, import_path
from .formats import load_path
from .keyframe_document import FORMAT, MAX_TEXT, read_keyframes
from .keyframes import keyframed_path
from .path import CameraPath

_HEAD = 1000  # letters of a document in which it names its format


def camera_of_file(file: Path, *, size: tuple[int, int] | None = None) -> CameraPath:
    """The path in a file, in the format's own axes and metres. size: (h, w) pixels, for files that do not say one.

    CameraError if it is none, or damaged.
    """
    path = own_camera(file)
    if path is not None:
        return path
    scene = find_scene(file)
    return import_path(file, size=size) if scene is None else scene.read(file, size=size)


def own_camera(file: Path) -> CameraPath | None:
    """The path of a file in this package's own formats, whole or as keyframes; None if it is another program's."""
    if file.suffix.lower() == ".safetensors":
        return load_path(file)
    if file.suffix.lower() != ".json" or not file.is_file() or file.stat().st_size > MAX_TEXT:
        return None
    text = file.read_bytes().decode("utf-8", "replace")
    return keyframed_path(read_keyframes(text)) if f'"{FORMAT}"' in text[:_HEAD] else None
