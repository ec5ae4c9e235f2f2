"""glTF 2.0 scenes (.gltf, .glb), as Blender exports them: the way of an animated camera. Khronos glTF 2.0 specification.

Right-handed, y up, metres; a camera looks along its own -z. Time is in seconds and is sampled. Only what moves the camera is read:
its node, the nodes above it, and the animations of those.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from .. import quaternion
from ..actions import MAX_FRAMES
from ..path import CameraPath, Provenance
from .conversion import Axes, to_c2w
from .gltf_extras import OwnLens, read_extras
from .gltf_motion import Motion, frame_times, sampled
from .lens import ASSUMED_SIZE, check_size
from .source import open_source
from .timing import ASSUMED_FPS

SUFFIXES = (".gltf", ".glb")
MAX_BYTES = 64 * 2**20
MIN_YFOV, MAX_YFOV = 0.01, 3.1  # radians
_MAX_DEPTH = 256
_FLOAT = 5126
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
_NEXT = "export the scene again"


def gltf_path(
    file: str | Path,
    *,
    camera: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    metres: float = 1.0,
) -> CameraPath:
    """The way of a scene's camera, in the scene's world, sampled at `fps` from second 0 to the end of its animation.

    camera: the name of its node; None: the first. fps, size (h, w) pixels; None: those that gltf_export wrote beside the scene,
    else 16 and 1280 x 704. metres: length of the scene's unit. A camera that is not animated gives one frame. CameraError says
    what is missing, with the file.
    """
    file = Path(file)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise CameraError(f"fps must be a positive number of frames per second, got {fps}")
    scene = _Scene(file)
    chain, yfov = scene.camera_chain(camera)
    motions = scene.motions(chain)
    end = max((float(m.times[-1]) for m in motions.values()), default=0.0)
    own = read_extras(scene.items("nodes")[chain[-1]], str(file))
    notes = ()
    if own is not None and not own.fits(yfov, end):
        own, notes = None, ("its sana_wm extras tell of another view or length, not used",)
    rate = fps or (own.fps if own else ASSUMED_FPS)
    last = end * rate * (1 + 1e-7) + 1e-6  # the end is a float32, which may be a little early
    if not last < MAX_FRAMES:
        raise CameraError(
            f"{file}: {end:.4g} s at {rate:g} fps are {last:.6g} frames, wanted at most {MAX_FRAMES}; cut it"
        )
    frames = int(last) + 1
    world = np.tile(np.eye(4), (frames, 1, 1))
    for node in chain:
        world = world @ scene.local(node, motions, frame_times(frames, rate).astype(np.float64))
    try:
        c2w, done = to_c2w(_without_scale(world), Axes("opengl", "c2w", metres))
        rows, pixels = _lenses(yfov, own, frames, rate, size)
        conversions = (*notes, *done, f"sampled at {rate:g} fps")
        source = Provenance(source=f"file:{file.name} as gltf", conversions=conversions, intrinsics_source="file")
        return CameraPath(c2w, rows, pixels, rate, source)
    except CameraError as error:
        raise CameraError(f"{file}: {error}") from error


def _lenses(
    yfov: float, own: OwnLens | None, frames: int, fps: float, size: tuple[int, int] | None
) -> tuple[NDArray, tuple[int, int]]:
    """Intrinsics (f, 4), and the size (h, w) of their pixels: what is seen from top to bottom stays, whatever the size."""
    wanted = size if size is not None else own.size if own else ASSUMED_SIZE
    height, width = check_size(wanted, "size")
    if own is not None:
        return own.rows(frames, fps, (height, width)), (height, width)
    focal = height / 2 / math.tan(yfov / 2)
    return np.tile((focal, focal, width / 2, height / 2), (frames, 1)), (height, width)


class _Scene:
    """A parsed file; every number that is taken from it is checked first."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with open_source(file, MAX_BYTES) as (opened, _):
            data = opened.read()
        text, self.binary = _parts(data, file)
        self._buffers: dict[int, bytes] = {}
        try:
            self.document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CameraError(f"{file} is not whole JSON ({error!s:.80}); {_NEXT}") from None
        if not isinstance(self.document, dict):
            raise CameraError(f"{file} must be a JSON object, got {type(self.document).__name__}; {_NEXT}")

    def camera_chain(self, name: str | None) -> tuple[list[int], float]:
        """The nodes from the root down to the camera, and its vertical field of view in radians."""
        nodes = self.items("nodes")
        cameras = [i for i, node in enumerate(nodes) if "camera" in node]
        named = [i for i in cameras if name is None or nodes[i].get("name") == name]
        if not named:
            known = ", ".join(repr(nodes[i].get("name")) for i in cameras[:12]) or "none"
            raise CameraError(
                f"{self.file} has no camera{f' {name!r}' if name else ''}, its cameras: {known:.200}; {_NEXT}"
            )
        return self._above(named[0]), self._lens(self.item("cameras", nodes[named[0]]["camera"]))

    def motions(self, chain: list[int]) -> dict[tuple[int, str], Motion]:
        """(node, path) -> how it moves, of the nodes of the chain; the first animation that moves it counts."""
        found: dict[tuple[int, str], Motion] = {}
        for animation in self.items("animations"):
            for channel in self._list(animation, "channels"):
                target = self._object(channel, "target")
                key = (target.get("node"), target.get("path"))
                if key[0] in chain and key[1] in ("translation", "rotation", "scale") and key not in found:
                    samplers = self._list(animation, "samplers")
                    found[key] = self._motion(self._at(samplers, channel.get("sampler"), "samplers"), key[1])
        return found

    def local(self, number: int, motions: dict[tuple[int, str], Motion], seconds: NDArray) -> NDArray:
        """The node's own matrices (f, 4, 4) at these times."""
        node = self.items("nodes")[number]
        moves = any(key[0] == number for key in motions)
        if "matrix" in node and not moves:
            return np.tile(self._numbers(node, "matrix", 16, None).reshape(4, 4).T, (len(seconds), 1, 1))
        parts = {}
        for path, still in (("translation", (0, 0, 0)), ("rotation", (0, 0, 0, 1)), ("scale", (1, 1, 1))):
            motion = motions.get((number, path))
            parts[path] = (
                np.tile(self._numbers(node, path, len(still), still), (len(seconds), 1))
                if motion is None
                else sampled(motion, seconds)
            )
        made = np.tile(np.eye(4), (len(seconds), 1, 1))
        if (np.linalg.norm(parts["rotation"], axis=1) < 1e-6).any():
            raise CameraError(f"{self.file}, node {number}: a rotation has length 0, wanted a quaternion; {_NEXT}")
        turned = quaternion.to_rotation(parts["rotation"][:, [3, 0, 1, 2]])
        made[:, :3, :3] = turned * parts["scale"][:, None, :]
        made[:, :3, 3] = parts["translation"]
        return made

    def items(self, name: str) -> list[dict]:
        """A list of objects of the document; empty if there is none."""
        return self._list(self.document, name)

    def item(self, name: str, index: Any) -> dict:
        return self._at(self.items(name), index, name)

    def _above(self, node: int) -> list[int]:
        parents = {}
        for i, each in enumerate(self.items("nodes")):
            children = each.get("children") or []
            if not isinstance(children, list):
                raise CameraError(f"{self.file}, node {i}: children must be a list, got {children!r:.60}; {_NEXT}")
            for child in children:
                if isinstance(child, int):
                    parents[child] = i
        chain = [node]
        while chain[0] in parents:
            chain.insert(0, parents[chain[0]])
            if len(chain) > _MAX_DEPTH or chain[0] in chain[1:]:
                raise CameraError(f"{self.file}: its nodes hang in a circle, or deeper than {_MAX_DEPTH}; {_NEXT}")
        return chain

    def _lens(self, camera: dict) -> float:
        if camera.get("type") != "perspective":
            raise CameraError(
                f"{self.file}: its camera is {camera.get('type')!r:.40}, wanted perspective; switch it and {_NEXT}"
            )
        lens = self._numbers(self._object(camera, "perspective"), "yfov", None, None)
        if not MIN_YFOV < float(lens) < MAX_YFOV:
            raise CameraError(
                f"{self.file}: its camera has a yfov of {float(lens):g} radians, wanted {MIN_YFOV} to {MAX_YFOV}; {_NEXT}"
            )
        return float(lens)

    def _motion(self, sampler: dict, path: str) -> Motion:
        way = sampler.get("interpolation", "LINEAR")
        times = self._accessor(sampler.get("input"), "SCALAR")[:, 0]
        values = self._accessor(sampler.get("output"), "VEC4" if path == "rotation" else "VEC3")
        per_key = 3 if way == "CUBICSPLINE" else 1
        if way not in ("LINEAR", "STEP", "CUBICSPLINE") or not len(times) or len(values) != per_key * len(times):
            raise CameraError(
                f"{self.file}: an animation has {len(times)} times and {len(values)} values of {way!r:.40}, which do not fit; {_NEXT}"
            )
        if (np.diff(times) <= 0).any() or times[0] < 0:
            raise CameraError(f"{self.file}: the times of an animation must rise from 0 or more; {_NEXT}")
        return Motion(times, values.reshape(len(times), per_key, -1), way, is_turn=path == "rotation")

    def _accessor(self, index: Any, kind: str) -> NDArray:
        """Numbers (n, width) float64 of an accessor of float32; nothing is read that is not there."""
        accessor = self.item("accessors", index)
        if accessor.get("type") != kind or accessor.get("componentType") != _FLOAT or "sparse" in accessor:
            raise CameraError(
                f"{self.file}: wanted an accessor of {kind} float32, got {accessor!r:.80}; export without compression"
            )
        view = self.item("bufferViews", accessor.get("bufferView"))
        width, count = _WIDTHS[kind], self._whole(accessor, "count")
        start = self._whole(view, "byteOffset") + self._whole(accessor, "byteOffset")
        stride = self._whole(view, "byteStride") or 4 * width
        data = self._buffer(view.get("buffer"))
        if (
            not 0 < count <= MAX_FRAMES * 4
            or stride < 4 * width
            or start + stride * (count - 1) + 4 * width > len(data)
        ):
            raise CameraError(
                f"{self.file}: an accessor tells of {count} values, beyond what its buffer holds; {_NEXT}"
            )
        rows = np.lib.stride_tricks.as_strided(
            np.frombuffer(data, np.uint8)[start:], (count, 4 * width), (stride, 1), writeable=False
        )
        with np.errstate(invalid="ignore"):  # of signalling NaNs, which the next line refuses
            values = np.ascontiguousarray(rows).view("<f4").astype(np.float64)
        if not (np.abs(values) < 1e9).all():
            raise CameraError(f"{self.file}: an animation has numbers that are not finite, or absurd; {_NEXT}")
        return values

    def _buffer(self, index: Any) -> bytes:
        """The content of a buffer, unpacked once: every accessor asks for it."""
        buffer = self.item("buffers", index)
        if index not in self._buffers:
            self._buffers[index] = self._unpacked(buffer, index)
        return self._buffers[index]

    def _unpacked(self, buffer: dict, index: int) -> bytes:
        uri = buffer.get("uri")
        if uri is None and index == 0 and self.binary is not None:
            return self.binary
        if not isinstance(uri, str):
            raise CameraError(f"{self.file}: buffer {index!r:.20} has no content; {_NEXT} as one .glb file")
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except (binascii.Error, ValueError):
                raise CameraError(f"{self.file}: buffer {index} is not base64; {_NEXT}") from None
        beside = (self.file.parent / uri).resolve()
        if beside.parent != self.file.parent.resolve():
            raise CameraError(f"{self.file}: its buffer {uri!r:.60} lies in another folder; {_NEXT} as one .glb file")
        with open_source(beside, MAX_BYTES) as (opened, _):
            return opened.read()

    def _list(self, given: dict, name: str) -> list[dict]:
        found = given.get(name) or []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise CameraError(f"{self.file}: {name} must be a list of objects, got {found!r:.60}; {_NEXT}")
        return found

    def _object(self, given: dict, name: str) -> dict:
        if not isinstance(given.get(name), dict):
            raise CameraError(f"{self.file}: wanted an object {name}, got {given.get(name)!r:.60}; {_NEXT}")
        return given[name]

    def _at(self, found: list[dict], index: Any, name: str) -> dict:
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(found):
            raise CameraError(f"{self.file}: there is no {name}[{index!r:.20}]; {_NEXT}")
        return found[index]

    def _whole(self, given: dict, name: str) -> int:
        value = given.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
            raise CameraError(f"{self.file}: {name} must be a whole number, got {value!r:.40}; {_NEXT}")
        return value

    def _numbers(self, given: dict, name: str, count: int | None, usual: tuple | None) -> NDArray:
        """`count` finite numbers, or one for None."""
        values = given.get(name, usual)
        listed = [values] if count is None else values
        if not isinstance(listed, (list, tuple)) or len(listed) != (count or 1) or not all(map(_is_number, listed)):
            raise CameraError(f"{self.file}: {name} must be {count or 1} finite numbers, got {values!r:.60}; {_NEXT}")
        return np.array(listed if count else listed[0], np.float64)


def _parts(data: bytes, file: Path) -> tuple[bytes, bytes | None]:
    """The JSON and, of a .glb, its binary chunk."""
    if not data.startswith(b"glTF"):
        return data, None
    chunks = dict(_chunks(data, file))
    if b"JSON" not in chunks:
        raise CameraError(f"{file} is not a whole .glb file: it has no JSON in it; {_NEXT}")
    return chunks[b"JSON"], chunks.get(b"BIN\0")


def _chunks(data: bytes, file: Path) -> Iterator[tuple[bytes, bytes]]:
    version, length = struct.unpack("<II", data[4:12]) if len(data) >= 12 else (0, 0)
    if version != 2 or length != len(data):
        raise CameraError(
            f"{file} is not a whole .glb file of version 2 (version {version}, {length} of {len(data)} bytes); {_NEXT}"
        )
    at = 12
    while at < len(data):
        size, kind = struct.unpack("<I4s", data[at : at + 8]) if at + 8 <= len(data) else (2**32, b"")
        if at + 8 + size > len(data):
            raise CameraError(f"{file} is not a whole .glb file: a part of it goes beyond its end; {_NEXT}")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size


def _without_scale(world: NDArray) -> NDArray:
    """Matrices (f, 4, 4) whose axes have length 1: a camera has no size, whatever the nodes above it have."""
    lengths = np.linalg.norm(world[:, :3, :3], axis=1, keepdims=True)
    made = world.copy()
    made[:, :3, :3] /= np.maximum(lengths, 1e-12)
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
