"""A function of this package called in a process of its own, so that its memory can be told from everything else.

    python -m benchmarks.apart MODULE.FUNCTION SETTINGS

prints the JSON of what the function returns for the keywords SETTINGS, a JSON object. One thread.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# glibc keeps freed blocks below its moving threshold for later; with this it returns them, and the peak is what lives
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
MIB = 2**20


def command(function: str, settings: dict) -> list[str]:
    return [sys.executable, "-m", "benchmarks.apart", function, json.dumps(settings)]


def environment(frees_at_once: bool = True) -> dict[str, str]:
    """Of the other process. frees_at_once: its memory is what lives; otherwise what a user's process would take."""
    return {**os.environ, **ONE_THREAD, **(ALLOCATOR if frees_at_once else {})}


def call_apart(function: str, settings: dict, *, frees_at_once: bool = True) -> Any:
    """What "module.function" of this package returns for the keywords; RuntimeError with its output if it fails."""
    options = {"cwd": ROOT, "env": environment(frees_at_once), "capture_output": True, "text": True}
    done = subprocess.run(command(function, settings), check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{function}({settings}) failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def tells_memory() -> bool:
    """Whether this system says how much memory a process has."""
    return Path("/proc/self/clear_refs").exists()


def resident_mib() -> float:
    """Memory of this process now."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """The most memory that this process had since start_peak, or since it began."""
    return _status_mib("VmHWM")


def start_peak() -> float:
    """Return freed memory, make the peak what is resident now, and say how much that is, MiB."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident_mib()


class PrivatePeak:
    """The most private memory, files that are mapped not counted, that this process had while the block ran, asked for every
    millisecond. added: MiB above what it had at the start."""

    def __enter__(self):
        self._start = self._most = private_mib()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_over.set()
        self._thread.join()
        self.added = max(self._most, private_mib()) - self._start

    def _watch(self) -> None:
        while not self._is_over.wait(0.001):
            self._most = max(self._most, private_mib())


def private_mib() -> float:
    """Memory of this process now that no file stands behind."""
    return _status_mib("RssAnon")


def _status_mib(field: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def _call(function: str, settings: str) -> Any:
    import torch

    torch.set_num_threads(1)
    module, name = function.split(".")
    return getattr(importlib.import_module(f"benchmarks.{module}"), name)(**json.loads(settings))


if __name__ == "__main__":
    print(json.dumps(_call(*sys.argv[1:])))
