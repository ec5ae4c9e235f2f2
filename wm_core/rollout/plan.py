"""What a rollout is to make: how many chunks, what is seen, where the camera goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..camera import CameraPath
from .session import Prompt, Session

# poses(frames, session) -> the cameras of at least so many pixel frames, the finished ones unchanged
PoseProvider = Callable[[int, Session], CameraPath]


@dataclass(frozen=True, eq=False)
class Plan:
    """What to make: `chunks` in all, what is seen, where the camera goes, and the seed of the chunks made now.

    noise: of the whole video (1, c, t, h, w) in place of what seed and chunk give, to compare with another program.
    """

    prompt: Prompt
    poses: PoseProvider
    chunks: int
    seed: int
    noise: Tensor | None = None


def given_path(path: CameraPath) -> PoseProvider:
    """A path known beforehand."""
    return lambda frames, session: path
