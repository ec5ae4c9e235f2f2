"""Action strings such as "w-40,dw-20": held keys, how long, and what each dialect makes of them.

The same string means different cameras in different programs; the rows of DIALECTS are all of the difference.
A frame moves R <- yaw(dy) R pitch(dp), then the centre along the new camera's z and x axes, laid flat. As R starts
at the identity, R is yaw(sum dy) pitch(sum dp) and the roll-out needs no matrix product per frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError
from .intrinsics import choose_intrinsics
from .path import CameraPath, Provenance
from .rotation import pitch_rotation, rigid, yaw_rotation

MAX_FRAMES = 100_000
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


def _keys(yaw: str, strafe: str) -> Mapping[str, tuple[str, int]]:
    """Key -> (control, sign). `yaw` and `strafe` are the key to the left, then the key to the right."""
    pairs = {"forward": "sw", "strafe": strafe, "yaw": yaw, "pitch": "ki"}
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


_NVLABS_V1 = Dialect("nvlabs-v1", _keys(yaw="jl", strafe="ad"), 0.05, 1.2, 85.0, "reject")
DIALECTS = {
    row.name: row
    for row in (
        Dialect("nvlabs-v2", _keys("ad", "jl"), 0.025, 0.6, 60.0, "saturate", Inertia(0.45, 1.0), flat_guard=1e-6),
        _NVLABS_V1,
        replace(_NVLABS_V1, name="diffusers"),
        # The coupling is known for a/d alone; that it adds to a j/l held at the same time is not verified.
        replace(_NVLABS_V1, name="sglang", translation_speed=0.04, strafe_yaw=0.4),
    )
}
DEFAULT_DIALECT = "nvlabs-v2"


@dataclass(frozen=True)
class Segment:
    """One `<keys>-<frames>` of an action string; start and text say where it stood."""

    keys: frozenset[str]
    frames: int
    start: int = 0
    text: str = ""


def find_dialect(name: str) -> Dialect:
    """The row of that name; CameraError names the known ones."""
    if name not in DIALECTS:
        raise CameraError(f"dialect must be one of {', '.join(DIALECTS)}, got {name!r}")
    return DIALECTS[name]


def parse_actions(text: str) -> tuple[Segment, ...]:
    """Segments of an action string; all dialects share this grammar.

    `<keys>-<frames>` separated by commas (ASCII or full-width). Keys are letters of "wasdijkl" in any case and order,
    or "none", or nothing at all. White space does not count. CameraError names segment and character (from 1).
    """
    if not text.strip():
        raise CameraError("the action string is empty, wanted <keys>-<frames>, ...; for example w-40,dw-20")
    segments: list[Segment] = []
    start = total = 0
    for number, part in enumerate(text.replace("\uff0c", ",").split(","), start=1):
        segments.append(_parse_segment(number, part, start))
        total += segments[-1].frames
        if total > MAX_FRAMES:
            raise _segment_error(number, part, start, f"takes the path over {MAX_FRAMES} frames; split it into takes")
        start += len(part) + 1
    return tuple(segments)


def integrate(segments: Sequence[Segment], dialect: Dialect) -> NDArray:
    """Roll held keys out to camera-to-world matrices.

    Result: (n + 1, 4, 4) float64 for n frames of segments, OpenCV, metres, the first the identity.
    """
    steps = np.array([(0.0,) * 4, *_velocities(segments, dialect)])
    forward, strafe = steps[:, 0], steps[:, 1]
    yaw = np.cumsum(steps[:, 2])
    pitch = _limited_pitch(steps[:, 3], dialect)
    # The z and x axes of yaw @ pitch have the flat lengths cos(pitch) and 1.
    forward = forward * np.cos(pitch) / (np.cos(pitch) + dialect.flat_guard)
    strafe = strafe / (1 + dialect.flat_guard)
    x = forward * np.sin(yaw) + strafe * np.cos(yaw)
    z = forward * np.cos(yaw) - strafe * np.sin(yaw)
    centre = np.cumsum(np.stack([x, np.zeros_like(x), z], axis=1), axis=0)
    return rigid(yaw_rotation(yaw) @ pitch_rotation(pitch), centre)


def actions_to_path(
    text: str,
    *,
    dialect: str = DEFAULT_DIALECT,
    size: tuple[int, int],
    fov_deg: float | None = None,
    intrinsics: ArrayLike | None = None,
    fps: float = 16.0,
    translation_speed: float | None = None,
    rotation_speed_deg: float | None = None,
    pitch_limit_deg: float | None = None,
    inertia: Inertia | None = None,
) -> CameraPath:
    """The camera path of an action string: one frame more than the string has, starting at the identity.

    Speeds are metres and degrees per frame; None takes the dialect's own. NO_INERTIA switches easing off.
    size: (h, w) pixels; fov_deg (horizontal) and intrinsics as in choose_intrinsics.
    """
    given = {
        "translation_speed": translation_speed,
        "rotation_speed_deg": rotation_speed_deg,
        "pitch_limit_deg": pitch_limit_deg,
        "inertia": inertia,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    row = replace(find_dialect(dialect), **changed)
    _check_speeds(row)
    c2w = integrate(parse_actions(text), row)
    rows, intrinsics_source = choose_intrinsics(size, len(c2w), intrinsics=intrinsics, fov_deg=fov_deg)
    provenance = Provenance(
        dialect=dialect,
        actions=text,
        source="actions",
        conversions=tuple(f"{name} {_plain(value)}" for name, value in changed.items()),
        intrinsics_source=intrinsics_source,
    )
    return CameraPath(c2w, rows, size, fps, provenance)


def _parse_segment(number: int, part: str, start: int) -> Segment:
    cleaned = "".join(part.split()).lower()
    if not cleaned:
        raise _segment_error(number, part, start, "is empty; remove the extra comma or write none-<frames>")
    keys, dash, frames = cleaned.rpartition("-")
    if not dash:
        raise _segment_error(number, part, start, "has no dash; wanted <keys>-<frames>, for example w-40")
    if not frames.isdecimal() or not frames.strip("0"):
        raise _segment_error(number, part, start, f"lasts {frames!r}; wanted a whole number of frames of at least 1")
    if keys == "none":
        keys = ""
    unknown = "".join(sorted(set(keys) - set(DIALECTS[DEFAULT_DIALECT].keys)))
    if unknown:
        at = start + part.lower().index(unknown[0])
        raise _segment_error(number, part, at, f"has unknown keys {unknown!r}; wanted letters of wasdijkl, or none")
    if len(frames) > 9:
        raise _segment_error(number, part, start, f"takes the path over {MAX_FRAMES} frames; split it into takes")
    return Segment(frozenset(keys), int(frames), start, part)


def _segment_error(number: int, part: str, at: int, problem: str) -> CameraError:
    return CameraError(f"segment {number} ({part.strip()!r}, character {at + 1} of the action string) {problem}")


def _velocities(segments: Sequence[Segment], dialect: Dialect) -> Iterator[tuple[float, ...]]:
    """Forward, strafe (metres), yaw, pitch (radians) of each frame, before the pitch limit."""
    velocity = (0.0,) * len(CONTROLS)
    held: frozenset[str] = frozenset()
    for segment in segments:
        target = _target(segment.keys, dialect)
        response = tuple(dialect.inertia.response(wanted) for wanted in target)
        newly_pressed = segment.keys - held
        held = segment.keys
        for frame in range(segment.frames):
            if newly_pressed and frame == 0:
                velocity = target  # a new key jumps the whole velocity, also controls that were coasting
            else:
                velocity = tuple(v + (t - v) * r for v, t, r in zip(velocity, target, response, strict=True))
            yield velocity


def _target(keys: frozenset[str], dialect: Dialect) -> tuple[float, ...]:
    """Velocity that the held keys ask for; opposite keys cancel."""
    held = dict.fromkeys(CONTROLS, 0)
    for key in keys:
        control, sign = dialect.keys[key]
        held[control] += sign
    turn = math.radians(dialect.rotation_speed_deg)
    yaw = held["yaw"] + dialect.strafe_yaw * held["strafe"]
    speed = dialect.translation_speed
    return held["forward"] * speed, held["strafe"] * speed, yaw * turn, held["pitch"] * turn


def _limited_pitch(steps: NDArray, dialect: Dialect) -> NDArray:
    """Running pitch (f,) in radians, kept inside the limit the dialect's way."""
    limit = math.radians(dialect.pitch_limit_deg)
    pitch, result = 0.0, np.empty(len(steps))
    for frame, step in enumerate(steps):
        wanted = pitch + step
        if abs(wanted) <= limit:
            pitch = wanted
        elif dialect.at_pitch_limit == "saturate":
            pitch = math.copysign(limit, wanted)
        result[frame] = pitch
    return result


def _check_speeds(dialect: Dialect) -> None:
    for name in ("translation_speed", "rotation_speed_deg"):
        value = getattr(dialect, name)
        if not (math.isfinite(value) and value >= 0):
            raise CameraError(f"{name} must be a number of at least 0, got {value}; reverse by changing the keys")
    if not 0 <= dialect.pitch_limit_deg < 90:
        raise CameraError(
            f"pitch_limit_deg must be at least 0 and below 90, got {dialect.pitch_limit_deg}; at 90 forward is undefined"
        )
    inertia = dialect.inertia
    if not (0 <= inertia.press_s < math.inf and 0 <= inertia.coast_s < math.inf and inertia.frame_s > 0):
        raise CameraError(f"inertia must have time constants of at least 0 s, got {inertia}")


def _plain(value: float | Inertia) -> str:
    return f"{value.press_s:g} s press, {value.coast_s:g} s coast" if isinstance(value, Inertia) else f"{value:g}"
