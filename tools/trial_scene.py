"""The procedural scenes that the trial world was trained on: checkered ground, sky, shaded boxes, all metric.

A scene is drawn from a seed exactly as in training, so a start picture lies inside the model's world and the truth of
every camera move is known. OpenCV axes; the first camera is the origin, 1.2 m above the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = (64, 96)  # pixels (h, w) that the model was trained at
FOCAL = 0.7  # fx = fy as a share of the width
CAMERA_HEIGHT = 1.2
FOG = 14.0  # metres until a surface has lost 63 % of its colour to the horizon
HELD_OUT = 900_000  # seeds from here on were never trained on

_PALETTE = np.array(
    [
        [0.85, 0.2, 0.15],
        [0.15, 0.55, 0.85],
        [0.95, 0.75, 0.1],
        [0.2, 0.65, 0.3],
        [0.6, 0.25, 0.7],
        [0.95, 0.5, 0.15],
        [0.9, 0.9, 0.9],
        [0.25, 0.25, 0.3],
        [0.1, 0.7, 0.7],
        [0.9, 0.45, 0.6],
    ]
)
_SKIES = np.array([[0.45, 0.65, 0.95], [0.95, 0.7, 0.5], [0.6, 0.6, 0.75], [0.35, 0.75, 0.85]])


@dataclass(frozen=True, eq=False)
class Box:
    """Centre on the ground (x, z), half sizes, height, turn about the vertical (radians), colour."""

    x: float
    z: float
    half: tuple[float, float]
    height: float
    turn: float
    colour: NDArray


@dataclass(frozen=True, eq=False)
class Scene:
    dark: NDArray  # the two colours of the ground's checks
    bright: NDArray
    check: float  # metres
    shift: NDArray  # of the checks
    turn: float  # of the checks, radians
    sky: NDArray
    horizon: NDArray
    boxes: tuple[Box, ...]
    light: float  # direction, radians


def make_scene(seed: int) -> Scene:
    """The scene of a seed; the order of draws is that of training and must not change."""
    rng = np.random.default_rng(seed)
    ground = _PALETTE[rng.integers(len(_PALETTE))] * 0.5 + 0.25
    check, shift, turn = rng.uniform(0.7, 1.4), rng.uniform(0, 5, 2), rng.uniform(0, math.pi / 2)
    sky = _SKIES[rng.integers(4)]
    boxes: list[Box] = []
    count = int(rng.integers(5, 10))
    while len(boxes) < count:
        distance, bearing = rng.uniform(1.8, 9), rng.uniform(-math.pi * 0.55, math.pi * 0.55)
        if rng.random() < 0.12:
            bearing = rng.uniform(-math.pi, math.pi)
        half = rng.uniform(0.3, 0.9, 2)
        height = rng.uniform(0.5, 3.0)
        too_near = distance - max(half) * 1.42 < 1.7 and abs(bearing) < 2.9 and distance < 2.6
        if too_near:
            continue
        x, z = distance * math.sin(bearing), distance * math.cos(bearing)
        box_turn = rng.uniform(0, math.pi / 2)
        colour = _PALETTE[rng.integers(len(_PALETTE))]
        boxes.append(Box(x, z, (float(half[0]), float(half[1])), height, box_turn, colour))
    light = rng.uniform(0, 2 * math.pi)
    return Scene(
        ground * 0.55, np.clip(ground * 1.15, 0, 1), check, shift, turn, sky, sky * 0.35 + 0.6, tuple(boxes), light
    )


def render(scene: Scene, c2w: NDArray, size: tuple[int, int] = SIZE, samples: int = 1) -> NDArray:
    """Frames (f, h, w, 3) uint8 seen by cameras c2w (f, 4, 4); `samples` squared rays a pixel."""
    h, w = size[0] * samples, size[1] * samples
    frames = np.stack([_render_frame(scene, pose.astype(np.float32), h, w) for pose in c2w])
    frames = frames.reshape(len(c2w), size[0], samples, size[1], samples, 3).mean((2, 4))
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def _render_frame(scene: Scene, pose: NDArray, h: int, w: int) -> NDArray:
    focal = FOCAL * w
    y, x = np.meshgrid(np.arange(h) + 0.5, np.arange(w) + 0.5, indexing="ij")
    ray = np.stack([(x - w / 2) / focal, (y - h / 2) / focal, np.ones_like(x)], -1).astype(np.float32)
    ray = ray @ pose[:3, :3].T
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    eye = pose[:3, 3]
    upward = np.sqrt(np.clip(-ray[..., 1:2], 0, 1))
    colour = scene.horizon * (1 - upward) + scene.sky * upward
    depth = np.full((h, w), 1e9)
    colour, depth = _draw_ground(scene, eye, ray, focal, colour, depth)
    for box in scene.boxes:
        colour, depth = _draw_box(scene, box, eye, ray, colour, depth)
    return colour


def _draw_ground(scene: Scene, eye: NDArray, ray: NDArray, focal: float, colour: NDArray, depth: NDArray):
    down = ray[..., 1]
    t = (CAMERA_HEIGHT - eye[1]) / np.maximum(down, 1e-6)
    hit = (down > 1e-4) & (t > 0)
    at_x, at_z = eye[0] + t * ray[..., 0], eye[2] + t * ray[..., 2]
    c, s = math.cos(scene.turn), math.sin(scene.turn)
    u = (at_x * c + at_z * s) / scene.check + scene.shift[0]
    v = (-at_x * s + at_z * c) / scene.check + scene.shift[1]
    footprint = np.clip(t / (focal * scene.check) / np.maximum(down, 0.02), 0.02, 4)
    checks = 0.5 + 0.5 * _soft_square(u, footprint) * _soft_square(v, footprint)
    ground = _fogged(scene.dark * (1 - checks[..., None]) + scene.bright * checks[..., None], t, scene)
    return np.where(hit[..., None], ground, colour), np.where(hit, t, depth)


def _soft_square(q: NDArray, footprint: NDArray) -> NDArray:
    """Square wave of period 2 whose edges are as wide as a pixel and which fades out before it aliases."""
    triangle = 2 * np.abs(2 * ((q / 2) % 1) - 1) - 1
    return np.clip(triangle / (footprint * 2), -1, 1) * (1 - np.clip((footprint - 0.25) / 0.75, 0, 1))


def _draw_box(scene: Scene, box: Box, eye: NDArray, ray: NDArray, colour: NDArray, depth: NDArray):
    c, s = math.cos(box.turn), math.sin(box.turn)
    dx, dy, dz = ray[..., 0] * c + ray[..., 2] * s, ray[..., 1], -ray[..., 0] * s + ray[..., 2] * c
    ox, oz = (eye[0] - box.x) * c + (eye[2] - box.z) * s, -(eye[0] - box.x) * s + (eye[2] - box.z) * c
    near_x, far_x = _slab(ox, dx, -box.half[0], box.half[0])
    near_y, far_y = _slab(eye[1], dy, CAMERA_HEIGHT - box.height, CAMERA_HEIGHT)
    near_z, far_z = _slab(oz, dz, -box.half[1], box.half[1])
    near = np.maximum(np.maximum(near_x, near_y), near_z)
    far = np.minimum(np.minimum(far_x, far_y), far_z)
    hit = (near < far) & (near > 0.05) & (near < depth)
    light_x, light_z = math.sin(scene.light), math.cos(scene.light)
    side_x = 0.72 + 0.28 * -np.sign(dx) * (light_x * c + light_z * s)
    side_z = 0.72 + 0.28 * -np.sign(dz) * (-light_x * s + light_z * c)
    shade = np.where(near == near_x, side_x, np.where(near == near_z, side_z, 1.08))
    face = _fogged(box.colour * shade[..., None], near, scene)
    return np.where(hit[..., None], face, colour), np.where(hit, near, depth)


def _slab(origin: float, direction: NDArray, low: float, high: float) -> tuple[NDArray, NDArray]:
    inverse = 1 / np.where(np.abs(direction) < 1e-6, 1e-6, direction)
    a, b = (low - origin) * inverse, (high - origin) * inverse
    return np.minimum(a, b), np.maximum(a, b)


def _fogged(colour: NDArray, distance: NDArray, scene: Scene) -> NDArray:
    lost = 1 - np.exp(-distance / FOG)[..., None]
    return colour * (1 - lost) + scene.horizon * lost
