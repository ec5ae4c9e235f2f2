"""COLMAP models: what the text and the binary files have in common, and the cameras they amount to.

https://colmap.github.io/format.html: for each image a w2c quaternion and translation, OpenCV axes, and a camera that
images share. Pixel centres are at halves, so a centred principal point is (w / 2, h / 2), as everywhere here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import CameraError
from ..actions import MAX_FRAMES
from ..rotation import rigid
from .lens import check_size
from .quaternions import quaternion_to_rotation, rotation_to_quaternion
from .stored import StoredCameras

MAX_NAME_BYTES = 255
_PARTS = ("cameras", "images", "points3D", "rigs", "frames")
STRAIGHT = 1e-8  # distortion below this moves no pixel by a thousandth


@dataclass(frozen=True)
class CameraModel:
    """A lens of COLMAP's src/colmap/sensor/models.h."""

    name: str
    number: int
    parameters: int
    pinhole: tuple[int, int, int, int] | None  # which parameters are fx, fy, cx, cy; None: no perspective at all


CAMERA_MODELS = {
    row.name: row
    for row in (
        CameraModel("SIMPLE_PINHOLE", 0, 3, (0, 0, 1, 2)),
        CameraModel("PINHOLE", 1, 4, (0, 1, 2, 3)),
        CameraModel("SIMPLE_RADIAL", 2, 4, (0, 0, 1, 2)),
        CameraModel("RADIAL", 3, 5, (0, 0, 1, 2)),
        CameraModel("OPENCV", 4, 8, (0, 1, 2, 3)),
        CameraModel("OPENCV_FISHEYE", 5, 8, None),
        CameraModel("FULL_OPENCV", 6, 12, None),
        CameraModel("FOV", 7, 5, None),
        CameraModel("SIMPLE_RADIAL_FISHEYE", 8, 4, None),
        CameraModel("RADIAL_FISHEYE", 9, 5, None),
        CameraModel("THIN_PRISM_FISHEYE", 10, 12, None),
    )
}


class ColmapCamera(NamedTuple):
    """A lens that images share; parameters in the order of its model, sizes in pixels."""

    model: CameraModel
    width: int
    height: int
    parameters: tuple[float, ...]


class ColmapImage(NamedTuple):
    """A picture: its quaternion (w, x, y, z) and translation, both w2c, in one tuple of seven."""

    name: str
    camera_id: int
    pose: tuple[float, ...]


class ColmapPoint(NamedTuple):
    """A point of the reconstruction: x, y, z in the model's unit and red, green, blue in 0 to 255."""

    position: tuple[float, float, float]
    colour: tuple[int, int, int]


def as_stored(cameras: Mapping[int, ColmapCamera], images: Sequence[ColmapImage], folder: Path) -> StoredCameras:
    """Cameras of the images in the order of their names, where img2 comes before img10.

    CameraError for lenses that are distorted, and for pictures of more than one size.
    """
    if not 1 <= len(images) <= MAX_FRAMES:
        raise CameraError(f"{folder} has {len(images)} images, wanted 1 to {MAX_FRAMES}; choose another model")
    lenses, sizes = {}, {}
    for image in images:
        if image.camera_id in lenses:
            continue
        if image.camera_id not in cameras:
            raise CameraError(
                f"{folder}: image {image.name!r} has camera {image.camera_id}, which is not in the cameras"
            )
        place = f"{folder}, camera {image.camera_id}"
        camera = cameras[image.camera_id]
        lenses[image.camera_id] = _pinhole(camera, place)
        sizes[image.camera_id] = check_size((camera.height, camera.width), f"{place}: size (h, w)")
    if len(set(sizes.values())) > 1:
        raise CameraError(
            f"{folder} has pictures of sizes (h, w) {sorted(set(sizes.values()))!r:.80}, wanted one; "
            "undistort them to one size with COLMAP's image_undistorter"
        )
    ordered = sorted(images, key=lambda image: _natural(image.name))
    poses = np.array([image.pose for image in ordered], dtype=np.float64)
    return StoredCameras(
        rigid(quaternion_to_rotation(poses[:, :4]), poses[:, 4:]),
        np.array([lenses[image.camera_id] for image in ordered]),
        size=sizes[ordered[0].camera_id],
        notes=("images in the order of their names",),
    )


def as_model(stored: StoredCameras) -> tuple[dict[int, ColmapCamera], list[ColmapImage]]:
    """Pinhole cameras by id, one for each lens, and images frame_000000.png and so on."""
    height, width = stored.size
    lenses, which = np.unique(stored.intrinsics, axis=0, return_inverse=True)
    pinhole = CAMERA_MODELS["PINHOLE"]
    cameras = {n: ColmapCamera(pinhole, width, height, tuple(row)) for n, row in enumerate(lenses.tolist(), start=1)}
    quaternion = rotation_to_quaternion(stored.matrices[:, :3, :3])
    poses = np.concatenate([quaternion, stored.matrices[:, :3, 3]], axis=1).tolist()
    images = [
        ColmapImage(f"frame_{frame:06}.png", camera + 1, tuple(pose))
        for frame, (camera, pose) in enumerate(zip(which.reshape(-1).tolist(), poses, strict=True))
    ]
    return cameras, images


def find_model(name_or_number: str | int, place: str) -> CameraModel:
    """The row of CAMERA_MODELS of that name, or of the number that binary files have; errors begin with `place`."""
    for row in CAMERA_MODELS.values():
        if name_or_number in (row.name, row.number):
            return row
    raise CameraError(
        f"{place}: camera model must be one of {', '.join(CAMERA_MODELS)}, got {name_or_number!r:.40}; "
        "undistort the pictures with COLMAP's image_undistorter"
    )


def refuse_other_models(folder: Path, own: Sequence[str], points: Iterator[ColmapPoint]) -> None:
    """CameraError if `folder` holds part of a model that the files `own` would be mixed with, or whose points are lost.

    points: those of the last of `own`, looked at only where that file is there.
    """
    parts = [f"{part}.{suffix}" for part in _PARTS for suffix in ("bin", "txt")]
    other = [name for name in parts if name not in own and os.path.exists(folder / name)]
    if os.path.exists(folder / own[-1]) and next(points, None) is not None:
        other.append(own[-1])
    if other:
        raise CameraError(
            f"{folder} holds another COLMAP model ({', '.join(other)}), which this one would be mixed with; "
            "choose a new folder"
        )


def _pinhole(camera: ColmapCamera, place: str) -> tuple[float, ...]:
    """fx, fy, cx, cy of a camera whose distortion is zero."""
    model = camera.model
    if model.pinhole is None:
        raise CameraError(f"{place}: {model.name} is no pinhole lens; undistort with COLMAP's image_undistorter")
    distortion = camera.parameters[max(model.pinhole) + 1 :]
    if any(abs(value) > STRAIGHT for value in distortion):
        raise CameraError(
            f"{place}: {model.name} is distorted by {max(distortion, key=abs):.3g}, wanted 0; "
            "undistort with COLMAP's image_undistorter"
        )
    return tuple(camera.parameters[index] for index in model.pinhole)


def _natural(name: str) -> str:
    """A key that sorts numbers in names by value: each is preceded by how many digits it has."""
    return re.sub("[0-9]+", lambda run: chr(len(run[0].lstrip("0"))) + run[0].lstrip("0"), name)
