"""Scores of the exported files: what MODEL_CARD.md says of them, and whether the goals are met.

Everything runs on the fp16 files as a user gets them, through the core's functions, on held-out scenes by day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from wm_core.camera import CameraPath, preset_path
from wm_core.checkpoint import load_video_vae, load_world_model, open_world
from wm_core.tiny_world import USUAL_FOCAL, Scene, render
from wm_core.vae import VideoVAE

from .camera_scores import acted, camera_scores, held_out_scenes, wanted_clips
from .clips import FPS
from .export import MODELS, TEXT, VAES, WORLDS
from .generate import MakeClips, causal_latents, dense_latents, pixels, start, streamed_latents
from .long_film import long_film
from .pose import pose_error
from .settings import Settings
from .text import encode_captions
from .train_vae import validate, validation_clips
from .word_scores import night_falls, words_from_nothing

SCORES = Path(__file__).with_name("scores.json")
SCENES = 8
PATH_SCENES = 3
LONG_SCENES = 4
MIXED = ("wl-16,d-16", "i-10,wa-22", "sj-16,none-4,wk-12")
ORBITS = (("orbit-left", 40.0), ("orbit-right", 40.0))


@dataclass(frozen=True, eq=False)
class Maker:
    """A model and a number of steps."""

    name: str
    make: MakeClips


def makers(models: Path = MODELS) -> list[Maker]:
    """Every model whose files are there, with the numbers of steps that are asked of it."""
    found = []
    vae = load_video_vae(models / VAES["decoder"])
    if (models / WORLDS["world"][0]).is_file():
        world, shift = (
            load_world_model(models / WORLDS["world"][0]),
            open_world(models / WORLDS["world"][0]).info.sampling.shift,
        )
        found += [
            Maker(f"dense, {n} steps", _maker(vae, partial(dense_latents, world, steps=n, shift=shift))) for n in (4, 6)
        ]
    if (models / WORLDS["causal_world"][0]).is_file():
        causal = load_world_model(models / WORLDS["causal_world"][0])
        found += [
            Maker(f"chunk-causal, {n} steps", _maker(vae, partial(causal_latents, causal, steps=n, shift=shift)))
            for n in (4, 6)
        ]
    if (models / WORLDS["student"][0]).is_file():
        student, causal_vae = (
            load_world_model(models / WORLDS["student"][0]),
            load_video_vae(models / VAES["causal_decoder"]),
        )
        found.append(Maker("streaming, 4 steps", _maker(causal_vae, partial(streamed_latents, student))))
    return found


def _maker(vae: VideoVAE, sample: Callable[..., Tensor]) -> MakeClips:
    return lambda wanted: pixels(vae, sample(begun=start(vae, wanted)))


def _encode(text: str, models: Path = MODELS) -> Tensor:
    return encode_captions(models / TEXT, [text])[0]


def prompts(models: Path = MODELS) -> Callable[[Scene], Tensor]:
    """The prompt of a scene by day, as the shipped encoder gives it."""
    return lambda scene: _encode(scene.prompt("day"), models)


def camera_rows(size: tuple[int, int], count: int = SCENES, models: Path = MODELS) -> dict[str, dict[str, float]]:
    """The camera test of every maker, and of the first one with swapped cameras: the control."""
    scenes, prompt_of, rows = held_out_scenes(count, size), prompts(models), {}
    for maker in makers(models):
        rows[maker.name] = camera_scores(maker.make, scenes, size, prompt_of).summary()
        print(maker.name, rows[maker.name], flush=True)
    control = makers(models)[0]
    rows[f"{control.name}, cameras swapped"] = camera_scores(
        control.make, scenes, size, prompt_of, swapped=True
    ).summary()
    return rows


def paths_followed(
    size: tuple[int, int], scenes: Sequence[Scene], models: Path = MODELS
) -> dict[str, dict[str, float]]:
    """Mixed commands and orbits: where the clip's camera really went."""
    focal = USUAL_FOCAL * size[1]
    view = {"size": size, "intrinsics": (focal, focal, size[1] / 2, size[0] / 2), "fps": FPS}
    paths: dict[str, CameraPath] = {text: acted(text, size) for text in MIXED}
    paths |= {name: preset_path(name, frames=33, amount=amount, **view) for name, amount in ORBITS}
    prompt_of, rows = prompts(models), {}
    for maker in makers(models):
        worst = {}
        for scene in scenes:
            first = render(scene, np.eye(4)[None], paths[MIXED[0]].intrinsics[:1], size)[None] / np.float32(255)
            clips = maker.make(wanted_clips(scene, list(paths.values()), first, prompt_of(scene)))
            for (name, path), clip in zip(paths.items(), clips):
                error = pose_error(scene, clip, path)
                so_far = worst.setdefault(name, {"degrees": 0.0, "share": 0.0})
                worst[name] = {
                    "degrees": max(so_far["degrees"], float(error.degrees.max())),
                    "share": max(so_far["share"], error.worst_share),
                }
        rows[maker.name] = worst
    return rows


def vae_rows(settings: Settings, models: Path = MODELS) -> dict[str, dict[str, float]]:
    """PSNR of the round trip, held-out clips."""
    clips = validation_clips(settings, "cpu")
    return {
        stage: validate(load_video_vae(models / path), clips)
        for stage, path in VAES.items()
        if (models / path).is_file()
    }


def word_rows(size: tuple[int, int], scenes: Sequence[Scene], models: Path = MODELS) -> dict[str, dict[str, float]]:
    """Whether words steer: colours and light of clips from words alone, and a day that becomes night."""
    rows = {}
    encode = partial(_encode, models=models)
    for maker in makers(models):
        told = {f"{kind} as asked": share for kind, share in words_from_nothing(maker.make, encode, 48, size).items()}
        rows[maker.name] = told | night_falls(maker.make, encode, scenes, size)
    return rows


def _paths(settings: Settings) -> dict[str, dict[str, float]]:
    return paths_followed(settings.size, held_out_scenes(PATH_SCENES, settings.size))


def _words(settings: Settings) -> dict[str, dict[str, float]]:
    return word_rows(settings.size, held_out_scenes(SCENES, settings.size))


def _long(settings: Settings) -> dict[str, dict]:
    """Of the streaming models only: the others make no clips of that length."""
    size, scenes = settings.size, held_out_scenes(LONG_SCENES, settings.size)
    streams = [maker for maker in makers() if maker.name.startswith("streaming")]
    return {maker.name: long_film(maker.make, _encode, scenes, size) for maker in streams}


PARTS = {
    "vae": vae_rows,
    "camera": lambda settings: camera_rows(settings.size),
    "paths": _paths,
    "words": _words,
    "long": _long,
}


def measure(settings: Settings, parts: Sequence[str], target: Path = SCORES) -> None:
    """Measure some parts anew, or all of them, and write them over the old ones in scores.json."""
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"scores are of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    known = json.loads(target.read_text()) if target.is_file() else {}
    for part in parts or PARTS:
        known[part] = PARTS[part](settings)
        target.write_text(json.dumps(rounded(known), indent=1) + "\n", encoding="utf-8")


def rounded(value):
    """Numbers to four places, wherever they are."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value
