"""Does a model go where the camera was told? Clips of eight commands against the exact renders of all eight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wm_core.camera import CameraPath, actions_to_path
from wm_core.tiny_world import HELD_OUT, Scene, make_scene, render, usual_intrinsics

from .clips import FPS, is_clear
from .files import DIALECT
from .generate import MakeClips, Wanted

COMMANDS = "wsadjlik"
MIRRORED = dict(zip(COMMANDS, "swdaljki"))
FRAMES = 33


@dataclass(frozen=True, eq=False)
class CameraScores:
    """likeness (scenes, command, truth): PSNR in dB of the frames behind the first, against every command's truth."""

    likeness: NDArray

    @property
    def own(self) -> NDArray:
        return np.einsum("scc->sc", self.likeness)

    @property
    def mirrored(self) -> NDArray:
        others = [COMMANDS.index(MIRRORED[c]) for c in COMMANDS]
        return self.likeness[:, range(len(COMMANDS)), others]

    def summary(self) -> dict[str, float]:
        """Shares in [0, 1], PSNR and margin in dB."""
        best = self.likeness.argmax(2) == np.arange(len(COMMANDS))
        return {
            "own_beats_mirrored": float((self.own > self.mirrored).mean()),
            "margin": float((self.own - self.mirrored).mean()),
            "one_of_eight": float(best.mean()),
            "psnr": float(self.own.mean()),
            "psnr_mirrored": float(self.mirrored.mean()),
        }


def held_out_scenes(count: int, size: tuple[int, int]) -> list[Scene]:
    """The first held-out scenes in which none of the eight commands runs into anything."""
    found, seed = [], HELD_OUT
    while len(found) < count:
        scene = make_scene(seed)
        if all(is_clear(scene, command_path(c, size)) for c in COMMANDS):
            found.append(scene)
        seed += 1
    return found


def command_path(command: str, size: tuple[int, int], frames: int = FRAMES) -> CameraPath:
    """One key held from the first frame to the last."""
    return acted(f"{command}-{frames - 1}", size)


def acted(actions: str, size: tuple[int, int]) -> CameraPath:
    """The path of an action string with the usual view."""
    return actions_to_path(actions, dialect=DIALECT, size=size, intrinsics=usual_intrinsics(size), fps=FPS)


def camera_scores(
    make: MakeClips,
    scenes: Sequence[Scene],
    size: tuple[int, int],
    prompt_of: Callable[[Scene], Tensor],
    *,
    swapped=False,
) -> CameraScores:
    """Scores of a model on scenes; swapped = every clip is made with the mirrored camera: the control that must fail."""
    shown = [command_path(MIRRORED[c] if swapped else c, size) for c in COMMANDS]
    rows = []
    for scene in scenes:
        truth = true_clips(scene, size) / np.float32(255)
        clips = make(wanted_clips(scene, shown, prompt_of(scene)))
        rows.append([[likeness(clip, other) for other in truth] for clip in clips])
    return CameraScores(np.array(rows))


@lru_cache(maxsize=16)
def true_clips(scene: Scene, size: tuple[int, int]) -> NDArray:
    """What all eight commands would really show, (8, f, h, w, 3) uint8: the same for every model that is measured."""
    paths = [command_path(c, size) for c in COMMANDS]
    return np.stack([render(scene, p.c2w, p.intrinsics, size) for p in paths])


def wanted_clips(scene: Scene, paths: Sequence[CameraPath], prompt: Tensor) -> Wanted:
    """Clips along paths that all begin with the scene's first camera, by day; noise by the scene."""
    first = render(scene, paths[0].c2w[:1], paths[0].intrinsics[:1], paths[0].size) / np.float32(255)
    picture = torch.from_numpy(first * 2 - 1).permute(3, 0, 1, 2)[None]
    return Wanted(picture.expand(len(paths), -1, -1, -1, -1), paths, [prompt] * len(paths), seed=scene.seed)


def likeness(clip: NDArray, truth: NDArray) -> float:
    """PSNR in dB over all frames but the given first one; frames in [0, 1]."""
    return -10 * float(np.log10(np.square(clip[1:] - truth[1:]).mean() + 1e-12))
