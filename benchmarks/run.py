"""Prints two tables, ratios against others' code and limits of ours, and writes them to benchmarks/results-<device>.json.

    python -m benchmarks.run [--quick] [--gpu] [--only NAME ...]

--quick takes the smaller half of the CPU cases; --gpu takes full-size cases in bfloat16 instead, which need a CUDA device.
NAME is one of the tables in the file. What was left out stays there as it was, with its own date and commit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # `python benchmarks/run.py` has only this file's folder

from benchmarks.card_limits import GPU_LIMITS
from benchmarks.ceilings import ceilings
from benchmarks.comparisons import COMPARISONS, GPU_COMPARISONS, ON_GPU
from benchmarks.devices import CPU, GPU, is_there, slug, surroundings, version
from benchmarks.limits import LIMITS
from benchmarks.questions import answers
from benchmarks.rows import COMPARISON_HEAD, LIMIT_HEAD, NOT_MEASURED, Limit, Row

DIFFUSERS = "0.42.1"
DTYPE = {CPU: "float32", GPU: ON_GPU["dtype"]}  # that a device's ceilings are told of


def results_file(device: str) -> Path:
    return ROOT / "benchmarks" / f"results-{slug(device)}.json"


def measured(rows: Iterable[Row] | Iterable[Limit], about: dict[str, str], refusals: list[str]) -> dict:
    """Print the rows as they are measured; returns what the file keeps of them. A row that fails is the last of its table."""
    kept = []
    try:
        for row in rows:
            print(row, flush=True)
            kept.append(row.record())
    except Exception as error:  # noqa: BLE001 (of whatever kind: the other tables can be measured)
        refusals.append(f"{type(error).__name__}: {error}")
        print(refusals[-1], file=sys.stderr, flush=True)
    return {"about": about, "rows": kept}


def keep(file: Path, name: str, table: dict) -> None:
    """Put the rows of one name into the file; the others stay. Where nothing was measured nothing changes."""
    if all(row["reached"] == NOT_MEASURED for row in table["rows"]):
        return
    tables = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(tables | {name: table}, indent=1) + "\n")


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    found = version("diffusers")
    if found != DIFFUSERS:
        print(f"The comparison is with diffusers {DIFFUSERS}, found {found}: pip install diffusers=={DIFFUSERS}")
        return 1
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it warns whenever a model is moved
    torch.set_num_threads(1)
    names = options.only or [
        *(GPU_COMPARISONS if options.gpu else COMPARISONS),
        *(GPU_LIMITS if options.gpu else LIMITS),
    ]
    refusals: list[str] = []
    for device in (CPU, GPU):
        mine = [name for name in names if (name in GPU_COMPARISONS or name in GPU_LIMITS) == (device == GPU)]
        if mine:
            _measure(device, mine, options.quick, refusals)
    return 1 if refusals else 0


def _measure(device: str, names: list[str], quick: bool, refusals: list[str]) -> None:
    """The tables of one device, comparisons first."""
    about = _about(device, quick) if is_there(device) else {}
    print("   ".join(f"{key} {value}" for key, value in about.items()) or "There is no CUDA device here.", flush=True)
    comparisons, limits = (COMPARISONS, LIMITS) if device == CPU else (GPU_COMPARISONS, GPU_LIMITS)
    tables: dict[str, Callable[[], Iterable]] = {}
    for name in (x for x in comparisons if x in names):
        questions = [q for q in comparisons[name]() if q.quick or not quick or device == GPU]
        tables[name] = partial(answers, questions, refusals)
    for name in (x for x in limits if x in names):
        tables[name] = partial(limits[name], quick) if device == CPU else limits[name]
    heads = {COMPARISON_HEAD: comparisons, LIMIT_HEAD: limits}
    for head, kind in heads.items():
        for i, name in enumerate(x for x in tables if x in kind):
            print("" if i else "\n" + head, flush=True)
            table = measured(tables[name](), about, refusals)
            if about:
                keep(results_file(device), name, table)


def _about(device: str, quick: bool) -> dict[str, str]:
    cases = "quick" if quick and device == CPU else "all"
    return surroundings(device) | {"ceilings": f"{DTYPE[device]} {ceilings(device, DTYPE[device])}", "cases": cases}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller half of the CPU cases")
    parser.add_argument("--gpu", action="store_true", help="full-size cases on a CUDA device instead")
    every = (*COMPARISONS, *LIMITS, *GPU_COMPARISONS, *GPU_LIMITS)
    parser.add_argument("--only", choices=every, nargs="+", metavar="NAME", help=f"only these: {', '.join(every)}")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
