"""What a camera's lens is known from: degrees, millimetres, the photo itself, numbers, or the geometry of the picture."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import numpy as np
from comfy_api.latest import io
from numpy.typing import NDArray

from ..wm_core.camera import CameraPath, field_of_view_deg, from_focal_length, from_fov, read_photo
from ..wm_core.camera.preflight import LEAST_FOV_DEG, MOST_FOV_DEG
from ..wm_core.errors import CameraError
from .bridge import path_inside, say
from .camera import CATEGORY
from .compat import check_choice
from .geometry import SAME_SHAPE, Geometry, lens_of
from .types import Camera

FOV, FOCAL, PHOTO, NUMBERS = "field of view", "focal length", "photo's EXIF", "fx fy cx cy"
SOURCES = [FOV, FOCAL, PHOTO, NUMBERS]


class SanaWMIntrinsics(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMIntrinsics",
            display_name="SANA-WM Intrinsics",
            category=CATEGORY,
            description="Give a camera the lens that took the picture, and note how it is known. A guess is a guess no longer.",
            inputs=[
                Camera.Input("camera"),
                io.Combo.Input("source", options=SOURCES, default=FOV, tooltip="What the lens is known from."),
                io.Float.Input("fov", default=70.0, min=5.0, max=170.0, step=0.1, tooltip="Horizontal degrees."),
                io.Float.Input(
                    "focal_mm",
                    default=26.0,
                    min=0.1,
                    max=2000.0,
                    step=0.1,
                    tooltip="Focal length in mm. A phone's wide camera has about 26 on 36 mm.",
                ),
                io.Float.Input(
                    "sensor_mm",
                    default=36.0,
                    min=0.5,
                    max=200.0,
                    step=0.1,
                    tooltip="Width of the sensor in mm: 36 full frame, 23.5 APS-C, 17.3 Micro Four Thirds.",
                ),
                io.Combo.Input(
                    "photo",
                    options=["", *_photos()],
                    default="",
                    tooltip="The photo in the input folder, as the camera wrote it: IMAGE wires carry no EXIF.",
                ),
                io.String.Input(
                    "numbers",
                    default="",
                    tooltip="fx, fy, cx, cy in pixels of the camera's picture, or the nine numbers of K row by row.",
                ),
                Geometry.Input(
                    "geometry",
                    optional=True,
                    tooltip="Of the camera's picture, from MoGe's nodes in newer ComfyUI. Connected, it tells the lens, whatever "
                    "source says.",
                ),
            ],
            outputs=[
                Camera.Output(display_name="camera"),
                io.Float.Output(display_name="fov", tooltip="Horizontal degrees, for the fov of other camera nodes."),
                io.String.Output(display_name="told"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, photo=""):
        """Any name passes here: files come and go while a graph is open."""
        return True

    @classmethod
    def fingerprint_inputs(cls, source=FOV, photo="", **_):
        if source != PHOTO or not photo or not _path_of(photo).is_file():
            return None
        return photo, _path_of(photo).stat().st_mtime_ns

    @classmethod
    def execute(cls, camera, source=FOV, fov=70.0, focal_mm=26.0, sensor_mm=36.0, photo="", numbers="", geometry=None):
        check_choice("source", source, SOURCES)
        if geometry is not None:
            row, known = lens_of(geometry, camera.size), "geometry"
        elif source == FOV:
            row, known = from_fov(fov, camera.size), "field of view"
        elif source == FOCAL:
            row = from_focal_length(focal_mm, camera.size, sensor_width_mm=sensor_mm)
            known = f"{focal_mm:g} mm before a sensor {sensor_mm:g} mm wide"
        elif source == PHOTO:
            row, known = _of_photo(camera, photo)
        else:
            row, known = _of_numbers(numbers), "given"
        seen = camera.seen_through(row, known)
        degrees = field_of_view_deg(row, camera.size)[0]
        told = f"{degrees:.1f} degrees wide ({known})"
        if not LEAST_FOV_DEG <= degrees <= MOST_FOV_DEG:
            told += f"; {LEAST_FOV_DEG:g} to {MOST_FOV_DEG:g} are sane"
        say(told, cls.hidden.unique_id)
        return io.NodeOutput(seen, degrees, told)


NODES = [SanaWMIntrinsics]


def _photos() -> list[str]:
    """Pictures in the input folder that may have EXIF."""
    names = folder_paths.filter_files_content_types(_input_files(), ["image"])
    return sorted(name for name in names if name.lower().endswith((".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")))


def _input_files() -> list[str]:
    return folder_paths.recursive_search(folder_paths.get_input_directory(), excluded_dir_names=[".git"])[0]


def _path_of(photo: str) -> Path:
    """Where the photo lies; CameraError outside of the input folder."""
    path = path_inside(folder_paths.get_input_directory(), photo)
    if path is None:
        raise CameraError(f"photo must lie in the input folder, got {photo!r:.80}; put it there and refresh (press R)")
    return path


def _of_photo(camera: CameraPath, photo: str) -> tuple[NDArray, str]:
    if not photo:
        raise CameraError("no photo is chosen; choose the file in the input folder, as the camera wrote it")
    found = read_photo(_path_of(photo))
    shape, wanted = found.size[1] / found.size[0], camera.size[1] / camera.size[0]
    if abs(shape / wanted - 1) > SAME_SHAPE:
        raise CameraError(
            f"{photo} is {found.size[1]} x {found.size[0]}, the camera's picture {camera.size[1]} x {camera.size[0]}: it was cut "
            "to another shape, and its EXIF does not know; make the camera with the whole photo as image"
        )
    return from_fov(found.fov_deg, camera.size), found.told


def _of_numbers(text: str) -> NDArray:
    """(4,) from four numbers, or nine of a matrix K."""
    try:
        given = np.array([float(part) for part in text.replace(",", " ").replace(";", " ").split()])
    except ValueError:
        given = np.zeros(0)
    if len(given) == 9:
        given = given.reshape(3, 3)
        if np.abs(given[2] - (0, 0, 1)).max() > 1e-6 or np.abs(given[[0, 1], [1, 0]]).max() > 1e-3:
            raise CameraError(
                "K must be fx 0 cx, 0 fy cy, 0 0 1 without skew; undistort the picture, or give its rows in order"
            )
        return given[[0, 1, 0, 1], [0, 1, 2, 2]]
    if len(given) != 4:
        raise CameraError(f"numbers must be fx, fy, cx, cy, or the nine of K, got {text!r:.80}")
    return given
