"""How long one side of a comparison takes, how much memory it needs, and whether both sides compute the same.

Time is CPU seconds of this process on one thread, because the machine may be shared, or wall seconds around a
synchronised GPU. Peak memory of a CPU case is taken in a process of its own (apart.py).
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from .apart import MIB, call_apart, peak_mib, start_peak, tells_memory

SIDES = ("theirs", "ours")
REPEATS = (3, 15)  # at least and at most; between them as many as fit into
SECONDS, GPU_SECONDS = 8, 2
ALIKE = 1e-3  # relative RMS between the sides above which a row is refused; float32 rows are near 1e-6
GPU_ALIKE = 5e-2  # bfloat16, and the recurrence of one side in float32


@dataclass(frozen=True)
class Pair:
    """The same work done by both sides on the same inputs; both results have one layout."""

    theirs: Callable[[], Tensor]
    ours: Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """A function of this package, named "module.function", and the keywords for which it makes a Pair."""

    build: str
    settings: dict

    def pair(self) -> Pair:
        module, function = self.build.split(".")
        return getattr(importlib.import_module(f"benchmarks.{module}"), function)(**self.settings)

    @property
    def on_gpu(self) -> bool:
        return self.settings.get("device") == "cuda"


@dataclass(frozen=True)
class Times:
    """Median seconds of each side, and the RMS of the difference of their results over the RMS of theirs."""

    theirs: float
    ours: float
    difference: float


@torch.no_grad()
def alternate(case: Case) -> Times:
    """Time both sides in turn after one round that only compares them."""
    pair = case.pair()
    clock = _gpu_clock if case.on_gpu else time.process_time
    start = clock()
    difference = relative_rms(pair.ours(), pair.theirs())
    least, most = REPEATS
    repeats = max(least, min(most, int((GPU_SECONDS if case.on_gpu else SECONDS) / (clock() - start))))
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for i in range(repeats):
        for side in SIDES if i % 2 == 0 else SIDES[::-1]:
            start = clock()
            getattr(pair, side)()
            seconds[side].append(clock() - start)
    return Times(*(median(seconds[side]) for side in SIDES), difference)


def relative_rms(got: Tensor, want: Tensor) -> float:
    got, want = got.double(), want.double()
    return ((got - want).square().mean() / want.square().mean()).sqrt().item()


def extra_memory(case: Case, side: str) -> float | None:
    """MiB by which one run of a side raises the peak above its inputs and weights; None where it cannot be told."""
    if case.on_gpu:
        return _gpu_extra_memory(case, side)
    return call_apart("measure.cpu_extra_memory", {"case": asdict(case), "side": side}) if tells_memory() else None


@torch.no_grad()
def cpu_extra_memory(case: dict, side: str) -> float:
    """extra_memory, in the process that is measured."""
    run = getattr(Case(**case).pair(), side)
    run()  # libraries load and kernels are generated in the first run
    before = start_peak()
    result = run()  # noqa: F841 (alive until the peak is read)
    return peak_mib() - before


@torch.no_grad()
def _gpu_extra_memory(case: Case, side: str) -> float:
    run = getattr(case.pair(), side)
    run()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = run()  # noqa: F841
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def allocator_peak(run: Callable[[], object]) -> int:
    """Most bytes that the CPU allocator had given out at once during run(), in the thread that calls."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
