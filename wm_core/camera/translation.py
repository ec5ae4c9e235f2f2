"""An action string in the words of another dialect, and how far its camera then is from the first one's.

Keys become the keys that do the same, and each lasts as long as the other speed needs for the same metres, or for the same
degrees if nothing moves. Where only one word can be said at a time, what was held together is said in turns: the metres and
degrees are the same, what rounding to whole counts leaves over is made up for by the next segment, and standing still, for
which there is no word, is left out. What does not fit (inertia, a coupled turn, two speeds that differ, a pitch limit, axes
that lean with the camera) is not bent into place: it is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..errors import CameraError
from .actions import Segment, actions_to_path, parse_actions
from .dialects import CONTROLS, Dialect, find_dialect
from .path import CameraPath
from .retiming import sampled
from .rotation import angle_between

_ANY = (1, 1)  # a picture size: only the way counts
_SAMPLES = 257  # of both ways, beside the ends of their segments
_SAME_M, _SAME_DEG = 1e-4, 1e-4

Said = list[tuple[str, int]]  # keys and counts that one segment has become


@dataclass(frozen=True)
class Translation:
    """The new string and the largest distance between the two cameras at the same share of each segment."""

    actions: str
    metres: float
    degrees: float
    frames: int  # of the new path
    frames_before: int
    frames_left_out: int = 0  # of the old path, in which nothing moves

    @property
    def told(self) -> str:
        time = "" if self.frames == self.frames_before else f", in {self.frames} frames for {self.frames_before}"
        if self.frames_left_out:
            time += f"; {self.frames_left_out} frames of standing still are left out, for which it has no word"
        if self.metres < _SAME_M and self.degrees < _SAME_DEG:
            return f"the same way{time}"
        return f"at most {self.metres:.2g} m and {self.degrees:.2g} degrees beside the way{time}"


def translated(actions: str, source: str, target: str) -> Translation:
    """`actions` of dialect `source` in dialect `target`. CameraError for unknown dialects, bad strings, and nothing to say."""
    before, after = find_dialect(source), find_dialect(target)
    segments = parse_actions(actions, before)
    said = _SAYINGS[after.spelling](segments, before, after)
    text = ",".join(f"{keys}-{count}" for part in said for keys, count in part)
    if not text:
        metres, degrees = (after.frames_per_count * _speed(after, control) for control in ("forward", "yaw"))
        raise CameraError(
            f"{actions!r:.80} comes to no step of {target}, {metres:g} m or {degrees:g} degrees, and standing still has no "
            "word there; make it longer"
        )
    old, new = (actions_to_path(t, dialect=d, size=_ANY) for t, d in ((actions, source), (text, target)))
    counts = [sum(count for _, count in part) * after.frames_per_count for part in said]
    metres, degrees = _apart(old, new, [segment.frames for segment in segments], counts)
    left_out = sum(s.frames for s, part in zip(segments, said, strict=True) if not part and not _held(s, before))
    return Translation(text, metres, degrees, new.frames, old.frames, left_out)


def _together(segments: Sequence[Segment], before: Dialect, after: Dialect) -> list[Said]:
    """Keys that are held together stay so."""
    words = {role: key for key, role in after.keys.items()}
    said = []
    for segment in segments:
        roles = [before.keys[key] for key in sorted(segment.keys)]
        frames = max(1, round(segment.frames * _longer(roles, before, after)))
        said.append([("".join(sorted(words[role] for role in roles)) or "none", frames)])
    return said


def _one_by_one(segments: Sequence[Segment], before: Dialect, after: Dialect) -> list[Said]:
    """What is held together takes turns, as evenly as whole counts allow."""
    words = {role: key for key, role in after.keys.items()}
    owed = dict.fromkeys(CONTROLS, 0.0)  # counts that are not said yet
    said = []
    for segment in segments:
        counts = {}
        for control, sign in _held(segment, before).items():
            frames = segment.frames * _speed(before, control) / _speed(after, control)
            owed[control] += sign * frames / after.frames_per_count
            whole = round(owed[control])
            owed[control] -= whole
            if whole:
                counts[words[control, 1 if whole > 0 else -1]] = abs(whole)
        said.append(_in_turns(counts))
    return said


_SAYINGS = {"letters": _together, "words": _one_by_one}


def _longer(roles: Iterable[tuple[str, int]], before: Dialect, after: Dialect) -> float:
    """How many frames of the new dialect make one of the old."""
    controls = {control for control, _ in roles}
    if controls & {"forward", "strafe"}:
        return before.translation_speed / after.translation_speed
    return before.rotation_speed_deg / after.rotation_speed_deg if controls else 1.0


def _held(segment: Segment, dialect: Dialect) -> dict[str, int]:
    """Control -> sign of what a segment moves; opposite keys cancel."""
    held = dict.fromkeys(CONTROLS, 0)
    for key in segment.keys:
        control, sign = dialect.keys[key]
        held[control] += sign
    return {control: sign for control, sign in held.items() if sign}


def _speed(dialect: Dialect, control: str) -> float:
    return dialect.translation_speed if control in ("forward", "strafe") else dialect.rotation_speed_deg


def _in_turns(counts: dict[str, int]) -> Said:
    """Words so often as they are counted, spread evenly, with runs put together."""
    places = sorted(((n + 0.5) / count, word) for word, count in counts.items() for n in range(count))
    return [(word, len(list(run))) for word, run in groupby(word for _, word in places)]


def _apart(old: CameraPath, new: CameraPath, frames: list[int], frames_after: list[int]) -> tuple[float, float]:
    """Largest metres and degrees between two ways at the same share of each segment; frames: of the segments of each."""
    ends, ends_after = (np.concatenate([[0], np.cumsum(lengths)]) for lengths in (frames, frames_after))
    at = np.unique(np.concatenate([ends, np.linspace(0, ends[-1], _SAMPLES)]))
    ways = [
        sampled(path, when, "compared").c2w.astype(np.float64)
        for path, when in ((old, at), (new, np.interp(at, ends, ends_after)))
    ]
    metres = np.linalg.norm(ways[0][:, :3, 3] - ways[1][:, :3, 3], axis=1).max()
    degrees = np.degrees(angle_between(ways[0][:, :3, :3], ways[1][:, :3, :3])).max()
    return float(metres), float(degrees)
