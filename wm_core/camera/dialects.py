"""What the words of an action string mean to each program: the rows of DIALECTS are all of the difference.

Read from the sources of NVlabs Sana (both releases), diffusers, SGLang, vLLM-Omni and HY-WorldPlay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ..errors import CameraError

CONTROLS = ("forward", "strafe", "yaw", "pitch")


@dataclass(frozen=True)
class Inertia:
    """Time constants of a velocity that follows its keys late; 0 follows at once. Frames last 1/16 s here."""

    press_s: float
    coast_s: float
    frame_s: float = 1 / 16

    def response(self, target: float) -> float:
        """Share of the gap to `target` that one frame closes."""
        tau_s = self.press_s if target else self.coast_s
        return 1 - math.exp(-self.frame_s / tau_s) if tau_s else 1.0


NO_INERTIA = Inertia(0.0, 0.0)


def _keys(yaw: Sequence[str], strafe: Sequence[str], pitch: Sequence[str] = "ki") -> Mapping[str, tuple[str, int]]:
    """Key -> (control, sign). `yaw` and `strafe` are the key to the left, then that to the right; `pitch` down, then up."""
    pairs = {"forward": "sw", "strafe": strafe, "yaw": yaw, "pitch": pitch}
    return MappingProxyType({pair[n]: (name, (-1, 1)[n]) for name, pair in pairs.items() for n in (0, 1)})


@dataclass(frozen=True)
class Dialect:
    """What an action string means to one program."""

    name: str
    keys: Mapping[str, tuple[str, int]]
    translation_speed: float  # metres per frame
    rotation_speed_deg: float  # degrees per frame
    pitch_limit_deg: float
    at_pitch_limit: Literal["saturate", "reject"]  # stop exactly there, or drop the whole step that would cross it
    inertia: Inertia = NO_INERTIA
    strafe_yaw: float = 0.0  # yaw per held strafe key, as a share of the rotation speed
    flat_guard: float = 0.0  # added to the length of a flattened axis before it is divided by it
    axes: Literal["flat", "own"] = "flat"  # yaw about the upright, moves on the level; or as the camera leans
    spelling: Literal["letters", "words"] = "letters"  # any letters together, or one word a segment
    frames_per_count: int = 1  # frames that "w-1" lasts


_NVLABS_V1 = Dialect("nvlabs-v1", _keys(yaw="jl", strafe="ad"), 0.05, 1.2, 85.0, "reject")
# 0.08 units and 3 degrees a latent of 4 frames. That its units are metres is not stated anywhere.
_HY_WORLDPLAY = Dialect(
    "hy-worldplay",
    _keys(yaw=("left", "right"), strafe="ad", pitch=("down", "up")),
    0.08 / 4,
    3 / 4,
    math.inf,
    "saturate",
    axes="own",
    spelling="words",
    frames_per_count=4,
)
DIALECTS = {
    row.name: row
    for row in (
        Dialect("nvlabs-v2", _keys("ad", "jl"), 0.025, 0.6, 60.0, "saturate", Inertia(0.45, 1.0), flat_guard=1e-6),
        _NVLABS_V1,
        replace(_NVLABS_V1, name="diffusers"),
        # The coupling is known for a/d alone; that it adds to a j/l held at the same time is not verified.
        replace(_NVLABS_V1, name="sglang", translation_speed=0.04, strafe_yaw=0.4),
        replace(_NVLABS_V1, name="vllm-omni", flat_guard=1e-6),
        _HY_WORLDPLAY,
    )
}
DEFAULT_DIALECT = "nvlabs-v2"


def find_dialect(name: str) -> Dialect:
    """The row of that name; CameraError names the known ones."""
    if name not in DIALECTS:
        raise CameraError(f"dialect must be one of {', '.join(DIALECTS)}, got {name!r}")
    return DIALECTS[name]
