"""An action string in the words of another dialect, and how far its camera then is from the first one's.

Keys become the keys that do the same, and each lasts as long as the other speed needs for the same metres, or for the same
degrees if nothing moves. What does not fit (inertia, a coupled turn, two speeds that differ, a pitch limit) is not bent into
place: it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .actions import Dialect, actions_to_path, find_dialect, parse_actions
from .retiming import with_frames
from .rotation import angle_between

_ANY = (1, 1)  # a picture size: only the way counts
_SAMPLES = 257  # of both ways, at the same shares of their times


@dataclass(frozen=True)
class Translation:
    """The new string and the largest distance between the two cameras at the same share of their ways."""

    actions: str
    metres: float
    degrees: float
    frames: int  # of the new path
    frames_before: int

    @property
    def told(self) -> str:
        time = "" if self.frames == self.frames_before else f", in {self.frames} frames for {self.frames_before}"
        if self.metres < 1e-6 and self.degrees < 1e-4:
            return f"the same way{time}"
        return f"at most {self.metres:.2g} m and {self.degrees:.2g} degrees beside the way{time}"


def translated(actions: str, source: str, target: str) -> Translation:
    """`actions` of dialect `source` in dialect `target`. CameraError for unknown dialects and bad strings."""
    before, after = find_dialect(source), find_dialect(target)
    words = {role: key for key, role in after.keys.items()}
    parts = []
    for segment in parse_actions(actions):
        roles = [before.keys[key] for key in sorted(segment.keys)]
        frames = max(1, round(segment.frames * _longer(roles, before, after)))
        parts.append(f"{''.join(sorted(words[role] for role in roles)) or 'none'}-{frames}")
    text = ",".join(parts)
    old, new = (actions_to_path(t, dialect=d, size=_ANY) for t, d in ((actions, source), (text, target)))
    ways = [with_frames(path, _SAMPLES).c2w.astype(np.float64) for path in (old, new)]
    metres = np.linalg.norm(ways[0][:, :3, 3] - ways[1][:, :3, 3], axis=1).max()
    degrees = np.degrees(angle_between(ways[0][:, :3, :3], ways[1][:, :3, :3])).max()
    return Translation(text, float(metres), float(degrees), new.frames, old.frames)


def _longer(roles: list[tuple[str, int]], before: Dialect, after: Dialect) -> float:
    """How many frames of the new dialect make one of the old."""
    controls = {control for control, _ in roles}
    if controls & {"forward", "strafe"}:
        return before.translation_speed / after.translation_speed
    return before.rotation_speed_deg / after.rotation_speed_deg if controls else 1.0
