"""Where the camera goes: paths that are smoothed, scaled, mirrored, shaken, turned to a point or kept on the ground.

Frames, fps and intrinsics stay. Points and axes are those of the path's own world: OpenCV, metres, y down.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError, ShapeError
from . import quaternion
from .path import CameraPath
from .rotation import looking_rotation, pitch_rotation, rigid, rigid_inverse, yaw_rotation
from .spline import catmull_rom

MIRROR = np.diag((-1.0, 1.0, 1.0, 1.0))
WAVES = 6  # sines that a shake is made of, from a fifth of its rate to twice of it


def smoothed(path: CameraPath, seconds: float) -> CameraPath:
    """A spline through every `seconds` of the path: centres by Catmull-Rom, rotations by squad; the ends stay."""
    if not (np.isfinite(seconds) and seconds > 0):
        raise CameraError(f"a path is smoothed over a positive number of seconds, got {seconds}")
    last = path.frames - 1
    knots = max(2, round(last / (seconds * path.fps)) + 1)
    if knots >= path.frames:
        return path
    at = np.rint(np.linspace(0, last, knots)).astype(int)
    place = np.interp(np.arange(path.frames), at, np.arange(knots))
    centre = catmull_rom(path.c2w[at, :3, 3], place)
    turned = quaternion.to_rotation(quaternion.squad(quaternion.from_rotation(path.c2w[at, :3, :3]), place))
    c2w = rigid(turned, centre)
    c2w[[0, last]] = path.c2w[[0, last]]
    return _changed(path, c2w, f"smoothed over {seconds:g} s")


def scaled(path: CameraPath, factor: float) -> CameraPath:
    """All distances from the first camera times `factor`; directions stay."""
    if not (np.isfinite(factor) and factor > 0):
        raise CameraError(f"distances are scaled by a positive factor, got {factor}; mirrored turns a path around")
    c2w = path.c2w.astype(np.float64)
    c2w[:, :3, 3] = c2w[0, :3, 3] + (c2w[:, :3, 3] - c2w[0, :3, 3]) * factor
    return _changed(path, c2w, f"distances times {factor:g}")


def at_mean_speed(path: CameraPath, metres_per_second: float) -> CameraPath:
    """Scaled so that the mean speed, over the frames in which the camera moves, is this."""
    if not (np.isfinite(metres_per_second) and metres_per_second > 0):
        raise CameraError(f"the speed must be a positive number of metres per second, got {metres_per_second}")
    steps = np.linalg.norm(np.diff(path.c2w[:, :3, 3].astype(np.float64), axis=0), axis=1)
    if not steps.any():
        raise CameraError("the path stays where it is, so no factor gives it a speed; add a move first")
    return scaled(path, metres_per_second / (steps[steps > 0].mean() * path.fps))


def rebased(path: CameraPath, frame: int = 0) -> CameraPath:
    """The same path in the world of one of its cameras, whose matrix becomes the identity. frame: from the end if negative."""
    if not -path.frames <= frame < path.frames:
        raise CameraError(f"frame {frame} is not part of a path of {path.frames} frames")
    at = frame % path.frames
    c2w = rigid_inverse(path.c2w[at]) @ path.c2w
    c2w[at] = np.eye(4)
    return _changed(path, c2w, f"relative to frame {at}")


def mirrored(path: CameraPath) -> CameraPath:
    """The camera that sees the mirrored pictures of a mirrored world: left is right."""
    fx, fy, cx, cy = path.intrinsics.T
    return replace(
        path,
        c2w=MIRROR @ path.c2w @ MIRROR,
        intrinsics=np.stack([fx, fy, path.size[1] - cx, cy], 1),
        provenance=path.provenance.noting("mirrored left to right"),
    )


def looking_at(path: CameraPath, point: ArrayLike) -> CameraPath:
    """The same way, every camera turned to the point (3,), level. CameraError where a camera stands on it or right below."""
    point = np.asarray(point, np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ShapeError(f"the point to look at must be x, y, z in metres, got {point.shape}; y counts downwards")
    rotation = looking_rotation(point - path.c2w[:, :3, 3])
    where = ", ".join(f"{value:g}" for value in point)
    return _changed(path, rigid(rotation, path.c2w[:, :3, 3]), f"looking at ({where}) m")


def on_ground(path: CameraPath) -> CameraPath:
    """The same way at the height of the first camera, with level turns: pitch stays, roll goes."""
    ahead = path.c2w[:, :3, 2].astype(np.float64)
    yaw = np.arctan2(ahead[:, 0], ahead[:, 2])
    pitch = np.arcsin(np.clip(-ahead[:, 1], -1, 1))
    centre = path.c2w[:, :3, 3].astype(np.float64)
    centre[:, 1] = centre[0, 1]
    return _changed(path, rigid(yaw_rotation(yaw) @ pitch_rotation(pitch), centre), "kept at the first camera's height")


def shaken(
    path: CameraPath, seed: int, *, degrees: float = 0.6, metres: float = 0.01, rate_hz: float = 1.2
) -> CameraPath:
    """A hand that holds the camera: slow sines in all directions, so that no frame jumps. The first camera stays.

    degrees, metres: root mean square of turn and shift along each axis; rate_hz: about how often it sways. The same seed
    gives the same shake whatever the path and its fps.
    """
    if min(degrees, metres) < 0 or not (np.isfinite((degrees, metres, rate_hz)).all() and rate_hz > 0):
        raise CameraError(f"a shake has amounts of at least 0 and a positive rate, got {degrees}, {metres}, {rate_hz}")
    time = np.arange(path.frames) / path.fps
    sway = _sway(np.random.default_rng(seed), time, rate_hz)
    turn = quaternion.to_rotation(quaternion.exp(np.radians(degrees) / 2 * sway[:, :3]))
    shake = rigid(turn, metres * sway[:, 3:])
    step = f"handheld, seed {seed}, {degrees:g} degrees and {metres:g} m at {rate_hz:g} Hz"
    return _changed(path, path.c2w.astype(np.float64) @ shake, step)


def _sway(random: np.random.Generator, time: NDArray, rate_hz: float) -> NDArray:
    """(f, 6): sums of sines with random phases, 0 at the start, with a root mean square of about 1 around their middle."""
    rates = rate_hz * np.geomspace(0.2, 2.0, WAVES)
    phase = random.uniform(0, 2 * np.pi, (6, WAVES))
    weight = 1 / np.sqrt(rates)
    weight *= np.sqrt(2 / np.square(weight).sum())
    waves = np.sin(2 * np.pi * time[:, None, None] * rates + phase) - np.sin(phase)
    return (waves * weight).sum(-1)


def _changed(path: CameraPath, c2w: NDArray, step: str) -> CameraPath:
    return replace(path, c2w=c2w, provenance=path.provenance.noting(step))
