"""Where a clip's camera really went, from the known scene: each frame is matched with renders of the scene.

Analysis by synthesis: the pose of a frame is what makes the exact render of the scene look most like it, found by damped
Gauss-Newton steps from the pose of the frame before (the first is given). Nothing about the wanted path is used. A render is
made as soft as the frame first, for sharp edges beside soft ones draw the pose away; how soft is tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from wm_core.camera import CameraPath
from wm_core.camera.rotation import angle_between, pitch_rotation, yaw_rotation
from wm_core.tiny_world import Scene, render

SHRINK = 4  # pixels of the clip for each that is compared
STEPS = (0.04, 0.04, 0.04, 0.015, 0.015)  # of the numeric gradient: right, down, forward (m), yaw, pitch (rad)
ROUNDS = 8
OUTLIER = 0.2  # differences beyond it count less: what was invented out of view does not steer the pose
SOFTNESS = (0.0, 0.4, 0.8, 1.2, 1.8)  # compared pixels, standard deviation
MOST = np.array((0.15, 0.15, 0.15, 0.06, 0.06))  # of one round


@dataclass(frozen=True, eq=False)
class PoseError:
    """How far the recovered poses are from the wanted ones: metres and degrees per frame, and the path's length."""

    metres: NDArray
    degrees: NDArray
    length: float

    @property
    def worst_share(self) -> float:
        """Largest distance as a share of the path's length."""
        return float(self.metres.max() / max(self.length, 1e-9))


def pose_error(scene: Scene, clip: NDArray, path: CameraPath) -> PoseError:
    """clip (f, h, w, 3) in [0, 1], made for `path`, which starts at the scene's first camera."""
    found = recover_poses(scene, clip, path)
    centres, wanted = found[:, :3, 3], path.c2w[:, :3, 3]
    length = float(np.linalg.norm(np.diff(wanted, axis=0), axis=1).sum())
    turned = np.degrees(angle_between(found[:, :3, :3], path.c2w[:, :3, :3]))
    return PoseError(np.linalg.norm(centres - wanted, axis=1), turned, length)


def recover_poses(scene: Scene, clip: NDArray, path: CameraPath) -> NDArray:
    """c2w (f, 4, 4) of the clip's frames. Of `path` only intrinsics and size are used."""
    size = (path.size[0] // SHRINK, path.size[1] // SHRINK)
    small = clip.reshape(len(clip), size[0], SHRINK, size[1], SHRINK, 3).mean((2, 4))
    at, speed, soft, poses = np.zeros(5), np.zeros(5), 0.0, [np.eye(4)]
    for frame, k in zip(small[1:], path.intrinsics[1:]):
        match = _Match(scene, frame, k / SHRINK, size, soft)
        start = min((at + speed, at), key=match.cost)
        match = min((replace(match, soft=soft) for soft in SOFTNESS), key=lambda match: match.cost(start))
        found, soft = match.descend(start), match.soft
        at, speed = found, found - at
        poses.append(_pose(at))
    return np.stack(poses)


@dataclass(frozen=True, eq=False)
class _Match:
    scene: Scene
    frame: NDArray
    k: NDArray
    size: tuple[int, int]
    soft: float

    def residual(self, at: NDArray) -> NDArray:
        picture = render(self.scene, _pose(at)[None], self.k[None], self.size)[0].astype(np.float32) / 255
        return (_softened(picture, self.soft) - self.frame).ravel()

    def cost(self, at: NDArray) -> float:
        return float((1 - _counts(self.residual(at))).mean())

    def descend(self, at: NDArray) -> NDArray:
        damping, best = 1e-3, self.cost(at)
        for _ in range(ROUNDS):
            r = self.residual(at)
            slopes = [(self.residual(at + step) - self.residual(at - step)) / 2 for step in np.diag(STEPS)]
            jacobian = np.stack(slopes, 1) / np.array(STEPS, np.float32)
            weight = _counts(r) ** 2
            normal = jacobian.T @ (jacobian * weight[:, None])
            normal += damping * np.diag(np.diag(normal) + 1e-9)
            move = np.clip(-np.linalg.solve(normal, jacobian.T @ (weight * r)), -MOST, MOST)
            cost = self.cost(at + move)
            if cost < best:
                at, best, damping = at + move, cost, damping / 3
            else:
                damping *= 10
            if damping > 1e3 or np.abs(move).max() < 1e-4:
                break
        return at


def _counts(difference: NDArray) -> NDArray:
    """From 1 for none to 0 for a large one. Geman and McClure 1985."""
    return OUTLIER**2 / (np.square(difference) + OUTLIER**2)


def _softened(picture: NDArray, soft: float) -> NDArray:
    """A picture (h, w, 3) under a Gaussian of that standard deviation in pixels."""
    if not soft:
        return picture
    rows, columns = (_gaussian(n, soft) for n in picture.shape[:2])
    return np.einsum("ij,jkc,lk->ilc", rows, picture, columns, optimize=True)


@cache
def _gaussian(pixels: int, soft: float) -> NDArray:
    """(n, n) weights; every row adds up to one."""
    apart = np.arange(pixels)[:, None] - np.arange(pixels)
    weight = np.exp(-np.square(apart) / (2 * soft**2)).astype(np.float32)
    return weight / weight.sum(1, keepdims=True)


def _pose(at: NDArray) -> NDArray:
    x, y, z, yaw, pitch = at
    c2w = np.eye(4, dtype=np.float64)
    c2w[:3, :3] = yaw_rotation(yaw) @ pitch_rotation(pitch)
    c2w[:3, 3] = x, y, z
    return c2w
