"""Do words steer? Clips from words alone must have the ground, the sky and the light that the prompt says, and a picture
taken by day must turn into night when the prompt does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wm_core.tiny_world import DARK, GROUNDS, SKIES, TIMES, Scene, light_between, make_scene, render

from .camera_scores import acted, wanted_clips
from .generate import MakeClips, Wanted

EDGE = 0.12  # share of the picture's height at its top and bottom that is looked at
STILL = "none-32"

Words = tuple[str, str, str]  # ground, sky, time


def drawn_words(count: int, seed: int) -> list[Words]:
    rng = np.random.default_rng(seed)
    kinds = (list(GROUNDS), list(SKIES), list(TIMES))
    return [tuple(str(rng.choice(kind)) for kind in kinds) for _ in range(count)]


def bands(picture: NDArray) -> NDArray:
    """Mean colours of the bottom and of the top of a picture (h, w, 3) in [0, 1]: (2, 3)."""
    rows = round(EDGE * len(picture))
    return np.stack([picture[-rows:].mean((0, 1)), picture[:rows].mean((0, 1))])


@cache
def expected_bands(words: Words, size: tuple[int, int]) -> NDArray:
    """The same of an empty plain with these words, averaged over where its pattern may lie."""
    path, seen = acted("none-1", size), []
    for seed in range(6):
        scene = make_scene(seed)
        bright = GROUNDS[words[0]]
        ground = replace(scene.ground, word=words[0], bright=bright, dark=tuple(DARK * c for c in bright))
        plain = replace(scene, ground=ground, sky=words[1], solids=())
        light = light_between(words[2], words[2], 1)
        seen.append(bands(render(plain, path.c2w[:1], path.intrinsics[:1], size, light=light)[0] / 255))
    return np.mean(seen, 0)


def words_from_nothing(
    make: MakeClips, encode: Callable[[str], Tensor], count: int, size: tuple[int, int]
) -> dict[str, float]:
    """Shares of clips without a first frame whose ground, sky and time are nearest to those that were asked for."""
    wanted = drawn_words(count, seed=7)
    prompts = [encode(f"{ground} ground, {sky} sky, {time}") for ground, sky, time in wanted]
    clips = make(Wanted(None, [acted(STILL, size)] * count, prompts))
    hits = np.array([_hits(clip[-1], words, size) for clip, words in zip(clips, wanted)])
    return dict(zip(("ground", "sky", "time"), hits.mean(0).tolist()))


def _hits(picture: NDArray, words: Words, size: tuple[int, int]) -> list[bool]:
    """For each kind: is the word that was asked for nearer than every other, the other two kinds as asked?"""
    seen, result = bands(picture), []
    for i, kind in enumerate((GROUNDS, SKIES, TIMES)):
        others = [(*words[:i], word, *words[i + 1 :]) for word in kind]
        distances = {other[i]: np.abs(seen - expected_bands(other, size)).sum() for other in others}
        result.append(min(distances, key=distances.get) == words[i])
    return result


def night_falls(
    make: MakeClips, encode: Callable[[str], Tensor], scenes: Sequence[Scene], size: tuple[int, int]
) -> dict[str, float]:
    """Brightness of the last frame of a day's picture when the prompt says day and when it says night."""
    path = acted("none-64", size)
    result = {}
    for time in ("day", "night"):
        ends = []
        for scene in scenes:
            ends.append(make(wanted_clips(scene, [path], encode(scene.prompt(time))))[0][-1].mean())
        result[time] = float(np.mean(ends))
    return result
