"""What a newer host's geometry nodes (MoGe) know of a picture: the lens that took it, and how far away everything is.

Their wire is a dict of tensors; it is read by what it holds and nothing is imported, so older hosts only lack what to connect.
"""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io
from numpy.typing import NDArray

from ..wm_core.errors import CameraError, ShapeError

Geometry = io.Custom("MOGE_GEOMETRY")
SAME_SHAPE = 0.02  # how far the shapes of two pictures may differ: a few rows are cut by many programs


def lens_of(geometry: dict, size: tuple[int, int]) -> NDArray:
    """Intrinsics (4,) in pixels of a camera's picture `size` (h, w), from the first picture of a geometry.

    The wire's K (b, 3, 3) counts in widths and heights of the picture, with the middle at 0.5. CameraError for a panorama,
    which has none, and for a picture of another shape.
    """
    _check_picture(geometry, size)
    k, (height, width) = _first(geometry, "intrinsics", "(b, 3, 3)"), size
    row = k[[0, 1, 0, 1], [0, 1, 2, 2]] if k.shape == (3, 3) else np.full(4, np.nan)
    if not (np.isfinite(row).all() and (row[:2] > 0).all() and (np.abs(row[2:] - 0.5) < 0.5).all()):
        raise CameraError(
            f"the geometry's intrinsics must be K in shares of its picture, such as 0.7 0 0.5, 0 1.2 0.5, 0 0 1, got "
            f"{np.round(k, 3).tolist()}; type pixels into numbers"
        )
    return (row * (width, height, width, height)).astype(np.float32)


def depth_of_geometry(geometry: dict, size: tuple[int, int]) -> NDArray:
    """Depth (h, w) of the first picture of a geometry, infinite where it says that there is no surface.

    Metres if the model knows them: MoGe-2 does. size: (h, w) of the camera's picture, which must have the same shape.
    """
    _check_picture(geometry, size)
    depth = _first(geometry, "depth", "(b, h, w)")
    if "mask" not in geometry:
        return depth
    mask = _first(geometry, "mask", "(b, h, w)")
    if mask.shape != depth.shape:
        raise ShapeError(
            f"the geometry's mask must be as its depth, {depth.shape}, got {mask.shape}; run its node again"
        )
    return np.where(mask > 0.5, depth, np.float32(np.inf))


def _check_picture(geometry: dict, size: tuple[int, int]) -> None:
    if not isinstance(geometry, dict):
        raise ShapeError(
            f"geometry must be a dict of tensors, as MoGe's nodes make it, got a {type(geometry).__name__}"
        )
    if "intrinsics" not in geometry:
        raise CameraError(
            "the geometry has no intrinsics: a panorama looks everywhere and has no lens; connect the geometry of the first "
            "frame itself"
        )
    name = next((name for name in ("image", "depth", "points") if name in geometry), "image")
    height, width = _first(geometry, name, "(b, h, w, 3)" if name != "depth" else "(b, h, w)").shape[:2]
    if abs(width / height / (size[1] / size[0]) - 1) > SAME_SHAPE:
        raise CameraError(
            f"the geometry is of a picture of {width} x {height}, the camera's is {size[1]} x {size[0]}, which is another shape; "
            "make both of the same picture"
        )


def _first(geometry: dict, name: str, wanted: str) -> NDArray:
    """The first of a batch of tensors as float32; wanted: its shape in words, for the error."""
    given = geometry.get(name)
    if not (isinstance(given, torch.Tensor) and given.ndim == wanted.count(",") + 1 and all(given.shape)):
        got = f"{tuple(given.shape)}" if isinstance(given, torch.Tensor) else f"{type(given).__name__}"
        raise ShapeError(
            f"the geometry's {name} must be a tensor {wanted}, got {got}; connect what Run MoGe Inference makes"
        )
    return given[0].float().cpu().numpy()
