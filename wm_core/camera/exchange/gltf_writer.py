"""glTF 2.0 scenes with one animated camera, written for Blender and other programs. Khronos glTF 2.0 specification.

A node with a perspective camera, translation and rotation at every frame's second, LINEAR; y up, metres, the camera looks along
its own -z. What core glTF has no place for stands in the node's extras, see gltf_extras.py.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..path import CameraPath
from ..quaternion import continuous
from .conversion import Axes, from_c2w
from .gltf import MAX_YFOV, MIN_YFOV, SUFFIXES
from .gltf_extras import vertical_view, write_extras
from .gltf_motion import frame_times
from .left_out import off_centre
from .quaternions import rotation_to_quaternion
from .timing import MAX_FPS, MIN_FPS
from .whole_files import write_whole

_FLOAT = 5126
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_NEAR = 0.01  # metres: the nearest thing that a viewer draws; the format asks for one


def gltf_export(path: CameraPath, file: str | Path, *, metres: float = 1.0) -> tuple[str, ...]:
    """Write the path as a scene, whole or not at all, and return in words what other programs will not see of it.

    file: .glb, or .gltf, whose numbers are then inside of it as base64. metres: length of the file's unit. gltf_path gives the
    whole path again. CameraError for what cannot be meant, StorageError for what cannot be written.
    """
    file = Path(file)
    if file.suffix.lower() not in SUFFIXES:
        raise CameraError(f"a glTF scene ends in {' or '.join(SUFFIXES)}, got {file.name}; rename it")
    if not MIN_FPS <= path.fps <= MAX_FPS:
        raise CameraError(
            f"a scene has {MIN_FPS:g} to {MAX_FPS:g} frames per second, got {path.fps:g}; retime the path"
        )
    yfov = vertical_view(path.intrinsics[0], path.size)
    if not MIN_YFOV < yfov < MAX_YFOV:
        raise CameraError(
            f"the first frame sees {np.degrees(yfov):.3g} degrees from top to bottom, which a glTF camera does not; "
            "correct the intrinsics"
        )
    document, data = _scene(path, metres, yfov)
    if file.suffix.lower() == ".glb":
        write_whole({file: _as_binary(document, data)})
    else:
        document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        write_whole({file: _as_text(document)})
    return _left_out(path)


def _scene(path: CameraPath, metres: float, yfov: float) -> tuple[dict[str, Any], bytes]:
    """The document, and the content of its only buffer."""
    matrices = from_c2w(path.c2w, Axes("opengl", "c2w", metres))
    times, centres, turns = frame_times(path.frames, path.fps), matrices[:, :3, 3], _turns(matrices[:, :3, :3])
    arrays = [np.asarray(values, "<f4") for values in (times[:, None], centres, turns)]
    starts = np.cumsum([0, *(array.nbytes for array in arrays)]).tolist()
    accessors = [
        {"bufferView": i, "componentType": _FLOAT, "count": len(array), "type": _KINDS[array.shape[1]]}
        for i, array in enumerate(arrays)
    ]
    accessors[0] |= {"min": [float(times[0])], "max": [float(times[-1])]}  # which the format asks of times
    fx, fy = path.intrinsics[0, :2].tolist()
    height, width = path.size
    lens = {"yfov": yfov, "aspectRatio": width * fy / (height * fx), "znear": _NEAR}
    node = {"name": "Camera", "camera": 0, "translation": arrays[1][0].tolist(), "rotation": arrays[2][0].tolist()}
    moved = ("translation", "rotation")
    document = {
        "asset": {"version": "2.0", "generator": "SANA-WM"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node | {"extras": write_extras(path)}],
        "cameras": [{"name": "Camera", "type": "perspective", "perspective": lens}],
        "animations": [
            {
                "name": "Camera",
                "channels": [{"sampler": i, "target": {"node": 0, "path": way}} for i, way in enumerate(moved)],
                "samplers": [{"input": 0, "output": i, "interpolation": "LINEAR"} for i in (1, 2)],
            }
        ],
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes}
            for start, array in zip(starts, arrays, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }
    return document, b"".join(array.tobytes() for array in arrays)


def _turns(rotation: NDArray) -> NDArray:
    """Quaternions (f, 4) as x, y, z, w, each on the side of the one before it: not every viewer takes the shorter way."""
    return continuous(rotation_to_quaternion(rotation))[:, [1, 2, 3, 0]]


def _as_text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _as_binary(document: Mapping[str, Any], data: bytes) -> bytes:
    """One .glb file; its parts are filled up to four bytes, the text with blanks."""
    text = _as_text(document)
    body = b""
    for kind, part, filling in ((b"JSON", text, b" "), (b"BIN\0", data, b"\0")):
        part += filling * (-len(part) % 4)
        body += struct.pack("<I4s", len(part), kind) + part
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def _left_out(path: CameraPath) -> tuple[str, ...]:
    focal = path.intrinsics[:, :2]
    zoom = focal.max(0) / focal.min(0)
    notes = []
    if zoom.max() > 1 + 1e-6:
        notes.append(
            f"the focal length changes by a factor of {zoom.max():.3g}, which glTF cannot animate: other programs see the view "
            "of the first frame throughout, this pack reads all of them"
        )
    if moved := off_centre(path):
        notes.append(f"{moved}, for which glTF has no place: only this pack reads it")
    return tuple(notes)
