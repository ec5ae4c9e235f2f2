"""COLMAP's text files: cameras.txt, images.txt with two lines for each image, points3D.txt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
from .stored import StoredCameras
from .text_lines import LONGEST_LINE, read_numbers, says_nothing, text_lines

TEXT_NAMES = ("cameras.txt", "images.txt")
TEXT_POINTS = "points3D.txt"


def read_colmap_text(folder: Path) -> StoredCameras:
    """The cameras of a folder with cameras.txt and images.txt."""
    cameras_file, images_file = (folder / name for name in TEXT_NAMES)
    return as_stored(_read_cameras(cameras_file), _read_images(images_file), folder)


def write_colmap_text(stored: StoredCameras, folder: Path) -> dict[Path, bytes]:
    """A model without points."""
    refuse_other_models(folder, (*TEXT_NAMES, TEXT_POINTS), read_points_text(folder))
    cameras, images = as_model(stored)
    return {
        folder / TEXT_NAMES[0]: _camera_lines(cameras),
        folder / TEXT_NAMES[1]: _image_lines(images),
        folder / TEXT_POINTS: b"# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n",
    }


def read_points_text(folder: Path) -> Iterator[ColmapPoint]:
    """The points of points3D.txt, one by one; CameraError names the line."""
    file = folder / TEXT_POINTS
    for number, text in text_lines(file):
        if says_nothing(text):
            continue
        place = f"{file}, line {number}"
        values = read_numbers(" ".join(text.split(None, 8)[:8]), place)
        colour = tuple(int(value) for value in values[4:7])
        if len(values) != 8 or not all(0 <= value <= 255 for value in colour):
            raise CameraError(f"{place}: wanted POINT3D_ID X Y Z R G B ERROR, got {text!r:.60}; write the model again")
        yield ColmapPoint(tuple(values[1:4]), colour)


def _read_cameras(file: Path) -> dict[int, ColmapCamera]:
    """Lines CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]."""
    cameras: dict[int, ColmapCamera] = {}
    for number, text in text_lines(file):
        if says_nothing(text):
            continue
        place, words = f"{file}, line {number}", text.split()
        if len(words) < 4:
            raise CameraError(f"{place}: wanted CAMERA_ID MODEL WIDTH HEIGHT PARAMS, got {text!r:.60}; write it again")
        model = find_model(words[1], place)
        key, width, height = (_whole(word, place) for word in (words[0], *words[2:4]))
        parameters = read_numbers(" ".join(words[4:]), place)
        if len(parameters) != model.parameters:
            raise CameraError(
                f"{place}: {model.name} has {model.parameters} parameters, got {len(parameters)}; write the model again"
            )
        cameras[key] = ColmapCamera(model, width, height, tuple(parameters))
        if len(cameras) > MAX_FRAMES:
            raise CameraError(f"{file} has more than {MAX_FRAMES} cameras; split the model")
    return cameras


def _read_images(file: Path) -> list[ColmapImage]:
    """Lines IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, each followed by a line of POINTS2D, which may be empty."""
    images: list[ColmapImage] = []
    lines = text_lines(file)
    for number, text in lines:
        if says_nothing(text):
            continue
        images.append(_image(text, f"{file}, line {number}"))
        if len(images) > MAX_FRAMES:
            raise CameraError(f"{file} has more than {MAX_FRAMES} images; split the model")
        below, points = next(lines, (number, ""))
        if len(points) <= LONGEST_LINE and len(points.split()) % 3:
            raise CameraError(
                f"{file}, line {below}: wanted the POINTS2D (X Y POINT3D_ID, or nothing) of the image above, "
                f"got {points!r:.60}; keep the empty lines"
            )
    return images


def _image(text: str, place: str) -> ColmapImage:
    words = text.split(None, 9)
    if len(words) < 10:
        raise CameraError(
            f"{place}: wanted IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, got {text!r:.60}; write the model again"
        )
    if len(words[9].encode()) > MAX_NAME_BYTES:
        raise CameraError(f"{place}: names may have {MAX_NAME_BYTES} bytes, got {words[9]!r:.40}; rename the pictures")
    return ColmapImage(words[9], _whole(words[8], place), tuple(read_numbers(" ".join(words[1:8]), place)))


def _whole(word: str, place: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= 19):
        raise CameraError(f"{place}: wanted a whole number, got {word!r:.40}; write the model again")
    return int(word)


def _camera_lines(cameras: Mapping[int, ColmapCamera]) -> bytes:
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for key, camera in cameras.items():
        numbers = " ".join(f"{value:.10g}" for value in camera.parameters)
        lines.append(f"{key} {camera.model.name} {camera.width} {camera.height} {numbers}")
    return ("\n".join(lines) + "\n").encode()


def _image_lines(images: Sequence[ColmapImage]) -> bytes:
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for key, image in enumerate(images, start=1):
        numbers = " ".join(f"{value:.10g}" for value in image.pose)
        lines += [f"{key} {numbers} {image.camera_id} {image.name}", ""]
    return ("\n".join(lines) + "\n").encode()
