"""What a film takes: seconds of a chunk and of each of its stages, memory, and whether late chunks cost more than early ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from statistics import median

import torch

from wm_core.rollout import RolloutEvent, eight_bit, run, run_overlapped

from .devices import CPU, clock, free, watch
from .film import SIZES, Film, Size
from .long_run import COMPARED, MB_PER_MIB, WARM_UP, slope
from .stage_meter import NAMES, Measure, count, metered, timing

WINDOW = 5  # chunks after which the windows of stage 1 and of the refiner are full


@dataclass(frozen=True)
class Rolling:
    """What rolling takes once the windows are full. Seconds of a chunk and to the first frames, the first time and when the
    kernels are there; seconds and operations of each stage of a chunk, one after another. peak: GB on a GPU, with the weights.
    speed: of the film against the clock; encoder: GB of the VAE's encoder, which lies idle."""

    chunk_s: float
    speed: float
    cold_s: float
    first_s: float
    stages: dict[str, tuple[float, float]]
    peak: float | None
    encoder: float


def roll(
    size: str, device: str, dtype: str, *, refined: bool = True, fp8: bool = False, chunks: int = 20, apart: int = 3
) -> Rolling:
    """Measure. chunks: of the film whose stages overlap as on a card that has room for it, more than WINDOW + 2; apart: of the
    one in which each stage is timed, behind a full window."""
    free()
    before = _allocated(device)
    film, now = Film(SIZES[size], device, dtype, refined=refined, fp8=fp8), watch(device)
    free()
    if device != CPU:
        torch.cuda.reset_peak_memory_stats()
    cold, first = (_until_first(film, now) for _ in range(2))
    stamps = [now() for _ in _shown(film, chunks)]
    steady = stamps[WINDOW:-2]  # the last two have the device for themselves
    chunk_s = (steady[-1] - steady[0]) / (len(steady) - 1)
    peak = None if device == CPU else (torch.cuda.max_memory_allocated() - before) / 1e9
    free()
    seconds = metered_chunks(film, WINDOW + apart, timing(clock(device)), after=WINDOW)
    flops = chunk_flops(size)
    took = {name: median(chunk[name] for chunk in seconds) for name in NAMES}
    encoder = sum(p.nbytes for p in film.vae.encoder.parameters()) / 1e9
    stages = {name: (took[name], flops[name]) for name in NAMES if refined or name != NAMES[1]}
    return Rolling(chunk_s, film.seconds_of_a_chunk / chunk_s, cold, first, stages, peak, encoder)


@cache
def chunk_flops(size: str) -> dict[str, float]:
    """Operations of each stage of a chunk behind full windows, in the torch form: by models without numbers.

    Blocks repeat: they are counted once without those that do, and once with.
    """
    whole = SIZES[size]
    period = whole.world.softmax_every_n
    few, more = (_thin_flops(whole, world, refiner) for world, refiner in ((0, 1), (period, 2)))
    times = {NAMES[0]: whole.world.depth / period, NAMES[1]: whole.refiner.depth - 1, NAMES[2]: 1}
    return {name: few[name] + (more[name] - few[name]) * times[name] for name in NAMES}


def _thin_flops(size: Size, world: int, refiner: int) -> dict[str, float]:
    """The same with so many blocks of each."""
    thin = replace(size, world=replace(size.world, depth=world), refiner=replace(size.refiner, depth=refiner))
    return metered_chunks(Film(thin, "meta", "bfloat16"), WINDOW + 1, count, after=WINDOW)[0]


def metered_chunks(film: Film, chunks: int, measure: Measure, *, after: int) -> list[dict[str, float]]:
    """An amount for each stage and chunk behind the first `after`, which only fill the windows: in one step.

    The stages work one after another.
    """
    plan, session, made = film.plan(chunks), film.session(), []
    recipe = session.recipe
    session = replace(session, recipe=replace(recipe, sigmas=(recipe.sigmas[0], recipe.sigmas[-1])))
    for event in run(film.stages, replace(plan, chunks=after), session):
        session = replace(event.session, recipe=recipe)
    amounts = dict.fromkeys(NAMES, 0.0)
    for _ in run(metered(film.stages, amounts, measure), plan, session):
        made.append(dict(amounts))
        amounts.update(dict.fromkeys(NAMES, 0.0))
    return made


@dataclass(frozen=True)
class Long:
    """Late chunks of a film against early ones. growth: MB a chunk on a GPU, without the finished latents, which stay."""

    ratio: float
    growth: float | None
    chunk_s: float


def roll_long(size: str, device: str, dtype: str, *, chunks: int = 400, compared: int = COMPARED) -> Long:
    """A film whose stages work one after another: the last `compared` chunks against as many behind the first WARM_UP."""
    free()
    film, now = Film(SIZES[size], device, dtype), watch(device)
    stamps, held = [now()], []
    for event in run(film.stages, film.plan(chunks), film.session()):
        eight_bit(event.pixels)
        stamps.append(now())
        finished = event.session.latents.nbytes + event.session.refined.nbytes
        held.append((_allocated(device) - finished) / 2**20)
    if not event.session.refined.isfinite().all():
        raise RuntimeError("the film has numbers that are none, which a device may multiply faster")
    took = [b - a for a, b in pairwise(stamps)]
    early, late = took[WARM_UP : WARM_UP + compared], took[-compared:]
    growth = None if device == CPU else slope(held[WARM_UP:]) * MB_PER_MIB
    return Long(median(late) / median(early), growth, median(took))


def _shown(film: Film, chunks: int) -> Iterator[RolloutEvent]:
    """The chunks of a film, each once its frames are in the computer's memory."""
    for event in run_overlapped(film.stages, film.plan(chunks), film.session()):
        eight_bit(event.pixels)
        yield event


def _until_first(film: Film, now: Callable[[], float]) -> float:
    """Seconds until the first chunk of a new film is shown."""
    start = now()
    with closing(_shown(film, 3)) as shown:
        next(shown)
        took = now() - start
    free()
    return took


def _allocated(device: str) -> int:
    return 0 if device == CPU else torch.cuda.memory_allocated()
