"""The cameras of joined clips: one path for both, and whether it goes on without a jump."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..camera import CameraPath, angle_between, rigid_inverse
from ..errors import CameraError

VISIBLE_METRES, VISIBLE_DEGREES = 0.05, 1.2  # what a pressed key of the released dialects moves in a frame, at most
_ONE_WORLD = (0.01, 0.1)  # metres and degrees within which two paths are taken to meet in one world


@dataclass(frozen=True)
class Meeting:
    """How the paths of two clips agree over their overlap, each as (metres, degrees).

    moves: the greatest difference once the later path is moved onto the earlier one's end. 0: both show one movement.
    offset: how far it has to be moved for that. 0: both were given in one world.
    jump: pose_jump of the joined path at its seam.
    """

    moves: tuple[float, float]
    offset: tuple[float, float]
    jump: tuple[float, float]

    @property
    def in_one_world(self) -> bool:
        return self.offset[0] <= _ONE_WORLD[0] and self.offset[1] <= _ONE_WORLD[1]

    @property
    def is_visible(self) -> bool:
        """Whether a viewer may notice that the overlap is not one movement, or that it does not go on."""
        return any(m > VISIBLE_METRES or d > VISIBLE_DEGREES for m, d in (self.moves, self.jump))


def join_paths(before: CameraPath, after: CameraPath, overlap: int) -> CameraPath:
    """The cameras of two joined clips: `after` is moved so that its frame overlap - 1 stands on the last of `before`.

    In the overlap the cameras of `before` are kept. Without one, `before` goes on for a frame as it moved last, and
    `after` begins there. Result: frames of both less `overlap`. Intrinsics are not blended.
    """
    if not 0 <= overlap <= min(before.frames, after.frames):
        raise CameraError(
            f"the overlap of paths of {before.frames} and {after.frames} frames must be 0 to "
            f"{min(before.frames, after.frames)}, got {overlap}; give the overlap that the clips were joined with"
        )
    if overlap:
        return before.then(after.slice(overlap - 1, after.frames))
    last, previous = before.c2w[-1].astype(np.float64), before.c2w[max(0, before.frames - 2)]
    following = last @ (rigid_inverse(previous) @ last)
    longer = replace(
        before,
        c2w=np.concatenate([before.c2w, following[None]]),
        intrinsics=np.concatenate([before.intrinsics, after.intrinsics[:1]]),
    )
    return longer.then(after)


def compare_paths(before: CameraPath, after: CameraPath, overlap: int) -> Meeting:
    """How well `after` goes on from `before` if the clips share `overlap` frames; see join_paths for what must fit."""
    joined, end = join_paths(before, after, overlap), before.frames
    jumps = [pose_jump(joined, frame) for frame in (end, end + 1) if frame < joined.frames]
    jump = tuple(np.max(jumps, axis=0, initial=0.0).tolist())
    if not overlap:
        return Meeting((0.0, 0.0), _apart(joined.c2w[end : end + 1], after.c2w[:1]), jump)
    shared, given = before.c2w[end - overlap :], after.c2w[:overlap]
    moved = shared[-1].astype(np.float64) @ (rigid_inverse(given[-1]) @ given)
    return Meeting(_apart(shared, moved), _apart(shared[-1:], given[-1:]), jump)


def pose_jump(path: CameraPath, frame: int) -> tuple[float, float]:
    """(metres, degrees) by which the step to `frame` differs from that before or after it, whichever is nearer.

    Steps are in camera axes, so steady travel and turning give 0, as does a start or a stop; speeding up gives what is
    gained in a frame.
    """
    if not 1 <= frame < path.frames:
        raise CameraError(f"a jump can be measured at frames 1 to {path.frames - 1} of this path, got {frame}")
    near = np.arange(max(1, frame - 1), min(path.frames, frame + 2))
    steps = rigid_inverse(path.c2w[near - 1]) @ path.c2w[near]
    step, others = steps[near == frame][0], steps[near != frame]
    others = others if len(others) else np.eye(4)[None]
    metres = np.linalg.norm(others[:, :3, 3] - step[:3, 3], axis=1)
    degrees = np.degrees(angle_between(others[:, :3, :3], step[:3, :3]))
    return float(metres.min()), float(degrees.min())


def _apart(first: NDArray, second: NDArray) -> tuple[float, float]:
    """The greatest distance and angle between poses (f, 4, 4): metres, degrees."""
    metres = np.linalg.norm(first[:, :3, 3].astype(np.float64) - second[:, :3, 3], axis=1)
    degrees = np.degrees(angle_between(first[:, :3, :3], second[:, :3, :3]))
    return float(metres.max()), float(degrees.max())
