"""Whether a film's chunks cost the same after ten minutes as at its beginning: CPU time and live memory of each chunk.

The machine may be shared, and its speed drifts by more than the difference that is looked for. So the last chunks of an
old film are made in turn with the first chunks of a young one, each film in a process of its own and each chunk several
times from the same session. What counts is the median of the ratios of chunks that were made one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev

import numpy as np

from .apart import ROOT, command, environment, resident_mib
from .toy_film import ToyFilm

WARM_UP = 5  # chunks; the window is full after two, the allocator has settled after five
COMPARED = 40  # chunks
GRID = (2, 3)  # so small that what does not scale with the picture, bookkeeping and files, is a large part of a chunk
MB_PER_MIB = 2**20 / 1e6


@dataclass(frozen=True)
class LongRun:
    """Late chunks against early ones. growth: live memory per chunk, MB, least squares, from WARM_UP to the compared ones."""

    in_turn: float  # CPU time of the last chunks of the old film / of chunks 5 to 45 of the young one
    in_turn_error: float  # standard error of in_turn
    in_one_run: float  # the same of the old film alone, minutes apart and made once: ratio of the medians
    growth: float
    chunk_s: float  # CPU seconds of a late chunk


@dataclass(frozen=True)
class Made:
    """What one chunk took, and how much memory its process had after it, MiB."""

    cpu_s: float
    resident: float


def measure(chunks: int, repeats: int) -> LongRun:
    """LongRun of a film of `chunks` chunks; more than 2 * COMPARED + WARM_UP. Each compared chunk is made `repeats` times."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _Film(Path(folder, "old"), chunks) as old,
        _Film(Path(folder, "young"), chunks) as young,
    ):
        young.make(WARM_UP)
        old.make(chunks - COMPARED)
        ratios = [ratio for _ in range(COMPARED) for ratio in _in_turn(old, young, repeats)]
    seconds = [chunk.cpu_s for chunk in old.made]
    return LongRun(
        in_turn=median(ratios),
        in_turn_error=1.25 * stdev(ratios) / len(ratios) ** 0.5,  # of the median of a normal distribution
        in_one_run=median(seconds[-COMPARED:]) / median(seconds[WARM_UP : WARM_UP + COMPARED]),
        growth=slope([chunk.resident for chunk in old.made[WARM_UP:-COMPARED]]) * MB_PER_MIB,
        chunk_s=median(seconds),
    )


def slope(values: list[float]) -> float:
    """By how much the values rise from one to the next: least squares."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0])


def _in_turn(old: _Film, young: _Film, repeats: int) -> list[float]:
    """Old film's CPU time over the young one's for the next chunk of each, `repeats` times; who begins changes."""
    ratios = []
    for i in range(repeats):
        films = (old, young) if i % 2 else (young, old)
        took = {film: film.make(1, stays=i + 1 < repeats)[0].cpu_s for film in films}
        ratios.append(took[old] / took[young])
    return ratios


class _Film:
    """A film that another process makes, so many chunks at a time as it is told. made: the first time of each chunk."""

    def __init__(self, folder: Path, chunks: int) -> None:
        self.made: list[Made] = []
        self._makes_again = False
        settings = {"folder": str(folder), "chunks": chunks}
        options = {"cwd": ROOT, "env": environment(), "text": True}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command("long_run.make_as_told", settings), **options, **pipes)

    def make(self, chunks: int, *, stays: bool = False) -> list[Made]:
        """Make the next chunks in one run; `stays`: they will be made again."""
        print(json.dumps([chunks, stays]), file=self._process.stdin, flush=True)
        lines = [self._process.stdout.readline() for _ in range(chunks)]
        if not lines[-1]:
            raise RuntimeError("the film broke off; its error is above")
        made = [Made(*json.loads(line)) for line in lines]
        if not self._makes_again:
            self.made += made
        self._makes_again = stays
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()  # it has runs that were not ended, and would write the end of each
        self._process.communicate()


def make_as_told(folder: str, chunks: int) -> None:
    """The other process: reads [chunks, stays] and writes a Made for each chunk, until it is killed.

    No run is ended, as the end of a run writes what a chunk in its middle does not, and the next chunk would pay for that.
    """
    film, runs = ToyFilm(GRID, chunks, Path(folder)), []
    for line in sys.stdin:
        count, stays = json.loads(line)
        runs.append(film.make(count))
        session = film.session
        for _ in range(count):
            start = time.process_time()
            session = next(runs[-1])
            took = time.process_time() - start
            print(json.dumps([took, resident_mib()]), flush=True)
        if not stays:
            film.session = session
