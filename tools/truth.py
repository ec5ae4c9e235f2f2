"""The truth of a film in a scene of the tiny world: what its camera would really have seen, and how near the film comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from wm_core.camera import CameraPath
from wm_core.tiny_world import TIMES, Scene, light_between, rendered


@dataclass(frozen=True, eq=False)
class Comparison:
    """True frames (h, w, 3) uint8, and the PSNR in dB of a whole film but for its first frame, which was given."""

    frames: list[NDArray]
    psnr: float


def true_frames(scene: Scene, path: CameraPath, prompt: str) -> Iterator[NDArray]:
    """Frames (h, w, 3) uint8 along the path, by day; a time of day in the prompt comes as in training."""
    said = set(re.findall("[a-z]+", prompt.lower()))
    later = next((time for time in TIMES if time in said), "day")
    light = light_between("day", later, path.frames)
    return rendered(scene, path.c2w, path.intrinsics, path.size, light=light)


def compare_film(video: Path, truth: Iterable[NDArray], shown: Sequence[int]) -> Comparison:
    """A video file of at least two frames beside its truth, of which the frames numbered in `shown` are kept."""
    kept, errors = [], []
    with av.open(str(video)) as container:
        for index, (frame, true) in enumerate(zip(container.decode(video=0), truth)):
            if index in shown:
                kept.append(true)
            errors.append(np.square(frame.to_ndarray(format="rgb24").astype(np.float32) - true).mean())
    return Comparison(kept, float(10 * np.log10(255**2 / np.mean(errors[1:]))))
