"""Action strings such as "w-40,dw-20": held keys, how long, and the cameras that a dialect makes of them.

The same string means different cameras in different programs, see DIALECTS. With flat axes a frame moves
R <- yaw(dy) R pitch(dp), then the centre along the new camera's z and x axes, laid flat. As R starts at the identity,
R is yaw(sum dy) pitch(sum dp) and the roll-out needs no matrix product per frame. With own axes a frame moves
R <- R yaw(dy) pitch(dp), then the centre along the new camera's z and x axes as they lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CameraError
from .dialects import CONTROLS, DEFAULT_DIALECT, DIALECTS, Dialect, Inertia, find_dialect
from .intrinsics import choose_intrinsics
from .path import CameraPath, Provenance
from .rotation import pitch_rotation, rigid, yaw_rotation

MAX_FRAMES = 100_000


@dataclass(frozen=True)
class Segment:
    """One `<keys>-<count>` of an action string in frames; start and text say where it stood."""

    keys: frozenset[str]
    frames: int
    start: int = 0
    text: str = ""


def parse_actions(text: str, dialect: Dialect = DIALECTS[DEFAULT_DIALECT]) -> tuple[Segment, ...]:
    """Segments of an action string.

    `<keys>-<count>` separated by commas (ASCII or full-width). A dialect of letters has letters of "wasdijkl" in any
    order, or "none", or nothing at all, and counts frames; all of them share this grammar. One of words has a single
    word, and counts steps of `frames_per_count` frames. Case and white space do not count. CameraError names segment
    and character (from 1).
    """
    if not text.strip():
        raise CameraError("the action string is empty, wanted <keys>-<frames>, ...; for example w-40,dw-20")
    segments: list[Segment] = []
    start = total = 0
    for number, part in enumerate(text.replace("\uff0c", ",").split(","), start=1):
        segments.append(_parse_segment(number, part, start, dialect))
        total += segments[-1].frames
        if total > MAX_FRAMES:
            raise _segment_error(number, part, start, f"takes the path over {MAX_FRAMES} frames; split it into takes")
        start += len(part) + 1
    return tuple(segments)


def integrate(segments: Sequence[Segment], dialect: Dialect) -> NDArray:
    """Roll held keys out to camera-to-world matrices.

    segments: of parse_actions with the same dialect. Result: (n + 1, 4, 4) float64 for n frames of segments, OpenCV,
    metres, the first the identity. A step of a dialect that counts several frames is spread over them evenly, so every
    `frames_per_count`-th matrix is that program's own, to rounding.
    """
    unknown = {key for segment in segments for key in segment.keys} - set(dialect.keys)
    if unknown:
        raise CameraError(
            f"{dialect.name} has no keys {', '.join(sorted(unknown))}; parse the action string with that dialect"
        )
    steps = np.array([(0.0,) * len(CONTROLS), *_velocities(segments, dialect)])
    return _ROLL_OUTS[dialect.axes](steps, dialect)


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

    Speeds are metres and degrees per frame; None takes the dialect's own. NO_INERTIA switches easing off. Frames stay
    frames at any fps: hy-worldplay's are made for 24, so at 16 the same cameras take half as long again.
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
    c2w = integrate(parse_actions(text, row), row)
    rows, intrinsics_source = choose_intrinsics(size, len(c2w), intrinsics=intrinsics, fov_deg=fov_deg)
    provenance = Provenance(
        dialect=dialect,
        actions=text,
        source="actions",
        conversions=tuple(f"{name} {_plain(value)}" for name, value in changed.items()),
        intrinsics_source=intrinsics_source,
    )
    return CameraPath(c2w, rows, size, fps, provenance)


def _parse_segment(number: int, part: str, start: int, dialect: Dialect) -> Segment:
    cleaned = "".join(part.split()).lower()
    per_count = dialect.frames_per_count
    counted = "frames" if per_count == 1 else f"steps of {per_count} frames"
    if not cleaned:
        raise _segment_error(number, part, start, "is empty; remove the extra comma")
    keys, dash, count = cleaned.rpartition("-")
    if not dash:
        raise _segment_error(number, part, start, "has no dash; wanted <keys>-<frames>, for example w-40")
    if not count.isdecimal() or not count.strip("0"):
        raise _segment_error(number, part, start, f"lasts {count!r}; wanted a whole number of {counted} of at least 1")
    held = _SPELLINGS[dialect.spelling](keys, number, part, start, dialect)
    if len(count) > 9:
        raise _segment_error(number, part, start, f"takes the path over {MAX_FRAMES} frames; split it into takes")
    return Segment(held, int(count) * per_count, start, part)


def _letters(keys: str, number: int, part: str, start: int, dialect: Dialect) -> frozenset[str]:
    held = frozenset() if keys == "none" else frozenset(keys)
    unknown = "".join(sorted(held - set(dialect.keys)))
    if unknown:
        owners = [row.name for row in DIALECTS.values() if row.spelling == "words" and keys in row.keys]
        whose = f"; {keys!r} is a word of {' and '.join(owners)}" if owners else ""
        at = start + part.lower().index(unknown[0])
        problem = f"has unknown keys {unknown!r}; wanted letters of wasdijkl, or none{whose}"
        raise _segment_error(number, part, at, problem)
    return held


def _word(keys: str, number: int, part: str, start: int, dialect: Dialect) -> frozenset[str]:
    if keys not in dialect.keys:
        at = start + len(part) - len(part.lstrip())
        problem = f"has the unknown word {keys!r}; wanted one of {', '.join(dialect.keys)}, the others in segments of their own"
        raise _segment_error(number, part, at, problem)
    return frozenset([keys])


_SPELLINGS = {"letters": _letters, "words": _word}


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


def _roll_out_flat(steps: NDArray, dialect: Dialect) -> NDArray:
    """(n, 4, 4) from forward, strafe, yaw, pitch (n, 4): yaw about the upright, moves over level ground."""
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


def _roll_out_own(steps: NDArray, dialect: Dialect) -> NDArray:
    """The same about and along the camera's own axes; nothing limits the pitch."""
    forward, strafe, yaw, pitch = steps.T
    rotation = np.array(list(accumulate(yaw_rotation(yaw) @ pitch_rotation(pitch), np.matmul)))
    moves = np.stack([strafe, np.zeros_like(strafe), forward], axis=1)
    return rigid(rotation, np.cumsum(np.einsum("fij,fj->fi", rotation, moves), axis=0))


_ROLL_OUTS = {"flat": _roll_out_flat, "own": _roll_out_own}


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
    if dialect.axes == "own":
        if dialect.pitch_limit_deg != math.inf:
            raise CameraError(
                f"{dialect.name} turns about the camera's own axes and has no pitch limit, got pitch_limit_deg "
                f"{dialect.pitch_limit_deg}; leave it out"
            )
    elif not 0 <= dialect.pitch_limit_deg < 90:
        raise CameraError(
            f"pitch_limit_deg must be at least 0 and below 90, got {dialect.pitch_limit_deg}; at 90 forward is undefined"
        )
    inertia = dialect.inertia
    if not (0 <= inertia.press_s < math.inf and 0 <= inertia.coast_s < math.inf and inertia.frame_s > 0):
        raise CameraError(f"inertia must have time constants of at least 0 s, got {inertia}")


def _plain(value: float | Inertia) -> str:
    return f"{value.press_s:g} s press, {value.coast_s:g} s coast" if isinstance(value, Inertia) else f"{value:g}"
