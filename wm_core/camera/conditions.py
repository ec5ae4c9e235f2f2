"""What the world model is told about the camera: a raymap row and a Pluecker volume per latent frame.

SANA-WM (arXiv 2605.15178) sec. 3.2. A ray is (direction, origin x direction); cameras are relative to the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from ..errors import CameraError, ShapeError
from ..shapes import RELEASED_STRIDE, Stride, pixel_frames
from .path import CameraPath
from .rotation import relative_to_first


@dataclass(frozen=True, eq=False)
class CameraConditions:
    """Camera input of the world model for all latent frames of a video.

    raymap: (b, t, 20), the row-major c2w and fx, fy, cx, cy in latent pixels, at the last pixel frame of a latent.
    plucker: (b, 6 * stride, t, h, w), direction then moment of each pixel frame behind a latent.
    """

    raymap: torch.Tensor
    plucker: torch.Tensor

    @property
    def latent_frames(self) -> int:
        return self.raymap.shape[1]

    def frames(self, start: int, stop: int) -> CameraConditions:
        """Latent frames [start, stop), still relative to the first camera of the whole path."""
        if not 0 <= start < stop <= self.latent_frames:
            raise CameraError(f"latent frames [{start}, {stop}) are not part of {self.latent_frames} conditioned ones")
        return CameraConditions(self.raymap[:, start:stop], self.plucker[:, :, start:stop])

    def to(self, device: torch.device | str) -> CameraConditions:
        return replace(self, raymap=self.raymap.to(device), plucker=self.plucker.to(device))


def build_conditions(
    path: CameraPath, latent_shape: tuple[int, int, int], stride: Stride = RELEASED_STRIDE, *, start: int = 0
) -> CameraConditions:
    """Conditions of the first pixel frames of `path` for a latent of latent_shape (t, h, w); b = 1, float32.

    start: leave out the latent frames before it, so that a chunk of a long video costs what the chunk costs. The rest
    is what the whole would have given: relative to the first camera of the path. Latent frame 0 gets pixel frames 0 .. stride.t - 1, latent frame i the stride.t frames that end at i * stride.t;
    past the end of the video its last frame repeats. CameraError when the path is shorter than the video.
    """
    latents, height, width = latent_shape
    if not 0 <= start < latents:
        raise ShapeError(f"start must be one of {latents} latent frames, got {start}")
    frames = pixel_frames(latents, stride)
    if path.frames < frames:
        raise CameraError(
            f"{latents} latent frames are {frames} pixel frames, the camera path has {path.frames}; "
            "lengthen the path (with_length holds its last camera) or generate fewer frames"
        )
    if path.size != (height * stride.h, width * stride.w):
        raise ShapeError(
            f"the path's intrinsics are for pictures of {path.size} (h, w), the video is "
            f"{(height * stride.h, width * stride.w)}; crop the path to the video's size first"
        )
    # fp32: geometry is computed in float64, so that positions far from the start keep their digits, and cast once.
    ends = np.arange(start, latents) * stride.t
    starts = np.maximum(0, ends - (stride.t - 1))
    groups = np.minimum(starts[:, None] + np.arange(stride.t), frames - 1)  # (t s)
    first = groups.min()
    c2w = relative_to_first(path.c2w[np.unique(np.r_[0, first:frames])])[first - frames :]
    intrinsics = path.intrinsics[first:frames].astype(np.float64) / (stride.w, stride.h, stride.w, stride.h)
    ends, groups = ends - first, groups - first
    raymap = np.concatenate([rearrange(c2w[ends], "t i j -> t (i j)"), intrinsics[ends]], axis=1)
    rays = pluecker_rays(c2w, intrinsics, (height, width)).astype(np.float32)  # (f c h w)
    plucker = rearrange(rays[groups], "t s c h w -> 1 (s c) t h w")
    return CameraConditions(torch.from_numpy(raymap.astype(np.float32))[None], torch.from_numpy(plucker))


def pluecker_rays(c2w: NDArray, intrinsics: NDArray, grid: tuple[int, int]) -> NDArray:
    """Unit direction and moment of the ray through each integer pixel (u, v) of a (h, w) grid; no half-pixel offset.

    c2w: (f, 4, 4), metres. intrinsics: (f, 4), pixels of the grid. Result: (f, 6, h, w).
    """
    fx, fy, cx, cy = (column[:, None, None] for column in intrinsics.T)
    v, u = np.meshgrid(np.arange(grid[0], dtype=np.float64), np.arange(grid[1], dtype=np.float64), indexing="ij")
    x, y = np.broadcast_arrays((u - cx) / fx, (v - cy) / fy)
    direction = np.einsum("fij,fjhw->fihw", c2w[:, :3, :3], np.stack([x, y, np.ones_like(x)], axis=1))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    moment = np.cross(c2w[:, :3, 3, None, None], direction, axis=1)
    return np.concatenate([direction, moment], axis=1)
