"""When the camera is where: paths with other frames, another speed along the way, backwards, held or closed to a loop.

The way itself does not change. Between two frames a camera moves straight, turns at an even rate (slerp) and zooms evenly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError
from . import quaternion
from .actions import MAX_FRAMES
from .path import CameraPath
from .rotation import rigid
from .spline import hermite
from .trajectories import EASINGS


def sampled(path: CameraPath, at: NDArray, step: str) -> CameraPath:
    """Cameras at fractional frames `at` (n,) in [0, frames - 1]; whole ones are kept to the bit. step: for the provenance."""
    at = np.asarray(at, np.float64)
    if at.ndim != 1 or not 0 < len(at) <= MAX_FRAMES:
        raise CameraError(f"a path has 1 to {MAX_FRAMES} frames, got {at.shape}; split it into takes")
    if not (np.isfinite(at).all() and at.min() >= 0 and at.max() <= path.frames - 1):
        raise CameraError(f"frames must lie in [0, {path.frames - 1}], got {at.min():g} to {at.max():g}")
    first = np.minimum(np.floor(at).astype(int), path.frames - 1)
    second, share = np.minimum(first + 1, path.frames - 1), at - first
    ends = quaternion.from_rotation(path.c2w[:, :3, :3])
    turned = quaternion.to_rotation(quaternion.slerp(ends[first], ends[second], share))
    mixed = lambda rows: rows[first] + (rows[second].astype(np.float64) - rows[first]) * share[:, None]
    c2w = rigid(turned, mixed(path.c2w[:, :3, 3]))
    whole = share == 0
    c2w[whole] = path.c2w[first[whole]]
    return replace(path, c2w=c2w, intrinsics=mixed(path.intrinsics), provenance=path.provenance.noting(step))


def with_frames(path: CameraPath, frames: int) -> CameraPath:
    """The whole way in another number of frames, at the same fps: faster or slower."""
    if frames < 1:
        raise CameraError(f"a path has at least 1 frame, got {frames}")
    if frames == path.frames:
        return path
    return sampled(path, np.linspace(0, path.frames - 1, frames), f"stretched from {path.frames} to {frames} frames")


def at_fps(path: CameraPath, fps: float) -> CameraPath:
    """The same way in the same time at another rate. What is left of a frame at the end is dropped."""
    if not (np.isfinite(fps) and fps > 0):
        raise CameraError(f"fps must be a positive number of frames per second, got {fps}")
    if fps == path.fps:
        return path
    frames = int((path.frames - 1) * fps / path.fps + 1e-9) + 1
    if frames > MAX_FRAMES:
        raise CameraError(
            f"{path.frames} frames at {path.fps:g} fps are {frames} at {fps:g}, at most {MAX_FRAMES} are taken"
        )
    step = f"from {path.fps:g} to {fps:g} fps"
    return replace(sampled(path, np.arange(frames) * path.fps / fps, step), fps=fps)


def backwards(path: CameraPath) -> CameraPath:
    """From the last camera to the first."""
    return path.picked(np.arange(path.frames)[::-1], "backwards")


def there_and_back(path: CameraPath) -> CameraPath:
    """The way out and the same way back: 2 frames - 1, the last camera the first."""
    out = np.arange(path.frames)
    return path.picked(np.concatenate([out, out[-2::-1]]), "there and back")


def held(path: CameraPath, frame: int, frames: int) -> CameraPath:
    """The path with the camera standing still at one frame for that many frames more. frame: from the end if negative."""
    if not -path.frames <= frame < path.frames:
        raise CameraError(f"frame {frame} is not part of a path of {path.frames} frames")
    if frames < 0:
        raise CameraError(f"a camera is held for at least 0 frames, got {frames}")
    at = frame % path.frames
    index = np.concatenate([np.arange(at), np.full(frames + 1, at), np.arange(at + 1, path.frames)])
    return path.picked(index, f"held at frame {at} for {frames} frames")


def eased(path: CameraPath, easing: str) -> CameraPath:
    """The same way in the same frames with another speed along it. easing: a row of EASINGS, from the first frame to the last."""
    if easing not in EASINGS:
        raise CameraError(f"easing must be one of {', '.join(EASINGS)}, got {easing!r}")
    share = np.clip(EASINGS[easing](np.linspace(0, 1, path.frames)), 0, 1)  # no way leads past the end
    return sampled(path, share * (path.frames - 1), f"eased {easing}")


def at_constant_speed(path: CameraPath) -> CameraPath:
    """The same way in the same frames with equal steps in metres. Turns on the spot are passed in no time."""
    steps = np.linalg.norm(np.diff(path.c2w[:, :3, 3].astype(np.float64), axis=0), axis=1)
    if not steps.sum() > 0:
        raise CameraError("the path stays where it is, so it has no speed to even out; it can be eased instead")
    reached = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, reached[-1], path.frames)
    before = np.searchsorted(reached, wanted, side="right") - 1  # of frames that stand together, the last
    share = (wanted - reached[before])[:-1] / steps[before[:-1]]
    frames = np.concatenate([before[:-1] + np.clip(share, 0, 1), [path.frames - 1]])
    frames[0] = 0
    return sampled(path, frames, "at constant speed")


def closed(path: CameraPath, frames: int) -> CameraPath:
    """The path and, in that many frames more, a way back to its first camera, left and met without a jolt.

    The way back is a cubic whose ends have the path's own speeds (Hermite); the turn and the zoom are eased.
    """
    if frames < 1:
        raise CameraError(f"the way back takes at least 1 frame, got {frames}")
    if path.frames < 2:
        raise CameraError("a single camera needs no way back to itself; hold it instead")
    share = np.arange(1, frames + 1) / frames
    centre = path.c2w[:, :3, 3].astype(np.float64)
    leaving, meeting = (centre[-1] - centre[-2]) * frames, (centre[1] - centre[0]) * frames
    back = hermite(centre[-1], centre[0], leaving, meeting, share)
    smooth = EASINGS["smooth"](share)[:, None]
    ends = quaternion.from_rotation(path.c2w[[-1, 0], :3, :3])
    turn = quaternion.slerp(ends[[0] * frames], ends[[1] * frames], smooth[:, 0])
    c2w = rigid(quaternion.to_rotation(turn), back)
    c2w[-1] = path.c2w[0]
    rows = path.intrinsics[-1] + (path.intrinsics[0].astype(np.float64) - path.intrinsics[-1]) * smooth
    return replace(
        path,
        c2w=np.concatenate([path.c2w, c2w]),
        intrinsics=np.concatenate([path.intrinsics, rows]),
        provenance=path.provenance.noting(f"closed to a loop in {frames} frames"),
    )
