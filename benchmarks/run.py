"""Prints two tables, ratios against diffusers and limits of rolling generation, and writes them to benchmarks/results.json.

    python -m benchmarks.run [--quick] [--gpu] [--only NAME]

--quick takes the smaller half of the CPU cases; --gpu adds full-size cases in bfloat16, which need a CUDA device. NAME is one
of the tables in results.json. What was left out stays there as it was, with its own date and commit.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # `python benchmarks/run.py` has only this file's folder

from benchmarks.limits import LIMITS
from benchmarks.measure import ALIKE, GPU_ALIKE, SIDES, Case, alternate, extra_memory
from benchmarks.rows import COMPARISON_HEAD, LIMIT_HEAD, Limit, Row

DIFFUSERS = "0.42.1"
RESULTS = ROOT / "benchmarks" / "results.json"


@dataclass(frozen=True)
class Question:
    """A case, what is asked of it and the ratio that is wanted."""

    what: str
    kind: str  # time, memory, or slope: memory against the same case with fewer frames
    goal: float
    case: Case
    fewer_frames: int = 0
    quick: bool = False


def dit(grid: tuple[int, int], frames: int, **settings) -> Case:
    return Case("dit.forward", {"grid": grid, "frames": frames, **settings})


def cpu_questions() -> Iterator[Question]:
    for branch in ("main", "camera"):
        for frames, quick in ((11, True), (31, False)):
            case, what = Case(f"gdn.{branch}_branch", {"frames": frames}), f"GDN {branch}, 880 x {frames} tokens"
            yield Question(what, "time", 2.0, case, quick=quick)
        yield Question(f"{what}, extra memory", "memory", 5.0, case, quick=True)
    shapes = (((6, 10), 5), ((6, 10), 11), ((6, 10), 21), ((6, 10), 41), ((11, 20), 11), ((11, 20), 21))
    for grid, frames in shapes:
        tokens = grid[0] * grid[1] * frames
        goal, quick = 1.5 if tokens <= 700 else 1.15, tokens < 2000 and frames != 21
        yield Question(
            f"DiT, {grid[0]} x {grid[1]} x {frames} = {tokens} tokens", "time", goal, dit(grid, frames), quick=quick
        )
    yield Question("DiT, 11 x 20, extra memory per 20 frames (21 -> 41)", "slope", 2.5, dit((11, 20), 41), 21)
    for frames in (3, 9, 17):
        case = Case("vae.decode", {"grid": (5, 8), "frames": frames})
        yield Question(f"VAE decode, 5 x 8 x {frames} latents", "time", 1.0, case, quick=frames == 3)


def gpu_questions() -> Iterator[Question]:
    gpu = {"device": "cuda", "dtype": "bfloat16"}
    for branch in ("main", "camera"):
        case = Case(f"gdn.{branch}_branch", {"frames": 31, "heads": 20, **gpu})
        yield Question(f"GPU GDN {branch}, 880 x 31 tokens, 20 heads", "time", 2.0, case)
        yield Question(f"GPU GDN {branch}, extra memory", "memory", 5.0, case)
    for frames in (3, 21):
        case = dit((22, 40), frames, depth=20, heads=20, **gpu)
        yield Question(f"GPU DiT, 22 x 40 x {frames} tokens, 20 blocks", "time", 2.0, case)
    yield Question("GPU DiT, extra memory", "memory", 2.5, case)
    case = Case("vae.decode", {"grid": (22, 40), "frames": 4, "thinner": 1, **gpu})
    yield Question("GPU VAE decode, 22 x 40 x 4 latents", "time", 1.0, case)


def refiner_questions() -> Iterator[Question]:
    sizes = {"toy": ("1024", 1.3, True), "toy, short text": ("64", 1.0, False)}
    for size, (text, goal, quick) in sizes.items():
        what = f"refiner block, 6 x 10 x 3 tokens, {text} of text"
        yield Question(what, "time", goal, Case("refiner.block", {"size": size}), quick=quick)
    yield Question("refiner block, extra memory", "memory", 1.0, Case("refiner.block", {"size": "toy"}), quick=True)
    what = "refiner keys of the text: in each pass of a block / once"
    yield Question(what, "time", 1.0, Case("refiner.prompt_keys", {"size": "toy"}), quick=True)


def refiner_gpu_questions() -> Iterator[Question]:
    gpu = {"size": "released", "device": "cuda", "dtype": "bfloat16"}
    case, what = Case("refiner.block", gpu), "GPU refiner block, 22 x 40 x 3 tokens, 48 layers"
    yield Question(what, "time", 1.5, case)
    yield Question("GPU refiner block, extra memory", "memory", 1.0, case)
    yield Question("GPU refiner block, in 4 passes / in 3", "time", 1.0, Case("refiner.merging", gpu))
    # 3 x 23.6 GB come over for a block: at 50 GB/s 1.4 s, beside 0.46 s of computing at the least
    case = Case("refiner.swapping", {"resident": 4, **gpu})
    yield Question("GPU refiner block, 48 layers / 4 layers on the card", "time", 0.3, case)


COMPARISONS = {"diffusers": cpu_questions, "refiner": refiner_questions}
GPU_COMPARISONS = {"diffusers_gpu": gpu_questions, "refiner_gpu": refiner_gpu_questions}


def answer(question: Question) -> Row:
    """Measure; RuntimeError when the sides do not compute the same."""
    case, on_gpu = question.case, question.case.on_gpu
    unit = _unit(question)
    row = Row(question.what, unit, question.goal)
    if on_gpu and not torch.cuda.is_available():
        return row
    if question.kind == "time":
        times = alternate(case)
        if not times.difference <= (GPU_ALIKE if on_gpu else ALIKE):
            raise RuntimeError(f"the results differ by {times.difference:.1e}, the times mean nothing")
        return Row(row.what, unit, row.goal, times.theirs, times.ours, times.difference)
    amounts = [extra_memory(case, side) for side in SIDES]
    if question.kind == "slope" and None not in amounts:
        fewer = Case(case.build, {**case.settings, "frames": question.fewer_frames})
        amounts = [amount - extra_memory(fewer, side) for amount, side in zip(amounts, SIDES)]
    return Row(row.what, unit, row.goal, *amounts)


def answers(questions: Iterable[Question], refusals: list[str]) -> Iterator[Row]:
    """A row for each; where a side fails or both differ it is not measured, and the reason goes to `refusals`."""
    for question in questions:
        try:
            yield answer(question)
        except RuntimeError as error:
            refusals.append(f"{question.what}: {error}")
            print(refusals[-1], file=sys.stderr, flush=True)
            yield Row(question.what, _unit(question), question.goal)


def _unit(question: Question) -> str:
    return "MiB" if question.kind != "time" else "s" if question.case.on_gpu else "CPU s"


def surroundings(gpu: bool) -> dict[str, str]:
    """What a figure depends on: device, date, versions, commit."""
    device = _cpu_name()
    if gpu and torch.cuda.is_available():
        device += f" and {torch.cuda.get_device_name()}"
    options = {"cwd": ROOT, "capture_output": True, "text": True}
    git = lambda *words: subprocess.run(["git", *words], check=False, **options).stdout.strip()
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return {
        "device": device,
        "threads": "1",
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "torch": torch.__version__,
        "diffusers": importlib.metadata.version("diffusers"),
        "commit": commit + (" + changes" if git("status", "--porcelain") else ""),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def measured(rows: Iterable[Row] | Iterable[Limit], about: dict[str, str]) -> dict:
    """Print the rows as they are measured; returns what results.json keeps of them."""
    kept = []
    for row in rows:
        print(row, flush=True)
        kept.append(row.record())
    return {"about": about, "rows": kept}


def keep(name: str, table: dict) -> None:
    """Put the rows of one name into results.json; the others stay. Where nothing was measured nothing changes."""
    if all(row["reached"] == "not measured" for row in table["rows"]):
        return
    tables = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(tables | {name: table}, indent=1) + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller half of the CPU cases")
    parser.add_argument("--gpu", action="store_true", help="also full-size cases on a CUDA device")
    parser.add_argument("--only", choices=(*COMPARISONS, *GPU_COMPARISONS, *LIMITS), help="only these rows")
    options = parser.parse_args(arguments)
    try:
        found = importlib.metadata.version("diffusers")
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found != DIFFUSERS:
        print(f"The comparison is with diffusers {DIFFUSERS}, found {found}: pip install diffusers=={DIFFUSERS}")
        return 1
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it warns whenever a model is moved
    torch.set_num_threads(1)
    wanted = (*COMPARISONS, *LIMITS) if options.only is None else (options.only,)
    if options.gpu:
        wanted += tuple(name for name in GPU_COMPARISONS if name.removesuffix("_gpu") in wanted)
    about = surroundings(False) | {"cases": "quick" if options.quick else "all"}
    about_gpu = surroundings(True) | {"cases": "all"}
    print(
        "   ".join(f"{key} {value}" for key, value in (about_gpu if {*wanted} & {*GPU_COMPARISONS} else about).items())
    )
    refusals: list[str] = []
    comparisons = COMPARISONS | GPU_COMPARISONS
    for i, name in enumerate(x for x in comparisons if x in wanted):
        gpu = name in GPU_COMPARISONS
        questions = [q for q in comparisons[name]() if q.quick or gpu or not options.quick]
        print("" if i else "\n" + COMPARISON_HEAD)
        keep(name, measured(answers(questions, refusals), about_gpu if gpu else about))
    for i, name in enumerate(x for x in LIMITS if x in wanted):
        print("" if i else "\n" + LIMIT_HEAD, flush=True)
        keep(name, measured(LIMITS[name](options.quick), about))
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
