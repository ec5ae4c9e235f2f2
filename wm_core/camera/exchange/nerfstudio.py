"""nerfstudio scenes: transforms.json, which instant-ngp and the original NeRF read too.

https://docs.nerf.studio/quickstart/data_conventions.html: c2w, OpenGL camera axes in a world with z up (the row
"blender" of CONVENTIONS); intrinsics in pixels for the whole file or for each frame. Frames count as they stand.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable
from pathlib import Path
from reprlib import repr as shortened

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..actions import MAX_FRAMES
from .lens import check_size
from .source import open_source
from .stored import StoredCameras

MAX_JSON_BYTES = 64 * 2**20
MAX_PARSED_BYTES = 240 * 2**20
# Bytes of memory that one of these characters may cost at most, measured: "[0]," makes 128 of 4.
_PARSED_COST = {b"{": 240, b"[": 96, b":": 80, b",": 40, b'"': 32}
_TEXT_COST, _WIDE_TEXT_COST = 3, 9  # bytes for each byte of text: as it is read, decoded, and a copy as one string
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_SETTINGS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", *_DISTORTION)
_PERSPECTIVE = (None, "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_NARROWEST = 1e-3  # radians
_SHAPES = {(4, 4), (3, 4), (4, 3)}

Settings = dict[str, float]


def read_nerfstudio(file: Path) -> StoredCameras:
    """Matrices, size, and intrinsics from fl_x, fl_y, cx, cy or camera_angle_x; what is not there is None.

    About 100,000 frames of one lens fit into MAX_PARSED_BYTES, and 70,000 that each have their own.
    """
    document = _parse(file)
    frames = document.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_FRAMES:
        raise CameraError(f"{file} must have a list 'frames' of 1 to {MAX_FRAMES} cameras; export the scene again")
    count, matrices, lenses, kinds = len(frames), array("d"), array("d"), set()
    frames.reverse()
    for number in range(count):
        frame, place = frames.pop(), f"{file}, frame {number}"  # popped, so that its memory is free for what it says
        if not isinstance(frame, dict):
            raise CameraError(
                f"{place}: must be an object with transform_matrix, got {shortened(frame)}; export it again"
            )
        matrix = _matrix(frame.get("transform_matrix"), place)
        said = _settings(document, frame, place)
        size = _size(said, place)
        lens, unit = _lens(said, size, place)
        kinds.add((matrix.shape, size, unit))
        if len(kinds) > 1:
            raise CameraError(
                f"{place}: the shape of the matrix, w, h and fl_x or camera_angle_x must be as in the frames before; "
                "export the pictures of one camera"
            )
        matrices.extend(matrix.flat)
        lenses.extend(lens)
    ((shape, size, unit),) = kinds
    intrinsics = np.array(lenses).reshape(count, 4) if unit else None
    return StoredCameras(np.array(matrices).reshape(count, *shape), intrinsics, unit or "pixels", size=size)


def write_nerfstudio(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """One line for each frame; intrinsics at the top if all frames have the same. The pictures are names, not files."""
    height, width = stored.size
    lenses = [dict(zip(("fl_x", "fl_y", "cx", "cy"), row, strict=True)) for row in _rounded(stored.intrinsics)]
    is_shared = bool((stored.intrinsics == stored.intrinsics[0]).all())
    head = {"camera_model": "OPENCV", "w": width, "h": height, **(lenses[0] if is_shared else {})}
    lines = [
        json.dumps(
            {
                "file_path": f"images/frame_{number:06}.png",
                **({} if is_shared else lens),
                "transform_matrix": matrix,
            }
        )
        for number, (lens, matrix) in enumerate(zip(lenses, _rounded(stored.matrices), strict=True))
    ]
    text = json.dumps(head)[:-1] + ', "frames": [\n' + ",\n".join(lines) + "\n]}\n"
    return {file: text.encode()}


def is_nerfstudio(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _parse(file: Path) -> dict:
    with open_source(file, MAX_JSON_BYTES) as (opened, _):
        data = opened.read()
    cost = sum(data.count(mark) * each for mark, each in _PARSED_COST.items())
    cost += len(data) * (_TEXT_COST if data.isascii() else _WIDE_TEXT_COST)
    if cost > MAX_PARSED_BYTES:
        raise CameraError(
            f"{file} may take {cost / 2**20:.0f} MB of memory, wanted at most {MAX_PARSED_BYTES / 2**20:.0f}; "
            "keep only the cameras, or split it into takes"
        )
    try:
        text = data.decode("utf-8-sig")
        del data
        document = json.loads(text, parse_int=float)
    except UnicodeDecodeError as error:
        raise CameraError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except RecursionError:
        raise CameraError(f"{file} is nested deeper than a scene is; export the scene again") from None
    except ValueError as error:
        raise CameraError(f"{file} is not whole JSON ({error}); export the scene again") from None
    if not isinstance(document, dict):
        raise CameraError(
            f"{file} must be a JSON object with 'frames', got {shortened(document)}; export the scene again"
        )
    return document


def _matrix(rows: object, place: str) -> NDArray:
    lists = rows if isinstance(rows, list) else []
    widths = {len(row) if isinstance(row, list) else -1 for row in lists}
    if len(widths) != 1 or (len(lists), max(widths)) not in _SHAPES:
        raise CameraError(
            f"{place}: transform_matrix must be 4 rows of 4 numbers, got {shortened(rows)}; export it again"
        )
    if not all(_is_number(value) for row in lists for value in row):
        raise CameraError(f"{place}: transform_matrix must be finite numbers, got {shortened(rows)}; remove the frame")
    return np.array(lists, dtype=np.float64)


def _settings(document: dict, frame: dict, place: str) -> Settings:
    """The numbers that hold for this frame; null counts as not said. Lenses that are not perspective are refused."""
    model = frame.get("camera_model", document.get("camera_model"))
    if model not in _PERSPECTIVE or document.get("is_fisheye"):
        raise CameraError(
            f"{place}: camera_model must be a perspective one, got {shortened(model)}; undistort the pictures"
        )
    said = {name: frame.get(name, document.get(name)) for name in _SETTINGS}
    settings = {name: value for name, value in said.items() if value is not None}
    wrong = [name for name, value in settings.items() if not _is_number(value)]
    if wrong:
        raise CameraError(
            f"{place}: {wrong[0]} must be a finite number, got {shortened(settings[wrong[0]])}; correct it"
        )
    bent = [name for name in _DISTORTION if settings.get(name)]
    if bent:
        raise CameraError(
            f"{place}: distortion {bent[0]} is {settings[bent[0]]:g}, wanted 0; undistort the pictures and export again"
        )
    return settings


def _size(settings: Settings, place: str) -> tuple[int, int] | None:
    sides = [settings[name] for name in ("h", "w") if name in settings]
    if not sides:
        return None
    return check_size(tuple(int(side) if side.is_integer() else side for side in sides), f"{place}: size (h, w)")


def _lens(said: Settings, size: tuple[int, int] | None, place: str) -> tuple[tuple[float, float, float, float], str]:
    """fx, fy, cx, cy and their unit, which is "" where the frame says nothing. Size (h, w) pixels."""
    angle = said.get("camera_angle_x")
    if angle is not None and not _NARROWEST < angle < math.pi - _NARROWEST:
        raise CameraError(f"{place}: camera_angle_x must be in (0, pi) radians, got {angle:g}; degrees are not")
    if "fl_x" not in said and angle is None:
        return (0.0, 0.0, 0.0, 0.0), ""
    if size is None:
        if "fl_x" not in said and "cx" not in said:
            focal = 0.5 / math.tan(angle / 2)
            return (focal, focal, 0.5, 0.5), "widths"
        if not {"fl_x", "cx", "cy"} <= said.keys():
            raise CameraError(f"{place}: its lens needs w and h, which are not there; add them to the file")
        return (said["fl_x"], said.get("fl_y", said["fl_x"]), said["cx"], said["cy"]), "pixels"
    height, width = size
    focal = said["fl_x"] if "fl_x" in said else width / 2 / math.tan(angle / 2)
    return (focal, said.get("fl_y", focal), said.get("cx", width / 2), said.get("cy", height / 2)), "pixels"


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _rounded(values: NDArray) -> Iterable:
    """Nested lists with ten digits, which is more than float32 holds."""
    return (np.vectorize(lambda value: float(f"{value:.10g}"))(row).tolist() for row in values)
