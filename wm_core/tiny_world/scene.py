"""Scenes of the tiny world: a patterned ground, a sky, and shaded boxes, balls and pillars, all in metres.

A scene is drawn from a seed. OpenCV axes (x right, y down, z forward); the first camera stands at the origin, looks
along z and is CAMERA_HEIGHT above the ground. Own data, nothing taken from anywhere: the models of `tools/tiny_world`
are trained on it, and since the scene is known, so is what a camera on any path would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CAMERA_HEIGHT = 1.2  # metres
HELD_OUT = 900_000  # seeds from here on are never trained on
USUAL_FOCAL = 0.7  # fx = fy as a share of the width, in most of the training clips
SOLIDS = ("box", "ball", "pillar")
PATTERNS = ("checks", "stripes")
IN_VIEW_BEARING = math.radians(26)  # a solid whose axis is within it, and within IN_VIEW_METRES, is well in view
IN_VIEW_METRES = 6.0
WANTED_IN_VIEW = 2
DARK = 0.52  # of the pattern's brighter colour is the darker one

GROUNDS = {  # word -> the brighter of the two colours of the pattern, sRGB in [0, 1]
    "red": (0.86, 0.33, 0.27),
    "orange": (0.93, 0.60, 0.25),
    "yellow": (0.93, 0.84, 0.38),
    "green": (0.38, 0.72, 0.36),
    "blue": (0.33, 0.52, 0.86),
    "purple": (0.62, 0.40, 0.78),
    "white": (0.93, 0.92, 0.90),
    "gray": (0.60, 0.61, 0.63),
}
SKIES = {  # word -> the colour overhead; towards the horizon it pales
    "blue": (0.30, 0.55, 0.95),
    "orange": (0.96, 0.62, 0.34),
    "pink": (0.94, 0.58, 0.72),
    "green": (0.42, 0.80, 0.66),
    "gray": (0.58, 0.60, 0.66),
}
TIMES = {  # word -> by what the light of a whole picture is multiplied
    "day": (1.0, 1.0, 1.0),
    "dusk": (0.86, 0.58, 0.48),
    "night": (0.30, 0.36, 0.56),
}
_PAINTS = (
    (0.87, 0.18, 0.15),
    (0.14, 0.45, 0.85),
    (0.96, 0.77, 0.12),
    (0.18, 0.62, 0.28),
    (0.58, 0.24, 0.70),
    (0.95, 0.48, 0.14),
    (0.94, 0.94, 0.94),
    (0.18, 0.18, 0.22),
    (0.10, 0.68, 0.70),
    (0.92, 0.45, 0.62),
)


@dataclass(frozen=True)
class Solid:
    """A thing that stands on the ground: its axis (x, z), half sizes, height, turn about the axis (radians), sRGB colour.

    A ball is as high as it is wide, a pillar round; both use the first half size only.
    """

    kind: str
    x: float
    z: float
    half: tuple[float, float]
    height: float
    turn: float
    colour: tuple[float, float, float]

    @property
    def reach(self) -> float:
        """Metres from the axis to the farthest point of its plan."""
        return math.hypot(*self.half) if self.kind == "box" else self.half[0]


@dataclass(frozen=True)
class Ground:
    """Two colours in a pattern of cells `cell` metres wide, shifted (in cells) and turned (radians)."""

    word: str
    dark: tuple[float, float, float]
    bright: tuple[float, float, float]
    pattern: str
    cell: float
    shift: tuple[float, float]
    turn: float


@dataclass(frozen=True)
class Scene:
    seed: int
    ground: Ground
    sky: str
    solids: tuple[Solid, ...]
    light: float  # bearing the light comes from, radians

    @property
    def zenith(self) -> NDArray:
        return np.array(SKIES[self.sky])

    @property
    def horizon(self) -> NDArray:
        return self.zenith * 0.35 + 0.6

    @property
    def words(self) -> dict[str, str]:
        """What a prompt may say of it."""
        return {"ground": self.ground.word, "sky": self.sky}

    def prompt(self, time: str) -> str:
        """All of it in the training captions' plainest form, with the time of day that it is or becomes."""
        return f"{self.ground.word} ground, {self.sky} sky, {time}"

    def in_view(self) -> int:
        """Solids well in view of the first camera."""
        return sum(
            math.hypot(s.x, s.z) < IN_VIEW_METRES and abs(math.atan2(s.x, s.z)) < IN_VIEW_BEARING for s in self.solids
        )


def usual_intrinsics(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of `size` (h, w): the view of most training clips."""
    height, width = size
    focal = USUAL_FOCAL * width
    return focal, focal, width / 2, height / 2


def make_scene(seed: int) -> Scene:
    """The scene of a seed; at least WANTED_IN_VIEW solids are well in view. The order of draws is that of training."""
    rng = np.random.default_rng(seed)
    while True:
        scene = _draw(seed, rng)
        if scene.in_view() >= WANTED_IN_VIEW:
            return scene


def light_between(start: str, end: str, frames: int, *, change: tuple[int, int] = (8, 40)) -> NDArray:
    """Light (frames, 3) that is `start`'s up to frame change[0] and `end`'s from change[1] on, smooth between."""
    progress = np.clip((np.arange(frames) - change[0]) / (change[1] - change[0]), 0, 1)
    share = (progress**2 * (3 - 2 * progress))[:, None]
    return (1 - share) * np.array(TIMES[start]) + share * np.array(TIMES[end])


def _draw(seed: int, rng: np.random.Generator) -> Scene:
    ground = _draw_ground(rng)
    sky = str(rng.choice(list(SKIES)))
    solids: list[Solid] = []
    count = int(rng.integers(4, 8))
    while len(solids) < count:
        solid = _draw_solid(rng)
        distance = math.hypot(solid.x, solid.z)
        clear = all(math.hypot(solid.x - s.x, solid.z - s.z) > solid.reach + s.reach + 0.2 for s in solids)
        if distance - solid.reach > 1.7 and clear:
            solids.append(solid)
    return Scene(seed, ground, sky, tuple(solids), float(rng.uniform(0, 2 * math.pi)))


def _draw_ground(rng: np.random.Generator) -> Ground:
    word = str(rng.choice(list(GROUNDS)))
    bright = np.array(GROUNDS[word])
    pattern = PATTERNS[int(rng.random() < 0.3)]
    shift = rng.uniform(0, 2, 2)
    return Ground(
        word,
        tuple((bright * DARK).tolist()),
        tuple(bright.tolist()),
        pattern,
        float(rng.uniform(0.8, 1.4)),
        (float(shift[0]), float(shift[1])),
        float(rng.uniform(0, math.pi)),
    )


def _draw_solid(rng: np.random.Generator) -> Solid:
    """Five of six before the camera, the others anywhere around it."""
    ahead = rng.random() < 5 / 6
    bearing = rng.uniform(-0.72, 0.72) if ahead else rng.uniform(-math.pi, math.pi)
    distance = rng.uniform(2.2, 8.5)
    kind = SOLIDS[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    half = rng.uniform(0.28, 0.8, 2)
    height = float(rng.uniform(0.5, 2.6))
    if kind == "ball":
        height = 2 * float(half[0])
    elif kind == "pillar":
        half = half * 0.7
    return Solid(
        kind,
        float(distance * math.sin(bearing)),
        float(distance * math.cos(bearing)),
        (float(half[0]), float(half[1])),
        height,
        float(rng.uniform(0, math.pi)),
        _PAINTS[int(rng.integers(len(_PAINTS)))],
    )
