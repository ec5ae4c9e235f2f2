"""OmniCam's JSON (ComfyUI-Majoor-OmniCam): the way of a scene's active camera, or of a track that stands alone.

MotionScene v1: {"version": 1, "cameras": [{"id", "label", "track"}], "active_camera_id", "cuts": [{"camera_id", ...}], ...}
track: {"schema_version": 1, "fps", "duration_frames", "width", "height", "keyframes": [{"frame", "interpolation", "camera"}]}
camera: {"position", "target": [x, y, z], "fov": degrees from top to bottom, "roll", "zoom", "camera_type"}
Older files write names such as durationFrames. Objects, motion layers and whatever else is in a scene are left alone.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from ..path import CameraPath, Provenance
from .conversion import Axes, to_c2w
from .lens import check_size
from .omnicam_motion import EASINGS, Cameras, between_keys, standing
from .source import open_source
from .timing import MAX_FPS, MIN_FPS

MAX_BYTES = 4 * 2**20  # parsed it is up to 32 times as much; 10,000 keys have 3 MB
_FOV, _ZOOM = (0.1, 179.0), (1e-6, 1e6)
_MARKS = (b'"schema_version"', b'"schemaVersion"', b'"duration_frames"', b'"durationFrames"')
_NEXT = "save the scene again"


def omnicam_path(
    file: str | Path,
    *,
    camera: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    metres: float = 1.0,
) -> CameraPath:
    """The way of a camera in the scene's world.

    camera: its id; None: the active one, which must then be the only one that the scene's cuts show. fps: frames per second;
    None: the track's. size: (h, w) pixels; None: the track's, and what is seen from top to bottom stays. metres: length of the
    scene's unit. Tangents are left alone, and said. CameraError says what is missing, with the file.
    """
    file = Path(file)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise CameraError(f"fps must be a positive number of frames per second, got {fps}")
    document = _parsed(file)
    place, track = _track(document, camera, str(file)) if "cameras" in document else (str(file), document)
    rate = _number(track, "fps", None, (MIN_FPS, MAX_FPS), place)
    length = _whole(track, "duration_frames", (1, MAX_FRAMES), place)
    pixels = tuple(_whole(track, name, (1, 100_000), place) for name in ("height", "width"))
    faster = (fps or rate) / rate
    last = (length - 1) * faster + 1e-6
    if not last < MAX_FRAMES:
        raise CameraError(f"{place}: at {fps:g} fps it has more than {MAX_FRAMES} frames, which is too many; lower fps")
    frames = int(last) + 1
    at, names, keys, notes = _keys(track, place)
    moving = between_keys(keys, at, names, np.arange(frames) / faster)
    try:
        c2w, done = to_c2w(standing(moving), Axes("opengl", "c2w", metres))
        height, width = check_size(size, "size") if size is not None else pixels
        focal = moving.focal(height)
        rows = np.stack([focal, focal, np.full(frames, width / 2), np.full(frames, height / 2)], 1)
        if fps is not None and fps != rate:
            notes = (*notes, f"sampled at {fps:g} fps instead of {rate:g}")
        source = Provenance(
            source=f"file:{file.name} as omnicam", conversions=(*notes, *done), intrinsics_source="file"
        )
        return CameraPath(c2w, rows, (height, width), fps or rate, source)
    except CameraError as error:
        raise CameraError(f"{place}: {error}") from error


def is_omnicam(data: bytes) -> bool:
    """Whether the content of a JSON file is one of these: it has keyframes in a track."""
    return b'"keyframes"' in data and any(mark in data for mark in _MARKS)


def _parsed(file: Path) -> dict[str, Any]:
    with open_source(file, MAX_BYTES) as (opened, _):
        data = opened.read()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CameraError(f"{file} is not whole JSON ({error!s:.80}); {_NEXT}") from None
    if not isinstance(document, dict):
        raise CameraError(f"{file} must be a scene or a track of OmniCam, got {type(document).__name__}; {_NEXT}")
    return document


def _track(scene: dict[str, Any], wanted: str | None, file: str) -> tuple[str, dict[str, Any]]:
    """The track of the camera that is wanted, and the words with which errors about it begin."""
    if _said(scene, "version") != 1:
        raise CameraError(
            f"{file} is no MotionScene of version 1, its version is {_said(scene, 'version')!r:.40}; save it as one, or a "
            "single track"
        )
    cameras = {}
    for item in _objects(scene, "cameras", file):
        if not isinstance(item.get("id"), str) or item["id"] in cameras:
            raise CameraError(f"{file}: every camera must have an id of its own, got {item.get('id')!r:.60}; {_NEXT}")
        cameras[item["id"]] = item
    active = _said(scene, "active_camera_id") if wanted is None else wanted
    if not isinstance(active, str) or active not in cameras:
        known = ", ".join(map(repr, list(cameras)[:12])) or "none"
        raise CameraError(f"{file} has no camera {active!r:.60}, its cameras: {known:.200}; choose one of them")
    shown = dict.fromkeys([active, *(str(_said(cut, "camera_id")) for cut in _objects(scene, "cuts", file))])
    if wanted is None and len(shown) > 1:
        raise CameraError(
            f"{file} cuts between cameras, which is no single way: {', '.join(map(repr, shown)):.200}; remove the cuts, "
            "or save a scene with only the camera that you want"
        )
    track = cameras[active].get("track")
    if not isinstance(track, dict):
        raise CameraError(f"{file}, camera {active!r:.60}: wanted an object track, got {track!r:.60}; {_NEXT}")
    return f"{file}, camera {active!r:.60}", track


def _keys(track: dict[str, Any], place: str) -> tuple[NDArray, list[str], Cameras, tuple[str, ...]]:
    """Frames (k,) that rise, how each key goes on, its camera, and notes. Of several keys at a frame the last one counts."""
    constraints = track.get("constraints")
    look_at = constraints.get("look_at") if isinstance(constraints, dict) else None
    if isinstance(look_at, dict) and look_at.get("status") == "active":
        raise CameraError(f"{place}: the camera looks at an object of the scene; bake that into its keys")
    found = {}
    for number, key in enumerate(_objects(track, "keyframes", place)):
        where = f"{place}, key {number}"
        found[_whole(key, "frame", (0, 10**9), where)] = (_camera(key, where), key)
    if not found:
        raise CameraError(f"{place} has no keyframes; {_NEXT}")
    frames = sorted(found)
    values = np.array([found[frame][0] for frame in frames], np.float64)
    names = [str(_said(found[frame][1], "interpolation", "ease")) for frame in frames]
    notes = [f"easing {name!r:.40} is not known, taken as linear" for name in sorted({*names[:-1]} - set(EASINGS))[:3]]
    if any(found[frame][1].get("tangents") for frame in frames):
        notes.append("tangents of its keys not used")
    cameras = Cameras(values[:, :3], values[:, 3:6], values[:, 6], values[:, 7], values[:, 8])
    return np.array(frames, np.float64), names, cameras, tuple(notes)


def _camera(key: dict[str, Any], where: str) -> list[float]:
    """Position, target, field of view, zoom and roll of a key, which older files have in the key itself."""
    camera = key["camera"] if isinstance(key.get("camera"), dict) else key
    kind = _said(camera, "camera_type", "perspective")
    if kind != "perspective":
        raise CameraError(f"{where} is {kind!r:.40}, the model sees in perspective; switch the camera, and {_NEXT}")
    points = []
    for name in ("position", "target"):
        point = camera.get(name)
        if not isinstance(point, list) or len(point) != 3 or not all(map(_is_number, point)):
            raise CameraError(f"{where}: {name} must be [x, y, z], got {point!r:.60}; {_NEXT}")
        points += point
    lens = [_number(camera, "fov", 35.0, _FOV, where), _number(camera, "zoom", 1.0, _ZOOM, where)]
    return [*points, *lens, _number(camera, "roll", 0.0, (-1e6, 1e6), where)]


def _said(given: dict[str, Any], name: str, usual: Any = None) -> Any:
    """The value of that name, or of its older spelling."""
    first, *others = name.split("_")
    return given.get(name, given.get(first + "".join(map(str.capitalize, others)), usual))


def _objects(given: dict[str, Any], name: str, place: str) -> list[dict[str, Any]]:
    found = given.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CameraError(f"{place}: {name} must be a list of objects, got {found!r:.60}; {_NEXT}")
    return found


def _number(given: dict[str, Any], name: str, usual: float | None, within: tuple[float, float], place: str) -> float:
    value = _said(given, name, usual)
    if not _is_number(value) or not within[0] <= value <= within[1]:
        raise CameraError(f"{place}: {name} must be {within[0]:g} to {within[1]:g}, got {value!r:.60}; {_NEXT}")
    return float(value)


def _whole(given: dict[str, Any], name: str, within: tuple[int, int], place: str) -> int:
    value = _number(given, name, None, within, place)
    if value != int(value):
        raise CameraError(f"{place}: {name} must be a whole number, got {value:g}; {_NEXT}")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
