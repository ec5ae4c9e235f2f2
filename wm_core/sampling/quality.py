"""Quality presets: how many steps, how many of them guided, and what is published about the price.

Dense figures: a public fork of the released code (branch wm-speed-opt, July 2026), the bidirectional model, 961 frames with
refiner and VAE, one H100; the rotation error is against the fork's own 60 steps. Its `--cfg_truncate_ratio 0.5` guides the
first ceil(0.5 * steps) steps. With 20 or 30 steps, or with 0.3, the rotation error rose by 22 to 44 %: no preset does that.
Streaming: SANA-WM (arXiv 2605.15178) fig. 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..config import RELEASED_SAMPLING
from ..errors import ConfigError
from .self_forcing import STUDENT_SIGMAS


@dataclass(frozen=True)
class Quality:
    """One preset. `steps` are those of the whole clip, of one chunk for a model that streams."""

    name: str
    variants: tuple[str, ...]  # of the models that it can be asked of
    steps: int
    guided: int  # leading steps that compute both branches of guidance
    published: str
    streams: bool = False  # the clip is made chunk by chunk

    def model_calls(self, cfg: float) -> int:
        """Calls of the model with one branch each, for the clip or for one chunk; guidance at cfg 1 costs none."""
        return self.steps + (self.guided if cfg != 1 else 0)


DENSE = ("bidirectional", "chunk-causal")
QUALITIES = {
    quality.name: quality
    for quality in (
        Quality(
            "full",
            DENSE,
            RELEASED_SAMPLING.steps,
            RELEASED_SAMPLING.steps,
            "Published for the released bidirectional model: 961 frames with the refiner in 920 s on one H100",
        ),
        Quality(
            "balanced",
            DENSE,
            40,
            20,
            "Published for the released bidirectional model: 961 frames with the refiner in 538 s instead of 920 s on one "
            "H100, 1.7 times faster, with 4.9 % more rotation error",
        ),
        Quality(
            "preview",
            ("streaming",),
            len(STUDENT_SIGMAS) - 1,
            0,
            "Published for the released streaming model: a minute of 720p without the refiner in 55 s on one H100; its "
            "rotation error is not published",
            streams=True,
        ),
    )
}


def lowest_guided(sigmas: Tensor, guided: int) -> float:
    """Noise level down to which the first `guided` steps of sigmas (steps + 1,) reach; 0 if they are all of them.

    It lies half-way to the next level: a level that a sampler rounds stays on its side, and of another number of released
    levels the same share is guided.
    """
    steps = len(sigmas) - 1
    if not 1 <= guided <= steps:
        raise ConfigError(f"guided must be from 1 to the {steps} steps, got {guided}")
    return 0.0 if guided == steps else sigmas[guided - 1 : guided + 1].mean().item()


def describe_cost(quality: Quality, cfg: float) -> str:
    """Two plain sentences: the model calls of a preset with that guidance, and its published effect."""
    guided = quality.guided if cfg != 1 else 0
    share = "all" if guided == quality.steps else f"the first {guided}" if guided else "none"
    steps, unit = f"{quality.steps} steps", ""
    if quality.streams:  # the clean pass of a chunk is part of the next one's first call
        unit = " for each chunk of 24 frames"
    calls = f"{quality.name}: {steps}, {share} guided: {quality.model_calls(cfg)} model calls{unit}."
    return f"{calls} {quality.published}; not measured here."
