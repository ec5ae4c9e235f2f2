"""A camera path in words, to read back what was asked for: "forward 2.5 m over 6.3 s, then turns right 36 degrees".

Each frame's motion is reduced to signs (forward or back, left or right, ...); runs of equal signs are the phases.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .motion import Motion, measure
from .path import CameraPath

MAX_PHASES = 6
SHORTEST_PHASE_S = 0.4
FAINT = 0.15  # share of a path's peak speed (or turning rate) below which a motion is not told
FLOOR = np.array([0.01, 0.01, 0.01, 0.2, 0.2])  # metres or degrees per second
SHOWN_M, SHOWN_DEG = 0.05, 0.5  # less would be told as 0

Run = tuple[int, int, NDArray]  # first frame, frame after the last, signs (5,)

_MOVES = ("forward", "right", "up"), ("back", "left", "down")
_TURNS = (("turns right", "turns left"), ("looks up", "looks down"))
_TURNING = (("turning right", "turning left"), ("looking up", "looking down"))


def describe(path: CameraPath) -> str:
    """One sentence about a path: its phases in order, at most six, with metres, degrees and seconds."""
    motion = measure(path)
    if path.frames == 1:
        return "one frame, no motion"
    rates = _rates(motion)
    phases = _phases(_signs(rates), max(2, round(SHORTEST_PHASE_S * path.fps)))
    told = [_tell(rates[a:b].sum(0) / path.fps, signs, (b - a) / path.fps) for a, b, signs in phases]
    if len(told) > MAX_PHASES:
        more = len(told) - MAX_PHASES
        told[MAX_PHASES:] = [f"{more} more move{'s' if more > 1 else ''}"]
    return ", then ".join(told)


def frame_signs(path: CameraPath) -> NDArray:
    """What each frame does: (f - 1, 5) of -1, 0, 1 for forward, right, up, turning right, looking up."""
    return _signs(_rates(measure(path)))


def _rates(motion: Motion) -> NDArray:
    """(f - 1, 5) forward, right, up in m/s, yaw, pitch in degrees/s."""
    right, up, forward = motion.steps_m.T
    turn = np.diff(motion.yaw_deg), np.diff(motion.pitch_deg)
    return np.stack([forward, right, up, *turn], axis=1) * motion.fps


def _signs(rates: NDArray) -> NDArray:
    """(f - 1, 5) of -1, 0, 1; faint motion beside a strong one counts as none."""
    peak = np.abs(rates).max(0)
    peak[:3], peak[3:] = peak[:3].max(), peak[3:].max()
    return np.sign(rates) * (np.abs(rates) > np.maximum(FAINT * peak, FLOOR))


def _phases(signs: NDArray, shortest: int) -> list[Run]:
    """Runs of equal signs; a run below `shortest` frames joins its longer neighbour, the shortest ones first."""
    cuts = [0, *(np.flatnonzero((signs[1:] != signs[:-1]).any(1)) + 1), len(signs)]
    runs = [(int(a), int(b), signs[a]) for a, b in pairwise(cuts)]
    for length in range(1, shortest):
        runs = _absorb(runs, length)
    return runs


def _absorb(runs: list[Run], length: int) -> list[Run]:
    """Runs without those of up to `length` frames, and without neighbours of equal signs."""
    kept: list[Run] = []
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        start, stop, signs = run
        if kept and (kept[-1][2] == signs).all():
            kept[-1] = (kept[-1][0], stop, signs)
        elif stop - start > length or not (kept or following):
            kept.append(run)
        elif kept and (not following or _frames(kept[-1]) >= _frames(following)):
            kept[-1] = (kept[-1][0], stop, kept[-1][2])
        else:
            kept.append((start, stop, following[2]))
    return kept


def _frames(run: Run) -> int:
    return run[1] - run[0]


def _tell(total: NDArray, signs: NDArray, seconds: float) -> str:
    size = np.abs(total)
    moves = [f"{_MOVES[int(s < 0)][n]} {size[n]:.1f} m" for n, s in enumerate(signs[:3]) if s and size[n] >= SHOWN_M]
    words = _TURNING if moves else _TURNS
    turns = [
        f"{words[n][int(s < 0)]} {size[3 + n]:.0f} degrees"
        for n, s in enumerate(signs[3:])
        if s and size[3 + n] >= SHOWN_DEG
    ]
    if not moves and not turns:
        return f"still for {seconds:.1f} s"
    moved = " and ".join(moves)
    turned = " and ".join(turns)
    return f"{moved}{', ' if moved and turned else ''}{turned} over {seconds:.1f} s"
