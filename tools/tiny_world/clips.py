"""Training clips: a scene, a camera that moves through it without touching anything, light that may change, and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_core.camera import NO_INERTIA, PRESETS, CameraPath, actions_to_path, preset_path
from wm_core.tiny_world import CAMERA_HEIGHT, TIMES, USUAL_FOCAL, Scene, light_between, make_scene, render

from .captions import write_caption

FPS = 16.0
FOCALS = (0.6, 0.9)
CLEARANCE = 0.4  # metres between a camera and a solid
HEIGHTS = (-0.7, 2.5)  # how far a camera may sink and rise, metres
LONG = 65  # frames: of longer clips a share RETURNING goes so far, back, and out again
RETURNING = 0.6
STEADY = 0.75  # share of the clips whose light does not change
TIME_SHARES = {"day": 0.7, "dusk": 0.15, "night": 0.15}
MOVES = (
    "hold",
    "dolly-in",
    "dolly-out",
    "truck-left",
    "truck-right",
    "pedestal-up",
    "pedestal-down",
    "pan-left",
    "pan-right",
    "tilt-up",
    "tilt-down",
    "orbit-left",
    "orbit-right",
    "crane-up",
    "crane-down",
)
COMMANDS = (
    "w",
    "s",
    "a",
    "d",
    "i",
    "j",
    "k",
    "l",
    "wa",
    "wd",
    "wj",
    "wl",
    "sj",
    "sl",
    "aj",
    "al",
    "dj",
    "dl",
    "wi",
    "wk",
)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip before it is rendered; light (f, 3)."""

    scene: Scene
    path: CameraPath
    times: tuple[str, str]
    light: NDArray
    caption: str

    def frames(self) -> NDArray:
        """(f, h, w, 3) uint8."""
        return render(self.scene, self.path.c2w, self.path.intrinsics, self.path.size, light=self.light)


def make_clip(seed: int, frames: int, size: tuple[int, int]) -> Clip:
    """The training clip of a seed; the same for the same seed, frames and size."""
    rng = np.random.default_rng((seed, 1))
    scene = make_scene(seed)
    focal = (USUAL_FOCAL if rng.random() < 0.7 else rng.uniform(*FOCALS)) * size[1]
    intrinsics = (focal, focal, size[1] / 2, size[0] / 2)
    if frames > LONG and rng.random() < RETURNING:
        path = there_and_back(_clear_path(scene, rng, LONG, size, intrinsics), frames)
    else:
        path = _clear_path(scene, rng, frames, size, intrinsics)
    start = str(rng.choice(list(TIME_SHARES), p=list(TIME_SHARES.values())))
    end = start if rng.random() < STEADY else str(rng.choice(list(TIMES)))
    caption = write_caption(rng, scene.words | {"time": end}, told=("time",) if start != end else ())
    return Clip(scene, path, (start, end), light_between(start, end, frames), caption)


def is_clear(scene: Scene, path: CameraPath) -> bool:
    """True if the camera stays above the ground and keeps away from every solid."""
    x, y, z = path.c2w[:, :3, 3].T
    if y.min() < -HEIGHTS[1] or y.max() > -HEIGHTS[0]:
        return False
    for solid in scene.solids:
        near = np.hypot(x - solid.x, z - solid.z) < solid.reach + CLEARANCE
        if (near & (CAMERA_HEIGHT - y < solid.height + CLEARANCE)).any():
            return False
    return True


def _clear_path(scene: Scene, rng: np.random.Generator, frames: int, size: tuple[int, int], intrinsics) -> CameraPath:
    while True:
        kind = rng.random()
        maker = next(make for share, make in _MAKERS if kind < share)
        path = maker(rng, frames, size, intrinsics)
        if is_clear(scene, path):
            return path


def _keys_path(rng: np.random.Generator, frames: int, size: tuple[int, int], intrinsics) -> CameraPath:
    """Keys held for a quarter of a second to two and a half, at a speed of the clip."""
    parts, left = [], frames - 1
    while left > 0:
        length = min(left, int(rng.integers(4, 41)))
        keys = "none" if rng.random() < 0.08 else str(rng.choice(COMMANDS))
        parts.append(f"{keys}-{length}")
        left -= length
    return _acted(rng, ",".join(parts) or "none-1", size, intrinsics)


def _command_path(rng: np.random.Generator, frames: int, size: tuple[int, int], intrinsics) -> CameraPath:
    """One of the eight keys, held all the time at the dialects' own speeds."""
    pace = float(rng.choice((0.5, 1.0, 1.0)))
    speed = {"translation_speed": 0.05 * pace, "rotation_speed_deg": 1.2 * pace, "pitch_limit_deg": 50.0}
    text = f"{rng.choice(list('wsadijkl'))}-{max(1, frames - 1)}"
    return actions_to_path(text, dialect="nvlabs-v1", size=size, intrinsics=intrinsics, fps=FPS, **speed)


def _acted(rng: np.random.Generator, text: str, size: tuple[int, int], intrinsics) -> CameraPath:
    glides = rng.random() < 0.3  # the inertia of nvlabs-v2
    options = {
        "translation_speed": float(rng.uniform(0.015, 0.065)),
        "rotation_speed_deg": float(rng.uniform(0.4, 1.5)),
        "pitch_limit_deg": 40.0,
        "inertia": None if glides else NO_INERTIA,
    }
    return actions_to_path(text, dialect="nvlabs-v2", size=size, intrinsics=intrinsics, fps=FPS, **options)


def _preset_path(rng: np.random.Generator, frames: int, size: tuple[int, int], intrinsics) -> CameraPath:
    preset = PRESETS[str(rng.choice(MOVES))]
    options = {
        "amount": preset.amount * float(rng.uniform(0.3, 1.2)) * min(1.0, frames / 33),
        "distance": float(rng.uniform(2.5, 5.0)),
        "easing": str(rng.choice(("linear", "smooth"))),
    }
    return preset_path(preset.name, frames=frames, size=size, intrinsics=intrinsics, fps=FPS, **options)


_MAKERS: tuple[tuple[float, Callable[..., CameraPath]], ...] = (
    (0.5, _keys_path),
    (0.75, _command_path),
    (1.0, _preset_path),
)


def there_and_back(path: CameraPath, frames: int) -> CameraPath:
    """The path, then itself backward, again and again, for a video that is longer than the path."""
    period = 2 * (path.frames - 1)
    at = np.arange(frames) % period
    at = np.minimum(at, period - at)
    return path.picked(at, "there and back")
