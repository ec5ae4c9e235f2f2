"""A camera path as Wan's camera models take it (Wan Fun Camera): a Pluecker map of every frame, four frames in a latent.

Rays go through the middles of pixels and are (moment, direction); cameras are relative to the first (CameraCtrl, arXiv 2404.02101).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from einops import rearrange

from ..errors import ShapeError
from ..shapes import snap_frames
from .conditions import pluecker_rays
from .intrinsics import fit_crop
from .path import CameraPath

FRAMES = 4  # of a latent; the first frame stands for a whole one


def wan_embedding(path: CameraPath, size: tuple[int, int]) -> torch.Tensor:
    """(1, 24, (f + 3) / 4, h, w) float32 for pictures of `size` (h, w), to which the path is cropped as the picture would be.

    ShapeError unless the path has 4k + 1 frames.
    """
    if (path.frames - 1) % FRAMES:
        near = snap_frames(path.frames, multiple=FRAMES)
        raise ShapeError(f"Wan makes {FRAMES}k + 1 frames, the path has {path.frames}; make it {near} frames long")
    seen = path.relative_to_first()
    seen = seen if seen.size == size else seen.cropped(fit_crop(seen.size, size))
    middles = replace(seen, intrinsics=seen.intrinsics - np.array((0, 0, 0.5, 0.5), np.float32))
    maps = torch.empty(path.frames, 6, *size)
    for frame in range(path.frames):  # one at a time: a float64 map of all of them would fill gigabytes
        one = slice(frame, frame + 1)
        rays = pluecker_rays(middles.c2w[one].astype(np.float64), middles.intrinsics[one].astype(np.float64), size)
        maps[frame] = torch.from_numpy(np.concatenate([rays[0, 3:], rays[0, :3]]))
    maps = torch.cat([maps[:1].expand(FRAMES - 1, -1, -1, -1), maps])
    return rearrange(maps, "(t s) c h w -> 1 (c s) t h w", s=FRAMES)
