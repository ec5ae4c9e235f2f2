"""Where a camera comes back: pairs of frames that look from almost the same place, long after each other.

SANA-WM (arXiv 2605.15178) compares frames whose cameras are closer than 0.5 m and 20 degrees. The time between them and
that the camera was away in between are of this package, so that a still or slow camera is no revisit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .path import CameraPath
from .rotation import angle_between

NEAR_M = 0.5
NEAR_DEG = 20.0
GAP_S = 5.0
PAIRS = 5  # as many as the published evaluation takes of a clip
_APART_S = 1.0  # between the pairs that are taken, or all would be neighbours of the best one
_ANCHORS = 2048  # frames that are compared with all later ones; more only cost time


@dataclass(frozen=True)
class Revisit:
    """Two frames of one camera path, `first` before `later`, that look from almost the same place."""

    first: int
    later: int
    metres: float
    degrees: float

    @property
    def nearness(self) -> float:
        """0 for the very same view, below 2 for any revisit."""
        return self.metres / NEAR_M + self.degrees / NEAR_DEG


def find_revisits(path: CameraPath, *, most: int = PAIRS, gap_s: float = GAP_S) -> list[Revisit]:
    """The nearest pairs of frames closer than 0.5 m and 20 degrees that are `gap_s` seconds or more apart, by frame.

    Between the two the camera must have been farther away than that. Pairs are a second or more from each other in
    their first or their later frame, `most` of them at most. In paths over 2048 frames every n-th frame is a first one.
    """
    if most < 1 or gap_s <= 0:
        raise ConfigError(f"revisits need most >= 1 and gap_s > 0, got {most} and {gap_s:g}; see PAIRS and GAP_S")
    gap = math.ceil(gap_s * path.fps - 1e-6)
    anchors = range(0, max(0, path.frames - gap), math.ceil(path.frames / _ANCHORS))
    found = [pair for pair in (_nearest_return(path.c2w, frame, gap) for frame in anchors) if pair]
    found.sort(key=lambda pair: (round(pair.nearness, 2), pair.first))
    apart, taken = _APART_S * path.fps, []
    for pair in found:
        if len(taken) < most and all(
            max(abs(pair.first - other.first), abs(pair.later - other.later)) >= apart for other in taken
        ):
            taken.append(pair)
    return sorted(taken, key=lambda pair: pair.first)


def _nearest_return(c2w: NDArray, frame: int, gap: int) -> Revisit | None:
    """The later frame nearest to `frame` once the camera was away, `gap` frames later or more; None if it stays away."""
    metres, degrees = _distances(c2w, frame)
    near = (metres < NEAR_M) & (degrees < NEAR_DEG)
    if near.all():
        return None
    start = max(int(near.argmin()), gap)
    back = start + np.flatnonzero(near[start:])
    if not len(back):
        return None
    later = int(back[np.argmin((metres / NEAR_M + degrees / NEAR_DEG)[back].round(6))])
    return Revisit(frame, frame + later, float(metres[later]), float(degrees[later]))


def _distances(c2w: NDArray, frame: int) -> tuple[NDArray, NDArray]:
    """Metres and degrees from the camera (4, 4) of a frame to those of that frame and all later ones, (n,) each."""
    here, later = c2w[frame], c2w[frame:]
    metres = np.linalg.norm(later[:, :3, 3] - here[:3, 3], axis=1)
    return metres, np.degrees(angle_between(here[:3, :3], later[:, :3, :3]))
