"""Does a stream stay what it was? Four hundred frames of a camera that goes out and comes back, beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from wm_core.metrics import PairMeter
from wm_core.tiny_world import Scene, render

from .camera_scores import acted, wanted_clips
from .clips import there_and_back
from .generate import MakeClips

FRAMES = 401
OUTWARD = "w-16,wl-16,d-16,aj-16"  # 64 frames, then the same way back: frame 128 k is the first camera again
SPAN = 80  # frames that a number is the mean of


def long_film(make: MakeClips, encode: Callable[[str], Tensor], scenes: Sequence[Scene], size: tuple[int, int]) -> dict:
    """Means over the scenes: five numbers along time of each curve, and the PSNR of coming back."""
    outward = acted(OUTWARD, size)
    path, period = there_and_back(outward, FRAMES), 2 * (outward.frames - 1)
    rows, returns = [], []
    for scene in scenes:
        truth = render(scene, path.c2w, path.intrinsics, size)
        film = make(wanted_clips(scene, [path], encode(scene.prompt("day"))))[0]
        meter = PairMeter()
        meter.add(torch.from_numpy(film), torch.from_numpy(truth))
        curves = meter.curves()
        spans = [slice(at, at + SPAN) for at in range(1, FRAMES - SPAN + 1, SPAN)]
        error = [curves.squared_error[s].mean() for s in spans]
        sharp = [curves.first.sharpness[s].mean() / curves.second.sharpness[s].mean() for s in spans]
        brighter = [np.abs(curves.brightness_apart[s]).mean() for s in spans]
        chroma = [curves.chroma_apart[s].mean() for s in spans]
        rows.append([-10 * np.log10(error), sharp, brighter, chroma])
        returns.append([-10 * np.log10(np.square(film[at] - film[0]).mean()) for at in range(period, FRAMES, period)])
    means = np.mean(rows, 0)
    names = ("psnr", "sharpness to truth", "brightness apart", "chroma apart")
    return dict(zip(names, means.tolist())) | {"psnr on return": np.mean(returns, 0).tolist()}
