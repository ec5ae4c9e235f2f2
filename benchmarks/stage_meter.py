"""What each stage of a rollout takes: seconds, or operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from torch.utils.flop_counter import FlopCounterMode

from wm_core.rollout import Stages

from .ceilings import UNCOUNTED

NAMES = ("stage 1", "the refiner", "the VAE")

T = TypeVar("T")
Measure = Callable[[Callable[[], T]], tuple[T, float]]  # what a piece of work gives, and what it took


def metered(stages: Stages, amounts: dict[str, float], measure: Measure) -> Stages:
    """The same stages, whose every call adds what it took to the amount under its name."""

    def watched(name: str, work: Callable[..., T]) -> Callable[..., T]:
        def call(*args, **options) -> T:
            result, amount = measure(lambda: work(*args, **options))
            amounts[name] += amount
            return result

        return call

    first, second, third = NAMES
    refine = stages.refine
    if refine is not None:
        forward, keys = (watched(second, work) for work in (refine.forward, refine.prompt_keys))
        refine = replace(refine, forward=forward, prompt_keys=keys)
    return replace(
        stages, velocity=watched(first, stages.velocity), refine=refine, decode=watched(third, stages.decode)
    )


def timing(now: Callable[[], float]) -> Measure:
    """Seconds of a clock that waits for the device."""

    def measure(work: Callable[[], T]) -> tuple[T, float]:
        start = now()
        result = work()
        return result, now() - start

    return measure


def count(work: Callable[[], T]) -> tuple[T, float]:
    """Operations, see ceilings.count_flops."""
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        result = work()
    return result, counter.get_total_flops()
