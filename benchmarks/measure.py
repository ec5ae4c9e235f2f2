"""How long one side of a comparison takes, how much memory it needs, and whether both sides compute the same.

Time is CPU seconds of this process on one thread, because the machine may be shared, or wall seconds around a
synchronised GPU. Peak memory of a CPU case is taken in a process of its own (apart.py).
"""

from __future__ import annotations

import gc
import importlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from .apart import MIB, call_apart, peak_mib, start_peak, tells_memory
from .ceilings import Ceilings, Work, ceilings, count_flops
from .devices import CPU, GPU, clock, free

SIDES = ("theirs", "ours")
MOST = 15  # repeats; between that and the least as many as fit into
SECONDS = {CPU: 8.0, GPU: 2.0}
LEAST = {CPU: 3, GPU: 2}
TICK = 0.02  # seconds: shorter runs of a GPU are timed several at once, so that it need not wait for the next
ALIKE = 1e-3  # relative RMS between the sides above which a row is refused; float32 rows are near 1e-6
GPU_ALIKE = 5e-2  # bfloat16, and the recurrence of one side in float32


@dataclass(frozen=True)
class Pair:
    """The same work done by both sides on the same inputs; both results have one layout.

    work: of ours, where its matrix products cannot be counted as they run. is_comparable: whether both compute the same.
    end: stops what would keep the models alive.
    """

    theirs: Callable[[], Tensor]
    ours: Callable[[], Tensor]
    work: Callable[[], Work] | None = None
    is_comparable: bool = True
    end: Callable[[], None] = lambda: None

    def close(self) -> None:
        self.end()


@dataclass(frozen=True)
class Case:
    """A function of this package, named "module.function", and the keywords for which it makes a Pair."""

    build: str
    settings: dict

    def pair(self) -> Pair:
        module, function = self.build.split(".")
        return getattr(importlib.import_module(f"benchmarks.{module}"), function)(**self.settings)

    @property
    def device(self) -> str:
        return self.settings.get("device", CPU)

    @property
    def on_gpu(self) -> bool:
        return self.device != CPU

    @property
    def ceilings(self) -> Ceilings:
        return ceilings(self.device, self.settings.get("dtype", "float32"))


@dataclass(frozen=True)
class Times:
    """Median seconds of each side, and the RMS of the difference of their results over the RMS of theirs.

    work: of one run of ours. peaks: MiB that a run of each side needs beside its inputs and weights, None on a CPU.
    """

    theirs: float
    ours: float
    difference: float | None
    work: Work
    peaks: tuple[float | None, float | None] = (None, None)

    @property
    def tflops(self) -> float:
        return self.work.flops / self.ours / 1e12


def alternate(case: Case) -> Times:
    """Time both sides in turn after a round that only compares them. On a GPU a case is measured once, however often asked for."""
    return _kept(case.build, json.dumps(case.settings)) if case.on_gpu else _alternated(case)


@cache
def _kept(build: str, settings: str) -> Times:
    return _alternated(Case(build, json.loads(settings)))


@torch.no_grad()
def _alternated(case: Case) -> Times:
    free()
    now = clock(case.device)
    with closing(case.pair()) as pair:
        difference = relative_rms(pair.ours(), pair.theirs())  # kernels are generated in the first run
        once = {side: _once(getattr(pair, side), case.device) for side in SIDES}
        first = {side: took for side, (took, _) in once.items()}
        calls = {side: max(1, int(TICK / first[side])) if case.on_gpu else 1 for side in SIDES}
        whole = sum(calls[side] * first[side] for side in SIDES)
        seconds = {side: [first[side]] if calls[side] == 1 else [] for side in SIDES}
        for i in range(1, max(LEAST[case.device], min(MOST, int(SECONDS[case.device] / whole)))):
            for side in SIDES if i % 2 == 0 else SIDES[::-1]:
                seconds[side].append(_seconds(getattr(pair, side), now, calls[side]))
        work = pair.work() if pair.work else Work(count_flops(pair.ours))
    peaks = tuple(peak for _, peak in once.values())
    return Times(*(median(seconds[side]) for side in SIDES), difference if pair.is_comparable else None, work, peaks)


@torch.no_grad()
def share_alone(case: Case) -> tuple[float, str]:
    """Part of the roof that ours reaches by itself, and how it was timed.

    On a GPU its kernels are recorded once and played again, so that they wait for each other and not for Python.
    """
    free()
    now, told = clock(case.device), ""
    with closing(case.pair()) as pair:
        run = pair.ours
        run()
        if case.on_gpu:
            run, told = _recorded(run), "kernels recorded once and played; "
        first = _seconds(run, now)
        calls = max(1, int(TICK / first)) if case.on_gpu else 1
        took = median(_seconds(run, now, calls) for _ in range(LEAST[case.device] + 3))
        work = pair.work() if pair.work else Work(count_flops(pair.ours))
    tflops = work.flops / took / 1e12
    return case.ceilings.roof(work) / took, f"{told}{1e3 * took:.3g} ms, {tflops:.3g} TFLOP/s; roofs {case.ceilings}"


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
    free()
    with closing(case.pair()) as pair:
        run = getattr(pair, side)
        run()
        return _once(run, case.device)[1]


def _once(run: Callable[[], Tensor], device: str) -> tuple[float, float | None]:
    """Seconds of a call, and on a GPU the MiB that it needs beside what is there."""
    now = clock(device)
    if device == CPU:
        return _seconds(run, now), None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    took = _seconds(run, now)
    return took, (torch.cuda.max_memory_allocated() - before) / MIB


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


def _seconds(run: Callable[[], object], now: Callable[[], float], calls: int = 1) -> float:
    """Of one call."""
    start = now()
    for _ in range(calls):
        run()
    return (now() - start) / calls


def _recorded(run: Callable[[], object]) -> Callable[[], None]:
    """The kernels of run() as a CUDA graph; RuntimeError where they cannot be recorded."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
