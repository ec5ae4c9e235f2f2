"""The scene table: one row for each format that holds a whole scene with a moving camera in it.

A row of FORMATS has one matrix for each frame, in any axes. A scene has axes of its own and is sampled at a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..path import CameraPath
from . import gltf, omnicam
from .gltf_writer import gltf_export
from .omnicam_writer import omnicam_export
from .source import open_source


@dataclass(frozen=True)
class SceneFormat:
    """How one program keeps scenes on the disk. Both functions take `metres`, the length of the scene's unit."""

    name: str
    label: str
    suffix: str  # of what is written
    suffixes: tuple[str, ...]  # of what is read
    read: Callable[..., CameraPath]  # (file, fps=, size=, metres=)
    write: Callable[..., tuple[str, ...]]  # (path, file, metres=) -> what is left out, in words
    recognises: Callable[[bytes], bool] | None = None  # from the whole content; None: the suffix is enough
    max_bytes: int = gltf.MAX_BYTES  # of what is read


_ROWS = (
    SceneFormat("gltf", "glTF", ".glb", gltf.SUFFIXES, gltf.gltf_path, gltf_export),
    SceneFormat(
        "omnicam",
        "OmniCam",
        ".json",
        (".json",),
        omnicam.omnicam_path,
        omnicam_export,
        omnicam.is_omnicam,
        omnicam.MAX_BYTES,
    ),
)
SCENES: Mapping[str, SceneFormat] = MappingProxyType({row.name: row for row in _ROWS})


def find_scene(file: Path) -> SceneFormat | None:
    """The row that an existing file belongs to, by its suffix and its content; None if it is no scene."""
    for row in SCENES.values():
        if file.suffix.lower() in row.suffixes and (row.recognises is None or _is_recognised(file, row)):
            return row
    return None


def _is_recognised(file: Path, row: SceneFormat) -> bool:
    if not file.is_file() or file.stat().st_size > row.max_bytes:
        return False
    with open_source(file) as (opened, _):
        return row.recognises(opened.read())
