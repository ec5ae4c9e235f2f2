"""Scores of the exported files: what MODEL_CARD.md says of them, and whether the goals are met.

Everything runs on the fp16 files as a user gets them, through the core's functions, on held-out scenes by day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wm_core.camera import CameraPath, preset_path
from wm_core.checkpoint import load_refiner, load_video_vae, load_world_model, open_world
from wm_core.metrics import PairMeter
from wm_core.tiny_world import Scene, usual_intrinsics
from wm_core.vae import VideoVAE

from .camera_scores import COMMANDS, acted, camera_scores, command_path, held_out_scenes, true_clips, wanted_clips
from .clips import FPS
from .files import MODELS, REFINER, TEXT, VAES, WORLDS
from .generate import MakeClips, causal_latents, dense_latents, pixels, refined_latents, start, streamed_latents
from .long_film import long_film
from .pose import PoseError, pose_error
from .settings import Settings
from .text import encode_captions
from .train_vae import validate, validation_clips
from .word_scores import night_falls, words_from_nothing

SCORES = Path(__file__).with_name("scores.json")
STREAMING = "streaming, 4 steps"
STEPS = (4, 6)  # of the models that are not distilled
REFINED = ("dense, 4 steps", STREAMING)
SCENES = 8
PATH_SCENES = 3
LONG_SCENES = 4
MIXED = ("wl-16,d-16", "i-10,wa-22", "sj-16,none-4,wk-12")
ORBITS = (("orbit-left", 40.0), ("orbit-right", 40.0))

Rows = dict[str, dict]  # what is measured of whom


@dataclass(frozen=True, eq=False)
class Maker:
    """A model and a number of steps; draft: of a refined one, the name of what it refines."""

    name: str
    make: MakeClips
    draft: str | None = None


def makers(settings: Settings) -> list[Maker]:
    """Every model whose files are there, with the numbers of steps that are asked of it; what is refined comes last."""
    found: list[Maker] = []
    refined: list[Maker] = []
    for name, vae, sample in _samplers():
        found.append(Maker(name, _maker(vae, sample)))
        if name in REFINED and (MODELS / REFINER).is_file():
            refine = partial(refined_latents, load_refiner(MODELS / REFINER), recipe=settings.refiner.recipe)
            both = lambda begun, sample=sample, refine=refine: refine(sample(begun=begun))
            refined.append(Maker(f"{name}, refined", _maker(vae, both), draft=name))
    return found + refined


def _samplers() -> Iterator[tuple[str, VideoVAE, Callable[..., Tensor]]]:
    """(name, decoder, latents of what is begun) of every first stage that is there."""
    vae = load_video_vae(MODELS / VAES["decoder"])
    for name, stage, sample in (("dense", "world", dense_latents), ("chunk-causal", "causal_world", causal_latents)):
        file = MODELS / WORLDS[stage].path
        if file.is_file():
            world, shift = load_world_model(file), open_world(file).info.sampling.shift
            for steps in STEPS:
                yield f"{name}, {steps} steps", vae, partial(sample, world, steps=steps, shift=shift)
    if (MODELS / WORLDS["student"].path).is_file():
        student = load_world_model(MODELS / WORLDS["student"].path)
        yield STREAMING, load_video_vae(MODELS / VAES["causal_decoder"]), partial(streamed_latents, student)


def _maker(vae: VideoVAE, sample: Callable[..., Tensor]) -> MakeClips:
    return lambda wanted: pixels(vae, sample(begun=start(vae, wanted)))


@cache
def _encode(text: str) -> Tensor:
    """A prompt as the shipped encoder gives it."""
    return encode_captions(MODELS / TEXT, [text])[0]


def _prompt_of(scene: Scene) -> Tensor:
    return _encode(scene.prompt("day"))


def vae_rows(settings: Settings) -> Rows:
    """PSNR of the round trip, held-out clips."""
    clips = validation_clips(settings, "cpu")
    files = {stage: MODELS / path for stage, path in VAES.items() if (MODELS / path).is_file()}
    return {stage: validate(load_video_vae(file), clips) for stage, file in files.items()}


def camera_rows(settings: Settings) -> Rows:
    """The camera test of every maker, and of the first one with swapped cameras: the control.

    Of what is refined also the share of clips that it brought nearer to their truth.
    """
    size, all_makers = settings.size, makers(settings)
    scenes = held_out_scenes(SCENES, size)
    scores = {maker.name: camera_scores(maker.make, scenes, size, _prompt_of) for maker in all_makers}
    rows = {name: found.summary() for name, found in scores.items()}
    for maker in all_makers:
        if maker.draft:
            rows[maker.name]["nearer"] = float((scores[maker.name].own > scores[maker.draft].own).mean())
    control = camera_scores(all_makers[0].make, scenes, size, _prompt_of, swapped=True)
    return rows | {f"{all_makers[0].name}, cameras swapped": control.summary()}


def sharpness_rows(settings: Settings) -> Rows:
    """Sharpness of refined clips and of their drafts, each as a share of the truth's: eight commands in some scenes."""
    size, all_makers = settings.size, {maker.name: maker for maker in makers(settings)}
    paths = [command_path(c, size) for c in COMMANDS]
    rows: Rows = {}
    for maker in all_makers.values():
        if not maker.draft:
            continue
        found: dict[str, list[float]] = {"draft": [], "refined": []}
        for scene in held_out_scenes(PATH_SCENES, size):
            wanted = wanted_clips(scene, paths, _prompt_of(scene))
            made = {"draft": all_makers[maker.draft].make(wanted), "refined": maker.make(wanted)}
            for name, clips in made.items():
                found[name] += [_sharpness(clip, truth) for clip, truth in zip(clips, true_clips(scene, size))]
        rows[maker.name] = {name: sum(shares) / len(shares) for name, shares in found.items()}
    return rows


def _sharpness(clip: NDArray, truth: NDArray) -> float:
    meter = PairMeter()
    meter.add(torch.from_numpy(clip[1:]), torch.from_numpy(truth[1:]))
    curves = meter.curves()
    return float(curves.first.sharpness.mean() / curves.second.sharpness.mean())


def path_rows(settings: Settings) -> Rows:
    """Mixed commands and orbits: where the clip's camera really went. The worst frame of the worst scene, and the mean of all."""
    size = settings.size
    view = {"size": size, "intrinsics": usual_intrinsics(size), "fps": FPS}
    paths: dict[str, CameraPath] = {text: acted(text, size) for text in MIXED}
    paths |= {name: preset_path(name, frames=33, amount=amount, **view) for name, amount in ORBITS}
    scenes, rows = held_out_scenes(PATH_SCENES, size), {}
    with ProcessPoolExecutor() as pool:
        for maker in makers(settings):
            made = [maker.make(wanted_clips(scene, list(paths.values()), _prompt_of(scene))) for scene in scenes]
            rows[maker.name] = {}
            for i, (name, path) in enumerate(paths.items()):
                clips = [of_scene[i] for of_scene in made]
                errors: list[PoseError] = list(pool.map(pose_error, scenes, clips, [path] * len(scenes)))
                rows[maker.name][name] = {
                    "degrees": max(float(e.degrees.max()) for e in errors),
                    "share": max(e.worst_share for e in errors),
                    "mean_degrees": float(np.mean([e.degrees for e in errors])),
                    "mean_share": float(np.mean([e.metres / e.length for e in errors])),
                }
    return rows


def word_rows(settings: Settings) -> Rows:
    """Whether words steer: colours and light of clips from words alone, and a day that becomes night."""
    size, rows = settings.size, {}
    scenes = held_out_scenes(SCENES, size)
    for maker in makers(settings):
        told = {f"{kind} as asked": share for kind, share in words_from_nothing(maker.make, _encode, 48, size).items()}
        rows[maker.name] = told | night_falls(maker.make, _encode, scenes, size)
    return rows


def long_rows(settings: Settings) -> Rows:
    """Of the streaming model only: the others make no clips of that length."""
    scenes = held_out_scenes(LONG_SCENES, settings.size)
    streams = [maker for maker in makers(settings) if maker.name == STREAMING]
    return {maker.name: long_film(maker.make, _encode, scenes, settings.size) for maker in streams}


PARTS = {
    "vae": vae_rows,
    "camera": camera_rows,
    "sharpness": sharpness_rows,
    "paths": path_rows,
    "words": word_rows,
    "long": long_rows,
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
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value
