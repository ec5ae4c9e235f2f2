"""Keyframes as text: the JSON document that the editor keeps in a workflow and this package saves.

    {"format": "sana-wm-keyframes", "version": 1, "frames": 161, "fps": 16, "size": [704, 1280],
     "positions": "catmull-rom", "turns": "squad", "timing": "keys",
     "keys": [{"frame": 0, "position": [0, 0, 0], "yaw": 0, "fov": 70, ...}, ...]}

Fields that are left out have the defaults of `Key` and `Keyframes`; unknown ones are refused, so that a slip is not lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from ..errors import CameraError
from .keyframes import MAX_KEYS, Key, Keyframes

FORMAT, VERSION = "sana-wm-keyframes", 1
MAX_TEXT = 2_000_000  # characters: a thousand keys with all their fields have a quarter of it
_NEXT = "write one with the camera editor"
_POINTS = ("position", "arrives", "leaves", "pivot")


def write_keyframes(keyframes: Keyframes) -> str:
    """The document; of each key only what differs from the defaults."""
    usual = asdict(Key(0))
    keys = []
    for key in keyframes.keys:
        given = asdict(key)
        keys.append({name: value for name, value in given.items() if name == "frame" or value != usual[name]})
    return json.dumps({"format": FORMAT, "version": VERSION} | asdict(keyframes) | {"keys": keys}, allow_nan=False)


def read_keyframes(text: str) -> Keyframes:
    """Keyframes of a document; CameraError says what is wrong with it and where."""
    if len(text) > MAX_TEXT:
        raise CameraError(f"a keyframe document has at most {MAX_TEXT} characters, got {len(text)}; use a camera file")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CameraError(f"the keyframe document is not JSON ({error}); {_NEXT}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CameraError(f"this is no keyframe document: wanted an object with format {FORMAT!r}; {_NEXT}")
    if document.get("version") != VERSION:
        raise CameraError(
            f"keyframes have version {document.get('version')!r}, this pack reads {VERSION}; update the pack"
        )
    keys = document.get("keys")
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
        got = f"{len(keys)} of them" if isinstance(keys, list) else type(keys).__name__
        raise CameraError(f"keys must be a list of 1 to {MAX_KEYS} objects, got {got}; {_NEXT}")
    rest = {name: value for name, value in document.items() if name not in ("format", "version")}
    made = tuple(_key(number, key) for number, key in enumerate(keys, 1))
    where = "the keyframe document"
    values = _checked(Keyframes, rest | {"keys": made}, where)
    size = values["size"]
    if not (isinstance(size, list) and len(size) == 2 and all(_is_whole(n) and 0 < n <= 100_000 for n in size)):
        raise CameraError(f"size must be [height, width] in whole pixels, got {size!r}; {_NEXT}")
    fps = values.get("fps", 16.0)
    if not (_is_number(fps) and fps > 0):
        raise CameraError(f"fps must be a positive number of frames per second, got {fps!r}")
    return Keyframes(**values | {"size": tuple(size), "fps": float(fps)})


def _key(number: int, given: Any) -> Key:
    where = f"key {number}"
    if not isinstance(given, dict):
        raise CameraError(f"{where} must be an object, got {type(given).__name__}; {_NEXT}")
    values = _checked(Key, given, where)
    for name in _POINTS:
        point = values.get(name)
        if name not in values or (name == "pivot" and point is None):
            continue
        if not (isinstance(point, list) and len(point) == 3 and all(map(_is_number, point))):
            raise CameraError(f"{name} of {where} must be [x, y, z] in metres, got {point!r}")
        values[name] = tuple(float(n) for n in point)
    for name in ("yaw", "pitch", "roll", "fov"):
        if name in values and not _is_number(values[name]):
            raise CameraError(f"{name} of {where} must be a number of degrees, got {values[name]!r}")
    return Key(**values)


def _checked(kind: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a record, none unknown and none missing; numbers of frames whole, names texts."""
    known = {field.name: field for field in fields(kind)}
    if unknown := set(given) - set(known):
        raise CameraError(f"{where} has unknown fields {', '.join(sorted(unknown)):.200}; known: {', '.join(known)}")
    needed = {name for name, field in known.items() if field.default is MISSING}
    if missing := needed - set(given):
        raise CameraError(f"{where} lacks {', '.join(sorted(missing))}; {_NEXT}")
    for name, value in given.items():
        if name in ("frame", "frames") and not _is_whole(value):
            raise CameraError(f"{name} of {where} must be a whole number, got {value!r:.100}")
        if known[name].type == "str" and not isinstance(value, str):
            raise CameraError(f"{name} of {where} must be a text, got {value!r:.100}")
    return dict(given)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12 and math.isfinite(value)
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
