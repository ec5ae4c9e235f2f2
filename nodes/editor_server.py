"""What the camera editor asks the server: presets, flights and files as keyframes, and what a path will ask of the model.

Every answer is JSON; a request that cannot be met has status 400 and {"error": text}. Work is done beside the server's loop.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

from aiohttp import web

from ..wm_core.camera import (
    DIALECTS,
    EASINGS,
    PRESETS,
    Dialect,
    Fit,
    actions_to_path,
    camera_of_file,
    describe,
    held_keys,
    keyframed_path,
    keyframes_of,
    preflight,
    preset_keyframes,
    preset_path,
    read_keyframes,
    write_keyframes,
)
from ..wm_core.camera.actions import MAX_FRAMES
from ..wm_core.camera.keyframes import POSITIONS, TIMINGS, TURNS
from ..wm_core.errors import CameraError, SanaWMError
from .depth import kept_depth

PREFIX = "/sana_wm/camera"
MOST_BYTES = 32_000_000  # of a file; a minute of poses has 100 kB
FLYING = "nvlabs-v2"


def offer_camera_editor(server) -> None:
    """Add the routes to the host's PromptServer. Scripts of the editor are asked for anew after an update of the pack."""
    server.routes.get(f"{PREFIX}/choices")(_answered(_choices))
    server.routes.post(f"{PREFIX}/keyframes")(_answered(_keyframes))
    server.routes.post(f"{PREFIX}/file")(_answered(_file))
    server.routes.post(f"{PREFIX}/preflight")(_answered(_preflight))
    server.app.on_response_prepare.append(_revalidate_modules)


def _answered(make: Callable) -> Callable:
    """A handler that reads the body, works in a thread, and says errors of the user's as such."""

    async def handler(request: web.Request) -> web.Response:
        body = await _body(request)
        if body is None:
            return _refused(f"a camera file has at most {MOST_BYTES // 1_000_000} MB; thin it out, or load it by a node")
        try:
            return web.json_response(await asyncio.to_thread(make, body, dict(request.query)))
        except SanaWMError as error:
            return _refused(str(error))
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            return _refused(f"the request is not one of the editor's: {error!r}")

    return handler


async def _body(request: web.Request) -> bytes | None:
    """None if it is too long, which not every client says in advance."""
    if (request.content_length or 0) > MOST_BYTES:
        return None
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _refused(text: str) -> web.Response:
    return web.json_response({"error": text}, status=400)


def _choices(body: bytes, query: dict) -> dict:
    """Names and numbers that the editor would else have a second copy of."""
    return {
        "presets": [{"name": p.name, "amount": p.amount, "unit": p.unit} for p in PRESETS.values()],
        "easings": list(EASINGS),
        "positions": POSITIONS,
        "turns": TURNS,
        "timings": TIMINGS,
        "dialect": _row(DIALECTS[FLYING]),
    }


def _row(dialect: Dialect) -> dict:
    names = ("name", "translation_speed", "rotation_speed_deg", "pitch_limit_deg", "at_pitch_limit", "strafe_yaw", "flat_guard")
    row = {name: getattr(dialect, name) for name in names}
    return row | {"keys": dict(dialect.keys), "inertia": asdict(dialect.inertia)}


def _keyframes(body: bytes, query: dict) -> dict:
    """A preset, an action string, or another document's path as keys that each stand where they are at their frame."""
    asked = json.loads(body)
    if "document" in asked:
        return _told(keyframes_of(keyframed_path(read_keyframes(json.dumps(asked["document"])))))
    view = {"size": tuple(asked["size"]), "fov_deg": asked["fov"], "fps": asked["fps"]}
    if "actions" in asked:
        return _told(keyframes_of(actions_to_path(asked["actions"], dialect=FLYING, **view)))
    make, frames = preset_keyframes if asked["whole"] else _preset_in_keys, asked["frames"]
    _check_length(frames)
    return _told(make(asked["preset"], frames=frames, amount=asked.get("amount"), **view))


def _preset_in_keys(name: str, **options: Any) -> Fit:
    """With even turns between keys, as what a path goes on with needs them."""
    return keyframes_of(preset_path(name, **options))


def _file(body: bytes, query: dict) -> dict:
    """A camera file as a keyframe document; its name tells what it is."""
    size = (int(query["height"]), int(query["width"]))
    with tempfile.TemporaryDirectory(prefix="sana_wm_") as folder:
        place = Path(folder) / f"camera{PurePath(query['name']).suffix.lower()[:16]}"
        place.write_bytes(body)
        try:
            path = camera_of_file(place, size=size)
            _check_length(path.frames)
            return _told(keyframes_of(path.relative_to_first()))
        except SanaWMError as error:  # which names the file by where it stands here
            raise CameraError(str(error).replace(str(place), PurePath(query["name"]).name)) from error


def _check_length(frames: Any) -> None:
    """Before anything of that length is made."""
    if not isinstance(frames, int) or not 0 < frames <= MAX_FRAMES:
        raise CameraError(f"a path has 1 to {MAX_FRAMES} frames, got {frames!r:.60}; split it into takes")


def _told(fit: Fit) -> dict:
    return {
        "document": json.loads(write_keyframes(fit.keyframes)),
        "told": describe(keyframed_path(fit.keyframes)),
    }


def _preflight(body: bytes, query: dict) -> dict:
    """What a document's path will ask of the model, and which keys would make its motion. `depth`: of what the node told."""
    path = keyframed_path(read_keyframes(body.decode("utf-8", "replace")))
    depth = kept_depth(query["depth"], int(query["height"]), int(query["width"])) if "depth" in query else None
    found = preflight(path, depth=depth)
    findings = [
        {"level": f.level, "text": f.text, "frames": [[r.start, r.stop] for r in f.frames]} for f in found.findings
    ]
    return {"summary": found.summary, "findings": findings, "held": held_keys(path)}


async def _revalidate_modules(request: web.Request, response: web.StreamResponse) -> None:
    """Hosts say of .js files, but not of .mjs files, that a browser must ask whether they changed."""
    if request.path.endswith(".mjs") and "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-cache"
