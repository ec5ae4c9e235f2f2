"""Cameras of ComfyUI's 3-D nodes (LOAD3D_CAMERA): three.js axes and words.

A dict with position and target {x, y, z}, perhaps quaternion {x, y, z, w}, fov (vertical degrees) and zoom; right-handed, y up,
the camera looks along its own -z. Without a quaternion it looks at its target, level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError
from . import quaternion
from .conventions import from_opencv, to_opencv
from .intrinsics import MAX_FOV_DEG, MIN_FOV_DEG
from .keyframes import Key, Keyframes, keyframed_path
from .path import CameraPath
from .rotation import angles_of, looking_rotation, rigid

_UP_TO_DOWN = np.array((1.0, -1.0, -1.0))  # a y-up, z-behind vector in OpenCV's axes


@dataclass(frozen=True, eq=False)
class _Seen:
    c2w: NDArray  # (4, 4) OpenCV
    fov_deg: float  # horizontal


def load3d_path(
    cameras: Sequence[Mapping[str, Any]],
    *,
    frames: int,
    size: tuple[int, int],
    fov_deg: float | None = None,
    metres: float = 1.0,
    easing: str = "smooth",
    fps: float = 16.0,
) -> CameraPath:
    """A smooth path through the cameras in equal times, in the world of the first one.

    fov_deg: vertical degrees of cameras that do not say theirs. metres: length of the scene's unit. size: (h, w) pixels.
    easing: of the whole way, so that it rests only at its ends if there are more than two.
    """
    if not cameras:
        raise CameraError("a path goes through at least 1 camera, got none; connect a camera_info")
    if not (math.isfinite(metres) and metres > 0):
        raise CameraError(f"metres must be the positive length of the scene's unit, got {metres}")
    if frames < len(cameras):
        raise CameraError(f"{len(cameras)} cameras need at least as many frames, got {frames}")
    seen = [_read(number, camera, size, fov_deg) for number, camera in enumerate(cameras, 1)]
    at = np.rint(np.linspace(0, frames - 1, len(seen))).astype(int)
    keys = []
    for frame, camera in zip(at.tolist(), seen):
        yaw, pitch, roll = np.degrees(angles_of(camera.c2w[None, :3, :3])[0]).tolist()
        keys.append(Key(frame, tuple((camera.c2w[:3, 3] * metres).tolist()), yaw, pitch, roll, camera.fov_deg, easing))
    timing = "keys" if len(keys) < 3 else "even"
    path = keyframed_path(Keyframes(tuple(keys), frames, size, fps, timing=timing))
    return path.noted(f"{len(cameras)} camera{'s' if len(cameras) > 1 else ''} of 3-D nodes").relative_to_first()


def to_load3d(path: CameraPath, frame: int = 0, distance: float = 1.0) -> dict[str, Any]:
    """One camera of the path in its world, as 3-D nodes take it: the inverse of what load3d_path reads.

    frame: from 0 on, or from the end for negative ones. distance: metres to the target, which lies straight ahead. The principal
    point is left out, these cameras have none; fov is that of fy.
    """
    if not -path.frames <= frame < path.frames:
        raise CameraError(f"frame {frame} is not part of a path of {path.frames} frames; the last one is -1")
    if not (math.isfinite(distance) and distance > 0):
        raise CameraError(f"distance must be positive metres to the target, got {distance}")
    c2w = from_opencv(path.c2w[frame].astype(np.float64), "opengl")
    w, x, y, z = quaternion.from_rotation(c2w[None, :3, :3])[0].tolist()
    half = path.size[0] / 2 / float(path.intrinsics[frame, 1])
    return {
        "position": dict(zip("xyz", c2w[:3, 3].tolist())),
        "target": dict(zip("xyz", (c2w[:3, 3] - distance * c2w[:3, 2]).tolist())),
        "quaternion": {"x": x, "y": y, "z": z, "w": w},
        "fov": math.degrees(2 * math.atan(half)),
        "zoom": 1.0,
        "cameraType": "perspective",
    }


def _read(number: int, camera: Mapping[str, Any], size: tuple[int, int], fov_deg: float | None) -> _Seen:
    if not isinstance(camera, Mapping):
        raise CameraError(f"camera {number} must be a camera_info of a 3-D node, got {type(camera).__name__}")
    if camera.get("cameraType", "perspective") != "perspective":
        raise CameraError(
            f"camera {number} is {camera['cameraType']}, the model sees in perspective; switch it in its node"
        )
    position = _vector(number, camera, "position", "xyz")
    if camera.get("quaternion") is not None:
        x, y, z, w = _vector(number, camera, "quaternion", "xyzw")
        if not math.isclose(math.hypot(x, y, z, w), 1, abs_tol=1e-2):
            raise CameraError(f"camera {number} has a quaternion of length {math.hypot(x, y, z, w):.3g}, wanted 1")
        c2w = to_opencv(rigid(quaternion.to_rotation(np.array([[w, x, y, z]])), position[None]), "opengl")[0]
    else:
        ahead = (_vector(number, camera, "target", "xyz") - position) * _UP_TO_DOWN
        c2w = rigid(looking_rotation(ahead[None]), (position * _UP_TO_DOWN)[None])[0]
    return _Seen(c2w, _horizontal(number, camera, size, fov_deg))


def _horizontal(number: int, camera: Mapping[str, Any], size: tuple[int, int], fov_deg: float | None) -> float:
    vertical, zoom = camera.get("fov") or fov_deg, camera.get("zoom") or 1.0
    if vertical is None:
        raise CameraError(f"camera {number} does not say its field of view; give its vertical degrees as fov")
    if not (_is_number(vertical) and 0 < vertical < 180 and _is_number(zoom) and zoom > 0):
        raise CameraError(
            f"camera {number} has a field of view of {vertical!r} and a zoom of {zoom!r}, wanted 0 to 180 and above 0"
        )
    half = math.tan(math.radians(vertical) / 2) / zoom
    degrees = math.degrees(2 * math.atan(half * size[1] / size[0]))
    if not MIN_FOV_DEG <= degrees <= MAX_FOV_DEG:
        raise CameraError(
            f"camera {number} sees {degrees:.1f} degrees in a picture of {size[1]} x {size[0]}, wanted {MIN_FOV_DEG:g} to "
            f"{MAX_FOV_DEG:g}; change its zoom or field of view"
        )
    return degrees


def _vector(number: int, camera: Mapping[str, Any], name: str, axes: str) -> NDArray:
    given = camera.get(name)
    values = [given.get(axis) for axis in axes] if isinstance(given, Mapping) else [None]
    if not all(map(_is_number, values)):
        raise CameraError(f"camera {number} must have a {name} with {', '.join(axes)}, got {given!r:.100}")
    return np.array(values, np.float64)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
