"""What a camera in a scene sees, by exact ray casting: the truth that a generated clip can be compared with.

Colours are sRGB values that are shaded as they are; the light of a time of day multiplies the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .scene import CAMERA_HEIGHT, Scene, Solid

FOG_METRES = 16.0  # until a surface has lost 63 % of its colour to the horizon
SHADOW = 0.5  # how dark the ground is right under a solid
NEAR = 0.05  # metres; nothing closer is drawn
_FAR = 1e9


def render(
    scene: Scene,
    c2w: NDArray,
    intrinsics: NDArray,
    size: tuple[int, int],
    *,
    light: NDArray | None = None,
    samples: int = 2,
) -> NDArray:
    """Frames (f, h, w, 3) uint8 that cameras c2w (f, 4, 4), OpenCV metres, with intrinsics (f, 4) in pixels of `size` see.

    light (f, 3) multiplies each frame, None = day. A pixel is the mean of samples x samples rays.
    """
    return np.stack(list(rendered(scene, c2w, intrinsics, size, light=light, samples=samples)))


def rendered(
    scene: Scene,
    c2w: NDArray,
    intrinsics: NDArray,
    size: tuple[int, int],
    *,
    light: NDArray | None = None,
    samples: int = 2,
) -> Iterator[NDArray]:
    """The same frame by frame, so that a caller can show progress or stop. Shapes are checked at the call."""
    frames = len(c2w)
    if c2w.shape != (frames, 4, 4) or intrinsics.shape != (frames, 4) or not frames:
        raise ShapeError(
            f"c2w must be (f, 4, 4) and intrinsics (f, 4) with one f >= 1, got {c2w.shape} and {intrinsics.shape}; "
            "give one fx, fy, cx, cy for each camera"
        )
    light = np.ones((frames, 3)) if light is None else light
    if light.shape != (frames, 3):
        raise ShapeError(f"light must be one colour per frame, {(frames, 3)}, got {light.shape}; see light_between")
    if min(*size, samples) < 1:
        raise ShapeError(f"size (h, w) and samples must be at least 1, got {size} and {samples}")
    return (_lit(_render_frame(scene, pose, k, size, samples), tint) for pose, k, tint in zip(c2w, intrinsics, light))


@dataclass(frozen=True, eq=False)
class _Rays:
    """One frame's rays: eye (3,), unit directions (h, w, 3) in the world, pixel focal length, and how to project."""

    eye: NDArray
    direction: NDArray
    focal: float
    w2c: NDArray
    k: NDArray

    def part(self, rows: slice, columns: slice) -> _Rays:
        return _Rays(self.eye, self.direction[rows, columns], self.focal, self.w2c, self.k)

    def box_of(self, x: float, y: float, z: float, radius: float) -> tuple[slice, slice] | None:
        """Rows and columns that a ball at (x, y, z) can touch; None if it is out of the picture."""
        h, w = self.direction.shape[:2]
        cx, cy, cz = self.w2c[:3, :3] @ (x, y, z) + self.w2c[:3, 3]
        if cz < -radius:
            return None
        if cz < radius * 1.05 + NEAR:  # too near for a bound by projection
            return slice(0, h), slice(0, w)
        spread = radius / (cz - radius)
        u, v = self.k[0] * cx / cz + self.k[2], self.k[1] * cy / cz + self.k[3]
        du = self.k[0] * spread * math.sqrt(1 + (cx / cz) ** 2) + 2
        dv = self.k[1] * spread * math.sqrt(1 + (cy / cz) ** 2) + 2
        rows = slice(max(0, math.floor(v - dv)), min(h, math.ceil(v + dv)))
        columns = slice(max(0, math.floor(u - du)), min(w, math.ceil(u + du)))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _render_frame(scene: Scene, pose: NDArray, k: NDArray, size: tuple[int, int], samples: int) -> NDArray:
    rays = _cast(pose, k, size, samples)
    down = rays.direction[..., 1]
    upward = np.sqrt(np.clip(-down, 0, 1))[..., None]
    horizon, zenith = scene.horizon.astype(np.float32), scene.zenith.astype(np.float32)
    colour = horizon * (1 - upward) + zenith * upward
    depth = np.full(down.shape, _FAR, np.float32)
    hit = (down > 1e-4) & (rays.eye[1] < CAMERA_HEIGHT)
    distance = np.where(hit, (CAMERA_HEIGHT - rays.eye[1]) / np.maximum(down, 1e-4), _FAR).astype(np.float32)
    ground = _ground(scene, rays, distance)
    colour[hit] = _fogged(ground, distance[..., None], horizon)[hit]
    depth[hit] = distance[hit]
    for solid in scene.solids:
        _draw_solid(scene, solid, rays, colour, depth)
    parts = [colour[i::samples, j::samples] for i in range(samples) for j in range(samples)]
    return sum(parts[1:], parts[0]) / np.float32(len(parts))


def _lit(picture: NDArray, tint: NDArray) -> NDArray:
    return np.rint(np.clip(picture * tint.astype(np.float32), 0, 1) * 255).astype(np.uint8)


def _cast(pose: NDArray, k: NDArray, size: tuple[int, int], samples: int) -> _Rays:
    h, w = size[0] * samples, size[1] * samples
    k = np.asarray(k, np.float64) * samples
    v, u = np.meshgrid(np.arange(h) + 0.5, np.arange(w) + 0.5, indexing="ij")
    x, y = ((u - k[2]) / k[0]).astype(np.float32), ((v - k[3]) / k[1]).astype(np.float32)
    length = 1 / np.sqrt(x * x + y * y + 1)
    ray = np.stack([x * length, y * length, length], -1) @ pose[:3, :3].T.astype(np.float32)
    return _Rays(pose[:3, 3].astype(np.float32), ray, float(k[0]), np.linalg.inv(pose.astype(np.float64)), k)


def _ground(scene: Scene, rays: _Rays, distance: NDArray) -> NDArray:
    """Colour of the ground where each ray would meet it, with soft shadows under the solids."""
    ground = scene.ground
    near = np.minimum(distance, 1e4)
    x = rays.eye[0] + near * rays.direction[..., 0]
    z = rays.eye[2] + near * rays.direction[..., 2]
    c, s = math.cos(ground.turn), math.sin(ground.turn)
    across = (x * c + z * s) / ground.cell + ground.shift[0]
    along = (-x * s + z * c) / ground.cell + ground.shift[1]
    footprint = near / (rays.focal * ground.cell) / np.maximum(rays.direction[..., 1], 0.02)
    wave = _soft_square(across, footprint)
    if ground.pattern == "checks":
        wave = wave * _soft_square(along, footprint)
    share = (0.5 + 0.5 * wave)[..., None]
    colour = share * np.float32(ground.bright) + (1 - share) * np.float32(ground.dark)
    for solid in scene.solids:
        radius = solid.reach * 1.5
        where = rays.box_of(solid.x, CAMERA_HEIGHT, solid.z, radius)
        if where:
            away = ((x[where] - solid.x) ** 2 + (z[where] - solid.z) ** 2) / np.float32(radius**2)
            colour[where] *= (1 - SHADOW * np.clip(1 - away, 0, 1))[..., None]
    return colour


def _soft_square(q: NDArray, footprint: NDArray) -> NDArray:
    """Square wave of period 2 whose edges are as wide as a pixel and which fades out before it aliases."""
    triangle = 2 * np.abs(2 * ((q / 2) % 1) - 1) - 1
    width = np.clip(footprint, 0.02, 4.0)
    return np.clip(triangle / (width * 2), -1, 1) * (1 - np.clip((width - 0.25) / 0.75, 0, 1))


def _fogged(colour: NDArray, distance: NDArray, horizon: NDArray) -> NDArray:
    kept = np.exp(-distance / np.float32(FOG_METRES))
    return colour * kept + horizon * (1 - kept)


def _draw_solid(scene: Scene, solid: Solid, rays: _Rays, colour: NDArray, depth: NDArray) -> None:
    """Paint one solid into colour and depth where it is nearest."""
    middle = CAMERA_HEIGHT - solid.height / 2
    where = rays.box_of(solid.x, middle, solid.z, math.hypot(solid.reach, solid.height / 2))
    if where is None:
        return
    part = rays.part(*where)
    if solid.kind == "ball":
        distance, shade = _meet_ball(scene, solid, part, middle)
    elif solid.kind == "pillar":
        distance, shade = _meet_pillar(scene, solid, part)
    else:
        distance, shade = _meet_box(scene, solid, part)
    hit = (distance > NEAR) & (distance < depth[where])
    if not hit.any():
        return
    seen = distance[hit]
    painted = np.clip(np.float32(solid.colour) * shade[hit][:, None], 0, 1)
    colour[where][hit] = _fogged(painted, seen[:, None], scene.horizon.astype(np.float32))
    depth[where][hit] = seen


def _meet_ball(scene: Scene, solid: Solid, rays: _Rays, middle: float) -> tuple[NDArray, NDArray]:
    radius = solid.half[0]
    to_eye = rays.eye - np.float32((solid.x, middle, solid.z))
    along = rays.direction @ to_eye
    inside = along**2 - (to_eye @ to_eye - radius**2)
    distance = np.where(inside > 0, -along - np.sqrt(np.maximum(inside, 0)), _FAR)
    normal = (to_eye + distance[..., None] * rays.direction) / radius
    return distance, _shade(scene, normal[..., 0], normal[..., 1], normal[..., 2])


def _meet_pillar(scene: Scene, solid: Solid, rays: _Rays) -> tuple[NDArray, NDArray]:
    dx, dy, dz = np.moveaxis(rays.direction, -1, 0)
    ox, oz, radius = rays.eye[0] - solid.x, rays.eye[2] - solid.z, solid.half[0]
    flat = np.maximum(dx**2 + dz**2, 1e-9)
    along = (ox * dx + oz * dz) / flat
    inside = along**2 - (ox**2 + oz**2 - radius**2) / flat
    half = np.sqrt(np.maximum(inside, 0))
    low, high = _slab(rays.eye[1], dy, CAMERA_HEIGHT - solid.height, CAMERA_HEIGHT)
    side = -along - half
    enters, leaves = np.maximum(side, low), np.minimum(half - along, high)
    distance = np.where((inside > 0) & (enters < leaves), enters, _FAR)
    across_x, across_z = (ox + distance * dx) / radius, (oz + distance * dz) / radius
    wall = _shade(scene, across_x, np.zeros_like(across_x), across_z)
    return distance, np.where(side >= low, wall, 1.08)


def _meet_box(scene: Scene, solid: Solid, rays: _Rays) -> tuple[NDArray, NDArray]:
    c, s = math.cos(solid.turn), math.sin(solid.turn)
    dx, dy, dz = np.moveaxis(rays.direction, -1, 0)
    dx, dz = dx * c + dz * s, -dx * s + dz * c
    ox, oz = rays.eye[0] - solid.x, rays.eye[2] - solid.z
    ox, oz = ox * c + oz * s, -ox * s + oz * c
    near_x, far_x = _slab(ox, dx, -solid.half[0], solid.half[0])
    near_y, far_y = _slab(rays.eye[1], dy, CAMERA_HEIGHT - solid.height, CAMERA_HEIGHT)
    near_z, far_z = _slab(oz, dz, -solid.half[1], solid.half[1])
    near = np.maximum(np.maximum(near_x, near_y), near_z)
    far = np.minimum(np.minimum(far_x, far_y), far_z)
    zero = np.zeros_like(dx)
    side_x = _shade(scene, -np.sign(dx) * c, zero, -np.sign(dx) * s)
    side_z = _shade(scene, np.sign(dz) * s, zero, -np.sign(dz) * c)
    shade = np.where(near == near_x, side_x, np.where(near == near_z, side_z, 1.08))
    return np.where(near < far, near, _FAR), shade


def _shade(scene: Scene, x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    """Brightness of a surface with the unit normal (x, y, z): the light comes from its bearing and from above."""
    return 0.74 + 0.28 * (math.sin(scene.light) * x + math.cos(scene.light) * z) - 0.3 * y


def _slab(origin: float, direction: NDArray, low: float, high: float) -> tuple[NDArray, NDArray]:
    inverse = 1 / np.where(np.abs(direction) < 1e-6, 1e-6, direction)
    a, b = (low - origin) * inverse, (high - origin) * inverse
    return np.minimum(a, b), np.maximum(a, b)
