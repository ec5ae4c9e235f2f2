"""Depth maps as nodes get them: the inputs that say what one holds, and its metres."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import folder_paths
import numpy as np
from comfy_api.latest import io
from numpy.typing import NDArray

from ..wm_core.errors import CameraError
from .bridge import depth_of
from .compat import advanced, check_choice
from .geometry import Geometry, depth_of_geometry

DEPTHS = ["white is near", "metres"]
MOST_POINTS = 100_000  # of what the camera editor shows
_KEPT = re.compile(r"sana_wm_depth_[0-9a-f]{16}\.f32")


def depth_inputs() -> list[io.Input]:
    """Folded widgets that say what a depth picture holds, and what a newer host's geometry nodes know in its place."""
    values = io.Combo.Input(
        "depth_values",
        optional=True,
        options=DEPTHS,
        default=DEPTHS[0],
        tooltip="What the depth picture holds: a depth map as it is shown, white near, or metres.",
    )
    return [
        advanced(values),
        advanced(_metres("nearest", 1.0, "Metres of white, in a depth map that is white where it is near.")),
        advanced(_metres("farthest", 30.0, "Metres of black.")),
        Geometry.Input(
            "geometry",
            optional=True,
            tooltip="In place of depth: the first frame's geometry from MoGe's nodes in newer ComfyUI. MoGe-2 knows metres, "
            "MoGe-1 does not.",
        ),
    ]


def metres_of(
    depth, geometry, size: tuple[int, int], values: str = DEPTHS[0], nearest: float = 1.0, farthest: float = 30.0
) -> NDArray | None:
    """Metres (h, w) of the first picture of an IMAGE or of a geometry; None where there is neither.

    A depth map as it is shown is linear in 1 / depth, as such maps are made. size: (h, w) of the camera's picture.
    """
    check_choice("depth_values", values, DEPTHS)
    if depth is not None and geometry is not None:
        raise CameraError("both depth and geometry are connected, wanted one of them; disconnect the other")
    if geometry is not None:
        return depth_of_geometry(geometry, size)
    if depth is None or values == DEPTHS[1]:
        return None if depth is None else depth_of(depth)
    if not nearest < farthest:
        raise CameraError(
            f"nearest must be below farthest, got {nearest:g} and {farthest:g} metres; type the smaller one as nearest"
        )
    near = depth_of(depth).clip(0, 1)
    return 1 / (near / nearest + (1 - near) / farthest)


def keep_depth(metres: NDArray) -> dict:
    """Put a depth map (h, w) where the browser gets it: little-endian float32 in the temporary folder, MOST_POINTS at most.

    Result: how ComfyUI names such a file, and its height and width.
    """
    stride = max(1, int(np.sqrt(metres.size / MOST_POINTS)))
    while metres[::stride, ::stride].size > MOST_POINTS:
        stride += 1
    fewer = np.ascontiguousarray(metres[::stride, ::stride], "<f4")
    name = f"sana_wm_depth_{secrets.token_hex(8)}.f32"
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(fewer.tobytes())
    return {"filename": name, "subfolder": "", "type": "temp", "height": fewer.shape[0], "width": fewer.shape[1]}


def kept_depth(name: str, height: int, width: int) -> NDArray | None:
    """What keep_depth has put there, (h, w) metres; None if it is gone, or if that is no name of its own."""
    file = Path(folder_paths.get_temp_directory()) / name
    if not _KEPT.fullmatch(name) or not file.is_file() or file.stat().st_size != 4 * height * width:
        return None
    return np.fromfile(file, "<f4").reshape(height, width)


def _metres(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, optional=True, default=default, min=0.01, max=10_000.0, step=0.1, tooltip=tooltip)
