"""What a camera path does, in numbers a person reads: steps, headings, speeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .path import CameraPath
from .rotation import angle_between, relative_to_first, yaw_rotation


@dataclass(frozen=True, eq=False)
class Motion:
    """A path of f frames as seen from its first camera. Degrees, metres, seconds; right, up and forward count up."""

    times_s: NDArray  # (f,)
    c2w: NDArray  # (f, 4, 4) float64
    yaw_deg: NDArray  # (f,), without jumps at 180
    pitch_deg: NDArray  # (f,)
    steps_m: NDArray  # (f - 1, 3) right, up, forward of the way the camera then faces
    turns_deg: NDArray  # (f - 1,) angle between neighbouring cameras, never negative
    fps: float

    @property
    def centre(self) -> NDArray:
        """Camera centres (f, 3): x right, y down, z forward of the first camera."""
        return self.c2w[:, :3, 3]

    @property
    def seconds(self) -> float:
        return float(self.times_s[-1])

    @property
    def speed(self) -> NDArray:
        """(f - 1,) metres per second."""
        return np.linalg.norm(self.steps_m, axis=1) * self.fps

    @property
    def length_m(self) -> float:
        return float(np.linalg.norm(self.steps_m, axis=1).sum())


def measure(path: CameraPath) -> Motion:
    """The motion of a path; works for any world, as everything is relative to the first camera."""
    c2w = relative_to_first(path.c2w)
    ahead = c2w[:, :3, 2]
    yaw = np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2]))
    pitch = np.arcsin(np.clip(-ahead[:, 1], -1.0, 1.0))
    moved = np.diff(c2w[:, :3, 3], axis=0)
    right, down, forward = np.einsum("fji,fj->if", yaw_rotation(yaw[1:]), moved)
    return Motion(
        times_s=np.arange(path.frames) / path.fps,
        c2w=c2w,
        yaw_deg=np.degrees(yaw - yaw[0]),
        pitch_deg=np.degrees(pitch),
        steps_m=np.stack([right, -down, forward], axis=1),
        turns_deg=np.degrees(angle_between(c2w[:-1, :3, :3], c2w[1:, :3, :3])),
        fps=path.fps,
    )
