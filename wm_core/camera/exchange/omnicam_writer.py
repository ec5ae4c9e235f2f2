"""OmniCam tracks of a camera path: one key for every frame, linear in between, looking at a point straight ahead.

A track that stands alone, because both OmniCam's editor and its scenes take one; see omnicam.py for the format.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ...errors import CameraError
from ..path import CameraPath
from .conversion import Axes, from_c2w
from .left_out import off_centre, stretched
from .omnicam_motion import roll_of
from .whole_files import write_whole

MAX_KEYS = 10_000  # these four are the bounds of OmniCam's own check of a track
MIN_FPS, MAX_FPS = 1, 120
MIN_SIDE, MAX_SIDE = 64, 4096
MIN_FOV, MAX_FOV = 5.0, 150.0  # degrees; beyond, the zoom does the rest
_DIGITS = 9


def omnicam_export(
    path: CameraPath, file: str | Path, *, metres: float = 1.0, distance: float = 1.0
) -> tuple[str, ...]:
    """Write the path as a track, whole or not at all, and return in words what the format cannot hold of it.

    metres: length of the file's unit. distance: metres to the point that the camera looks at. CameraError for what cannot be
    meant, StorageError for what cannot be written.
    """
    text, notes = omnicam_text(path, metres=metres, distance=distance)
    write_whole({Path(file): text.encode()})
    return notes


def omnicam_text(path: CameraPath, *, metres: float = 1.0, distance: float = 1.0) -> tuple[str, tuple[str, ...]]:
    """The track as JSON, and in words what it cannot hold: see omnicam_export."""
    if not (math.isfinite(distance) and distance > 0):
        raise CameraError(f"distance must be positive metres to the point that is looked at, got {distance}")
    fps, (height, width) = round(path.fps), path.size
    _check(path, fps)
    matrices = from_c2w(path.c2w, Axes("opengl", "c2w", metres))
    position = matrices[:, :3, 3].round(_DIGITS)
    target = (position - matrices[:, :3, 2] * (distance / metres)).round(_DIGITS)
    roll = roll_of(matrices[:, :3, :3], position, target)  # of what is written: near straight down every digit turns it
    half = height / 2 / path.intrinsics[:, 1].astype(np.float64)
    fov = np.clip(np.degrees(2 * np.arctan(half)), MIN_FOV, MAX_FOV)
    zoom = np.tan(np.radians(fov) / 2) / half
    keys = [
        {
            "frame": frame,
            "camera": {
                "position": position[frame].tolist(),
                "target": target[frame].tolist(),
                "fov": float(fov[frame]),
                "roll": float(roll[frame]),
                "camera_type": "perspective",
                "zoom": float(zoom[frame]),
                "near": 0.01,
                "far": 10000.0,
            },
            "interpolation": "linear",
        }
        for frame in range(path.frames)
    ]
    head = {"schema_version": 1, "fps": fps, "duration_frames": path.frames, "width": width, "height": height}
    rest = {"render_mode": "omni_ref", "keyframes": keys, "objects": [], "metadata": {"generator": "SANA-WM"}}
    return json.dumps(head | rest, allow_nan=False), _left_out(path, fps)


def _check(path: CameraPath, fps: int) -> None:
    if path.frames > MAX_KEYS:
        raise CameraError(f"an OmniCam track has at most {MAX_KEYS} keys, the path has {path.frames} frames; cut it")
    if not MIN_FPS <= fps <= MAX_FPS:
        raise CameraError(
            f"an OmniCam track has {MIN_FPS} to {MAX_FPS} frames a second, got {path.fps:g}; retime the path"
        )
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in path.size):
        raise CameraError(
            f"an OmniCam track is for pictures of {MIN_SIDE} to {MAX_SIDE} pixels a side, got {path.size} (h, w); crop the path"
        )


def _left_out(path: CameraPath, fps: int) -> tuple[str, ...]:
    notes = []
    if fps != path.fps:
        notes.append(f"OmniCam counts whole frames a second: {path.fps:g} became {fps}")
    notes += [f"{moved}, for which OmniCam has no place" for moved in (off_centre(path), stretched(path)) if moved]
    return tuple(notes)
