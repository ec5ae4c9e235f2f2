"""How long one side of a comparison takes, how much memory it needs, and whether both sides compute the same.

Time is CPU seconds of this process on one thread, because the machine may be shared, or wall seconds around a
synchronised GPU. Peak memory of a CPU case is taken in a process of its own: `python -m benchmarks.measure REQUEST SIDE`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("theirs", "ours")
MIB = 2**20
REPEATS = (3, 15)  # at least and at most; between them as many as fit into
SECONDS = 8
# glibc keeps freed blocks below its moving threshold for later; with this it returns them, and the peak is what lives
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


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
    repeats = max(least, min(most, int(SECONDS / (clock() - start))))
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
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(asdict(case)), side]
    environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"memory of {case.build} {side} could not be measured:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


@torch.no_grad()
def _cpu_extra_memory(case: Case, side: str) -> float:
    torch.set_num_threads(1)
    run = getattr(case.pair(), side)
    run()  # libraries load and kernels are generated in the first run
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # peak := now
    before = _status_mib("VmRSS")
    result = run()  # noqa: F841 (alive until the peak is read)
    return _status_mib("VmHWM") - before


def _status_mib(field: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field + ":"))
    return int(line.split()[1]) / 1024


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


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    print(_cpu_extra_memory(Case(**json.loads(sys.argv[1])), sys.argv[2]))
