"""What a camera path will ask of the model, before any of its time is spent: limits, lengths, revisits, collisions.

Ranges are those of the published paths and dialects: the model was shown nothing else that is known of.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from ..shapes import snap_frames
from .intrinsics import centred_views_deg, field_of_view_deg
from .motion import Motion, measure
from .narrate import describe
from .path import CameraPath
from .revisits import Revisit, find_revisits

USUAL_STEP_M, MOST_STEP_M = 0.025, 0.055  # a frame: nvlabs-v2, and the fastest published example
USUAL_TURN_DEG, MOST_TURN_DEG = 0.6, 1.2  # a frame: nvlabs-v2 and nvlabs-v1
MOST_PITCH_DEG = 60.0  # nvlabs-v2 stops there
LEAST_FOV_DEG, MOST_FOV_DEG = 25.0, 120.0  # NVlabs' own script refuses others
ROUNDING = 1.02  # of float32 and of two keys at once
CLEARANCE_M = 0.1  # between the camera and what the depth map shows


@dataclass(frozen=True)
class Finding:
    """One thing to know. frames: where, as ranges; none if it is of the whole path."""

    level: Literal["note", "warning"]
    text: str
    frames: tuple[range, ...] = ()


@dataclass(frozen=True, eq=False)
class Preflight:
    """All that was found about a path, and the pairs of frames where it comes back."""

    summary: str
    findings: tuple[Finding, ...]
    revisits: tuple[Revisit, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def text(self) -> str:
        """One line for each, warnings first."""
        rest = [finding for finding in self.findings if finding.level == "note"]
        return "\n".join([self.summary, *(f"{f.level}: {f.text}" for f in (*self.warnings, *rest))])


def preflight(path: CameraPath, *, depth: NDArray | None = None) -> Preflight:
    """Everything about a path that a user would want to know first.

    depth: (h, w) metres along the view axis that the first camera sees, of the path's aspect ratio; places without a
    surface are infinite, nan or 0. With it, cameras that would stand in or behind what is seen are found.
    """
    motion = measure(path)
    revisits = tuple(find_revisits(path))
    found = [
        *_beginning(path),
        *_speeds(motion),
        *_pitch(motion),
        *_view(path),
        *_lengths(path),
        *_returns(path, revisits),
        *(() if depth is None else _collisions(path, motion, depth)),
    ]
    return Preflight(_summary(path, motion), tuple(found), revisits)


def _summary(path: CameraPath, motion: Motion) -> str:
    fov = field_of_view_deg(path.intrinsics[0], path.size)[0]
    speed = f", at most {motion.speed.max():.2g} m/s" if path.frames > 1 else ""
    frames = "1 frame" if path.frames == 1 else f"{path.frames} frames"
    return (
        f"{frames}, {motion.seconds:.1f} s at {path.fps:g} fps, {motion.length_m:.1f} m{speed}, "
        f"{fov:.0f} degrees wide ({path.provenance.intrinsics_source}): {describe(path)}"
    )


def _beginning(path: CameraPath) -> list[Finding]:
    """In words what the first second shows: the wrong way is seen here first."""
    first = path.slice(0, min(path.frames, round(path.fps) + 1))
    return [Finding("note", f"in the first second: {describe(first)}")]


def _speeds(motion: Motion) -> list[Finding]:
    steps = np.linalg.norm(motion.steps_m, axis=1)
    found = []
    for what, unit, values, usual, most in (
        ("moves", "m", steps, USUAL_STEP_M, MOST_STEP_M),
        ("turns", "degrees", motion.turns_deg, USUAL_TURN_DEG, MOST_TURN_DEG),
    ):
        where = _runs(values > most * ROUNDING)
        if where:
            text = f"{what} up to {values.max():.3g} {unit} a frame; known paths have {usual:g}, at most {most:g}"
            found.append(Finding("warning", f"{text}, so it may lag behind ({_told(where)})", where))
    return found


def _pitch(motion: Motion) -> list[Finding]:
    where = _runs(np.abs(motion.pitch_deg) > MOST_PITCH_DEG + 0.01)
    most = motion.pitch_deg[np.abs(motion.pitch_deg).argmax()]
    text = f"looks {abs(most):.0f} degrees {'up' if most > 0 else 'down'}; known paths stop at {MOST_PITCH_DEG:g}"
    return [Finding("warning", f"{text} ({_told(where)})", where)] if where else []


def _view(path: CameraPath) -> list[Finding]:
    found = []
    fov = centred_views_deg(path.intrinsics, path.size)
    where = _runs((fov < LEAST_FOV_DEG) | (fov > MOST_FOV_DEG))
    if where:
        text = f"the field of view is {fov.min():.0f} to {fov.max():.0f} degrees; {LEAST_FOV_DEG:g} to {MOST_FOV_DEG:g} are sane"
        found.append(Finding("warning", f"{text} ({_told(where)})", where))
    if path.provenance.intrinsics_source == "guess":
        found.append(
            Finding(
                "warning", "the field of view is a guess; a wrong one makes turns too wide or too narrow, so give fov"
            )
        )
    return found


def _lengths(path: CameraPath) -> list[Finding]:
    """Frame counts that the models take whole."""
    found = []
    for of, multiple in (("the dense model", 8), ("the streaming model", 24)):
        if (path.frames - 1) % multiple:
            near = snap_frames(path.frames, multiple=multiple)
            text = f"{of} makes {multiple}k + 1 frames, the path has {path.frames}; the nearest is {near}"
            found.append(Finding("note", text))
    return found


def _returns(path: CameraPath, revisits: tuple[Revisit, ...]) -> list[Finding]:
    if not revisits:
        return []
    pairs = ", ".join(f"{r.first / path.fps:.1f} s and {r.later / path.fps:.1f} s" for r in revisits)
    where = tuple(range(n, n + 1) for r in revisits for n in (r.first, r.later))
    return [
        Finding("note", f"comes back to the same view: {pairs}; the model has no map, so it may look different", where)
    ]


def _collisions(path: CameraPath, motion: Motion, depth: NDArray) -> list[Finding]:
    """Cameras in or behind a surface of the first view. What the first camera does not see is not known."""
    if depth.ndim != 2 or not depth.size or not np.issubdtype(depth.dtype, np.floating):
        raise ShapeError(f"depth must be (h, w) floating metres of the first view, got {depth.shape} {depth.dtype}")
    x, y, z = motion.centre.T
    h, w = depth.shape
    fx, fy, cx, cy = path.intrinsics[0].astype(np.float64)
    ahead = z > CLEARANCE_M
    safe = np.where(ahead, z, 1.0)
    column = np.floor((fx * x / safe + cx) * w / path.size[1])
    row = np.floor((fy * y / safe + cy) * h / path.size[0])
    seen = ahead & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    surface = np.full(len(z), np.inf)
    surface[seen] = depth[row[seen].astype(int), column[seen].astype(int)]
    surface[~(np.isfinite(surface) & (surface > 0))] = np.inf
    where = _runs(z > surface - CLEARANCE_M)
    if not where:
        return []
    first = where[0].start
    text = f"goes into what the first picture shows, {surface[first]:.1f} m ahead there, at {first / path.fps:.1f} s"
    return [Finding("warning", f"{text} ({_told(where)}); shorten the move or go around", where)]


def _runs(marked: NDArray) -> tuple[range, ...]:
    """Ranges of the frames that are marked."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]])))
    return tuple(range(int(a), int(b)) for a, b in list(pairwise(edges))[::2])


def _told(where: tuple[range, ...]) -> str:
    """Frame numbers in words, at most three ranges."""
    parts = [f"{r.start}-{r.stop - 1}" if len(r) > 1 else str(r.start) for r in where[:3]]
    more = f" and {len(where) - 3} more" if len(where) > 3 else ""
    return f"frame{'s' if len(where) > 1 or len(where[0]) > 1 else ''} {', '.join(parts)}{more}"
