"""Rendered clips on the disk, made by all cores: what the VAE is trained on."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .clips import make_clip


def rendered_clips(file: Path, seeds: range, frames: int, size: tuple[int, int]) -> NDArray:
    """Frames (n, f, h, w, 3) uint8 of the clips of these seeds, from `file`; rendered into it first if it is not whole."""
    shape = (len(seeds), frames, *size, 3)
    if file.is_file():
        found = np.load(file, mmap_mode="r")
        if found.shape == shape:
            return found
    part = file.with_suffix(".part.npy")
    target = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for i, clip in enumerate(pool.map(_render, seeds, [frames] * len(seeds), [size] * len(seeds), chunksize=2)):
            target[i] = clip
    target.flush()
    part.replace(file)
    return np.load(file, mmap_mode="r")


def _render(seed: int, frames: int, size: tuple[int, int]) -> NDArray:
    return make_clip(seed, frames, size).frames()
