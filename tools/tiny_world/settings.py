"""config.json as records: everything that a training run depends on beside the code and the wall clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from wm_core.config import DiTConfig, RefinerConfig, RefinerRecipe, VAEConfig, find_reference
from wm_core.shapes import Stride

CONFIG = Path(__file__).with_name("config.json")
T = TypeVar("T")


@dataclass(frozen=True)
class Rates:
    """Learning rates at the start; `hold` is the share of the time before they fall (cosine) to next to nothing."""

    muon: float
    adam: float
    hold: float


@dataclass(frozen=True)
class VAESettings(Rates):
    model: VAEConfig
    clips: int  # that are kept rendered
    clip_frames: int
    batch: int  # crops of 9 frames a step
    kl: float
    edge: float  # weight of the loss on differences between neighbouring pixels
    latent_noise: float  # up to this many standard deviations are added to the latents in training


@dataclass(frozen=True)
class DecoderSettings(Rates):
    latent_noise: float


@dataclass(frozen=True)
class FlowSettings(Rates):
    """How a world model learns the flow."""

    batch: int  # clips of the full length a step
    without_picture: float  # share of the clips that start from words alone
    average: float  # decay of the running average of the weights, which is what is exported
    short: float  # share of the time in which only the first `short_latents` latent frames are shown


@dataclass(frozen=True)
class StudentSettings(Rates):
    """How the streaming student learns."""

    clips: tuple[str, ...]  # the sets of encoded clips, in turn
    batch: int
    average: float


@dataclass(frozen=True)
class RefinerSettings(Rates):
    """The second stage and the recipe that it is trained and used with."""

    model: RefinerConfig
    recipe: RefinerRecipe
    batch: int
    average: float


@dataclass(frozen=True)
class WorldSettings(FlowSettings):
    model: DiTConfig
    shift: float  # of the noise levels, in training and in sampling


@dataclass(frozen=True)
class Settings:
    seed: int
    size: tuple[int, int]  # pixels (h, w)
    frames: int  # of a training clip
    short_latents: int
    vae: VAESettings
    decoder: DecoderSettings
    world: WorldSettings
    causal: FlowSettings
    student: StudentSettings
    refiner: RefinerSettings
    source: str = field(repr=False, default="")  # the text of the file, for the record


def load_settings(file: Path = CONFIG, *, text: str | None = None) -> Settings:
    """The settings of a file, or of its text; ValueError names a field that is missing or unknown."""
    text = file.read_text(encoding="utf-8") if text is None else text
    given = json.loads(text)
    parts = {
        "vae": _record(VAESettings, given["vae"] | {"model": _record(VAEConfig, given["vae"]["model"])}),
        "decoder": _record(DecoderSettings, given["decoder"]),
        "world": _record(WorldSettings, given["world"] | {"model": _world_model(given["world"]["model"])}),
        "causal": _record(FlowSettings, given["causal"]),
        "student": _record(StudentSettings, given["student"]),
        "refiner": _record(RefinerSettings, given["refiner"] | _refiner_parts(given["refiner"])),
    }
    return _record(Settings, given | parts | {"source": text})


def with_batch(settings: Settings, batch: int) -> Settings:
    """The same, but every stage takes so many clips a step; its source says so too."""
    given = json.loads(settings.source)
    for stage in ("vae", "world", "causal", "student", "refiner"):
        given[stage]["batch"] = batch
    return load_settings(text=json.dumps(given))


def _world_model(values: Mapping[str, Any]) -> DiTConfig:
    return _record(DiTConfig, values | {"reference": find_reference(values["reference"])})


def _refiner_parts(values: Mapping[str, Any]) -> dict[str, Any]:
    model = values["model"] | {"stride": Stride(*values["model"]["stride"])}
    return {"model": _record(RefinerConfig, model), "recipe": _record(RefinerRecipe, values["recipe"])}


def _record(kind: type[T], values: Mapping[str, Any]) -> T:
    """A record of that kind, its lists as tuples."""
    unknown = set(values) - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}; mend config.json")
    try:
        return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except TypeError as error:
        raise ValueError(f"{kind.__name__} of config.json: {error}") from error
