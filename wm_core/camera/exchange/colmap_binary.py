"""COLMAP's binary files: cameras.bin, images.bin, points3D.bin; little endian, as src/colmap/scene/reconstruction_io."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...errors import CameraError
from ..actions import MAX_FRAMES
from .colmap import (
    MAX_NAME_BYTES,
    ColmapCamera,
    ColmapImage,
    ColmapPoint,
    as_model,
    as_stored,
    find_model,
    refuse_other_models,
)
from .source import open_source
from .stored import StoredCameras

BINARY_NAMES = ("cameras.bin", "images.bin")
BINARY_POINTS = "points3D.bin"
_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")  # id, model, width, height; then parameters
_IMAGE = struct.Struct("<I7dI")  # id, quaternion w x y z, translation, camera; then name, points
_POINT = struct.Struct("<Q3d3BdQ")  # id, position, colour, error, length of its track; then the track
_POINT2D_BYTES, _TRACK_BYTES = 24, 8


def read_colmap_binary(folder: Path) -> StoredCameras:
    """The cameras of a folder with cameras.bin and images.bin."""
    cameras_file, images_file = (folder / name for name in BINARY_NAMES)
    return as_stored(_read_cameras(cameras_file), _read_images(images_file), folder)


def write_colmap_binary(stored: StoredCameras, folder: Path) -> dict[Path, bytes]:
    """A model without points."""
    refuse_other_models(folder, (*BINARY_NAMES, BINARY_POINTS), read_points_binary(folder))
    cameras, images = as_model(stored)
    camera_records = [_COUNT.pack(len(cameras))]
    for key, camera in cameras.items():
        camera_records.append(_CAMERA.pack(key, camera.model.number, camera.width, camera.height))
        camera_records.append(struct.pack(f"<{len(camera.parameters)}d", *camera.parameters))
    image_records = [_COUNT.pack(len(images))]
    for key, image in enumerate(images, start=1):
        image_records += [_IMAGE.pack(key, *image.pose, image.camera_id), image.name.encode() + b"\0", _COUNT.pack(0)]
    return {
        folder / BINARY_NAMES[0]: b"".join(camera_records),
        folder / BINARY_NAMES[1]: b"".join(image_records),
        folder / BINARY_POINTS: _COUNT.pack(0),
    }


def read_points_binary(folder: Path) -> Iterator[ColmapPoint]:
    """The points of points3D.bin, one by one; CameraError names the point."""
    with _open_records(folder / BINARY_POINTS, "point", _POINT.size) as records:
        for _ in range(records.count):
            _, x, y, z, red, green, blue, _, track = records.take(_POINT)
            records.skip(track, _TRACK_BYTES)
            yield ColmapPoint(records.finite((x, y, z)), (red, green, blue))


def _read_cameras(file: Path) -> dict[int, ColmapCamera]:
    cameras: dict[int, ColmapCamera] = {}
    with _open_records(file, "camera", _CAMERA.size + 3 * 8, MAX_FRAMES) as records:
        for _ in range(records.count):
            key, number, width, height = records.take(_CAMERA)
            model = find_model(number, records.place)
            parameters = records.take(struct.Struct(f"<{model.parameters}d"))
            cameras[key] = ColmapCamera(model, width, height, records.finite(parameters))
    return cameras


def _read_images(file: Path) -> list[ColmapImage]:
    images: list[ColmapImage] = []
    with _open_records(file, "image", _IMAGE.size + 1 + 8, MAX_FRAMES) as records:
        for _ in range(records.count):
            _, *pose, camera_id = records.take(_IMAGE)
            images.append(ColmapImage(records.name(), camera_id, records.finite(tuple(pose))))
            records.skip(records.take(_COUNT)[0], _POINT2D_BYTES)
    return images


@contextmanager
def _open_records(file: Path, noun: str, smallest: int, most: int | None = None) -> Iterator[_Records]:
    """The records of a file that begins with their number, each of `smallest` bytes or more; all must be read."""
    with open_source(file) as (opened, length):
        records = _Records(opened, length, file, noun)
        (records.count,) = records.take(_COUNT)
        if records.count * smallest > length or (most is not None and records.count > most):
            room = length // smallest
            raise CameraError(
                f"{file}: its header tells of {records.count} {noun}s, wanted at most "
                f"{room if most is None else min(room, most)} for its length; write the model again"
            )
        yield records
        if opened.tell() != length:
            raise CameraError(f"{file} goes on after its last {noun}, wanted its end; write the model again")


class _Records:
    """A place in a binary file, from which nothing is taken that is not there."""

    def __init__(self, opened: BinaryIO, length: int, file: Path, noun: str) -> None:
        self.count = 0
        self._opened, self._length, self._file, self._noun = opened, length, file, noun

    @property
    def place(self) -> str:
        return f"{self._file}, {self._noun} before byte {self._opened.tell()}"

    def take(self, record: struct.Struct) -> tuple:
        data = self._opened.read(record.size)
        if len(data) != record.size:
            raise CameraError(f"{self._file} ends inside of its {self._noun}s; write the model again")
        return record.unpack(data)

    def skip(self, count: int, size: int) -> None:
        if count * size > self._length - self._opened.tell():
            raise CameraError(f"{self.place}: tells of {count} parts, which go beyond the end; write the model again")
        self._opened.seek(count * size, 1)

    def name(self) -> str:
        start = self._opened.tell()
        name, end, _ = self._opened.read(MAX_NAME_BYTES + 1).partition(b"\0")
        if not end:
            raise CameraError(
                f"{self.place}: names may have {MAX_NAME_BYTES} bytes, got {name!r:.40}; rename the pictures"
            )
        self._opened.seek(start + len(name) + 1)
        try:
            return name.decode()
        except UnicodeDecodeError:
            raise CameraError(f"{self.place}: its name {name!r:.40} is not UTF-8; rename the pictures") from None

    def finite(self, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, values)):
            raise CameraError(f"{self.place}: numbers must be finite, got {values!r:.80}; remove it from the model")
        return values
