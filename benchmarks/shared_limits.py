"""Rows of limits that are asked for on a CPU, with small models, and on a GPU, with the released sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from .ceilings import Ceilings
from .devices import is_there, unit
from .measure import Case, extra_memory
from .rolling import Rolling
from .rows import Figure, Limit
from .stage_meter import NAMES

VECTORS = (21, 41)  # latent frames between which the slope of the activations is taken

Found = Mapping[str, tuple[float | None, str]]  # by what a row says: what was measured, and what is beside it


def activation_slope(name: str, case: Case, *, width: int, itemsize: int) -> Iterator[Limit]:
    """How much one more token takes, counted in vectors of the model's width; case: of VECTORS[1] frames."""
    row = Limit(f"{name}, activations of a token ({VECTORS[0]} -> {VECTORS[1]} frames)", "vectors", 20)

    def measure() -> Found:
        fewer = Case(case.build, {**case.settings, "frames": VECTORS[0]})
        many, few = (extra_memory(c, "ours") for c in (case, fewer))
        if many is None:
            return {}
        grid = case.settings["grid"]
        tokens = grid[0] * grid[1] * (VECTORS[1] - VECTORS[0])
        return {row.what: ((many - few) * 2**20 / (tokens * width * itemsize), f"{few:.4g} -> {many:.4g} MiB")}

    yield from filled([row], measure, case.device)


def stage_rows(name: str, device: str) -> list[Limit]:
    """A row for each stage of a chunk of a film."""
    return [Figure(f"{name}, a chunk in {stage}", unit(device)) for stage in NAMES]


def stage_figures(rows: list[Limit], made: Rolling, roofs: Ceilings) -> Found:
    """What stage_rows say of a film."""
    found = {}
    for row, stage in zip(rows, NAMES):
        if stage in made.stages:
            seconds, flops = made.stages[stage]
            rate, share = flops / seconds / 1e12, flops / roofs.flops / seconds
            found[row.what] = seconds, f"{flops / 1e12:.3g} TFLOP, {rate:.3g} TFLOP/s, {share:.0%} of the roof"
    return found


def filled(rows: list[Limit], measure: Callable[[], Found], device: str) -> Iterator[Limit]:
    """The rows with what measure() finds; as they are where the device is not there, or with the reason if it fails."""
    if not is_there(device):
        yield from rows
        return
    try:
        found = measure()
    except Exception as error:  # of whatever kind: a card may be too small for one group and not for the next
        yield from (replace(row, beside=f"{type(error).__name__}: {error}".splitlines()[0]) for row in rows)
        raise
    for row in rows:
        value, beside = found.get(row.what, (None, ""))
        yield replace(row, measured=value, beside=beside)
