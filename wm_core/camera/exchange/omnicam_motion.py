"""OmniCam's cameras in numbers: what lies between two keys, and how a camera that looks at a target stands.

Right-handed, y up; a camera looks along its own -z. Angles in degrees, as its files have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..rotation import rigid

Easing = Callable[[NDArray], NDArray]

_STEEP = 1e-6  # sine of the angle to straight up or down within which another direction counts as up
_NOWHERE = 1e-9  # scene units within which a target gives no direction
_OVERSHOOT = 1.70158 * 1.525  # of "back"


def _mirrored(begins: Easing) -> Easing:
    """An easing whose first half is `begins` (0 to 1 in 0 to 1), and whose second half is the same backwards."""
    return lambda t: np.where(t < 0.5, begins(2 * t) / 2, 1 - begins(2 - 2 * t) / 2)


# Share of time to share of the way, by the names of its files. "hold" stays where it is until the next key.
EASINGS: dict[str, Easing] = {
    "linear": lambda t: t,
    "hold": lambda t: 0 * t,
    "ease_in": lambda t: t**2,
    "ease_out": lambda t: 1 - (1 - t) ** 2,
    "smooth": lambda t: t**3 * (10 + t * (6 * t - 15)),
    "bezier": lambda t: (1 - t) * t * (0.15 * (1 - t) + 2.85 * t) + t**3,
    **dict.fromkeys(("ease", "ease_in_out", "smoothstep"), lambda t: t**2 * (3 - 2 * t)),
    **dict.fromkeys(("sine", "ease_sine"), lambda t: (1 - np.cos(np.pi * t)) / 2),
    **dict.fromkeys(("cubic", "ease_cubic"), _mirrored(lambda u: u**3)),
    **dict.fromkeys(("quintic", "ease_quintic"), _mirrored(lambda u: u**5)),
    **dict.fromkeys(("expo", "ease_expo"), _mirrored(lambda u: np.where(u > 0, 2.0 ** (10 * (u - 1)), 0))),
    **dict.fromkeys(("back", "ease_back"), _mirrored(lambda u: u**2 * ((_OVERSHOOT + 1) * u - _OVERSHOOT))),
}


@dataclass(frozen=True, eq=False)
class Cameras:
    """position, target (n, 3) scene units; fov (n,) degrees from top to bottom; zoom (n,) a focal factor; roll (n,) degrees."""

    position: NDArray
    target: NDArray
    fov: NDArray
    zoom: NDArray
    roll: NDArray

    def focal(self, height: int) -> NDArray:
        """Focal lengths (n,) in pixels of a picture of that height."""
        return height / 2 * self.zoom / np.tan(np.radians(self.fov) / 2)


def between_keys(keys: Cameras, frames: NDArray, names: list[str], at: NDArray) -> Cameras:
    """The cameras at frames `at` (f,), between keys at `frames` (k,), which rise. Outside of the keys it holds.

    names (k): how each key goes on to the next, of EASINGS; any other is linear. Roll goes the shorter way.
    """
    first = np.clip(np.searchsorted(frames, at, side="right") - 1, 0, len(frames) - 1)
    last = np.minimum(first + 1, len(frames) - 1)
    share = np.clip((at - frames[first]) / np.maximum(frames[last] - frames[first], 1), 0, 1)
    kinds = np.array(names)[first]
    for name in set(names) & set(EASINGS):
        share[kinds == name] = EASINGS[name](share[kinds == name])

    def moved(values: NDArray) -> NDArray:
        return values[first] + (values[last] - values[first]) * (share[:, None] if values.ndim > 1 else share)

    turn = (keys.roll[last] - keys.roll[first] + 180) % 360 - 180
    return Cameras(
        moved(keys.position),
        moved(keys.target),
        moved(keys.fov),
        moved(keys.zoom),
        keys.roll[first] + turn * share,
    )


def standing(cameras: Cameras) -> NDArray:
    """Camera-to-world matrices (n, 4, 4) float64 in OpenGL axes."""
    right, up, ahead = _level(cameras.position, cameras.target)
    cos, sin = np.cos(np.radians(cameras.roll))[:, None], np.sin(np.radians(cameras.roll))[:, None]
    return rigid(np.stack([right * cos + up * sin, up * cos - right * sin, -ahead], -1), cameras.position)


def roll_of(rotation: NDArray, position: NDArray, target: NDArray) -> NDArray:
    """The roll (n,) degrees in [-180, 180] with which cameras that look at their targets have these rotations (n, 3, 3)."""
    right, up, _ = _level(position, target)
    across = rotation[:, :, 0]
    return np.degrees(np.arctan2((across * up).sum(1), (across * right).sum(1)))


def _level(position: NDArray, target: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Right, up and ahead (n, 3) of cameras without roll. Straight up and down, the top of the picture is -z and z."""
    ahead = target - position
    length = np.linalg.norm(ahead, axis=1, keepdims=True)
    if (length < _NOWHERE).any():
        raise CameraError(f"the camera stands on its target at frame {int(length[:, 0].argmin())}; move the target")
    ahead = ahead / length
    right = np.cross(ahead, (0.0, 1.0, 0.0))
    steep = np.linalg.norm(right, axis=1) < _STEEP
    up = np.zeros_like(ahead)
    up[:, 2] = np.where(ahead[:, 1] > 0, -1.0, 1.0)
    right[steep] = np.cross(ahead[steep], up[steep])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return right, np.cross(right, ahead), ahead
