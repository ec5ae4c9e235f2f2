"""The tables in README.md, from the files of results: no figure is copied by hand.

    python -m benchmarks.readme

writes what stands between the marks <!-- figures: NAME --> and <!-- end -->. NAME is a table of a results file; one of the GPU's
says "not measured" in each row as long as no card's file is there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from .apart import ROOT
from .card_limits import GPU_LIMITS
from .comparisons import GPU_COMPARISONS
from .devices import CPU
from .rows import NOT_MEASURED, SIGNS

README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMPARISON = ("what", "theirs", "ours", "ratio", "goal", "reached", "ours in TFLOP/s")
LIMIT = ("what", "measured", "goal", "reached", "beside it")
SPOKEN = ("device", "date", "torch", "diffusers", "triton", "commit")


def with_figures(text: str) -> str:
    """README's text with its tables as the files have them now."""
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)


def table(name: str) -> str:
    """One table in Markdown, and what it was measured with; KeyError for a name that no file and no list has."""
    rows, about = _measured(name) or (_unmeasured(name), {})
    head = COMPARISON if "theirs" in rows[0] else LIMIT
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(row, column) for column in head) + " |" for row in rows]
    spoken = ", ".join(f"{key} {about[key]}" for key in SPOKEN if about.get(key))
    return "\n".join(["", *lines, "", *([f"*{spoken}*", ""] if spoken else [])]) + "\n"


def _measured(name: str) -> tuple[list[dict], dict] | None:
    """Rows and surroundings; of several cards the one that was measured last."""
    files = (ROOT / "benchmarks").glob("results-*.json")
    found = [json.loads(file.read_text()).get(name) for file in files if (file.stem == f"results-{CPU}") != _of_gpu(name)]
    found = sorted((x for x in found if x), key=lambda x: x["about"]["date"])
    return (found[-1]["rows"], found[-1]["about"]) if found else None


def _unmeasured(name: str) -> list[dict]:
    """The rows that a card would fill."""
    if name in GPU_COMPARISONS:
        fields = dict.fromkeys(("theirs", "ours", "ratio"))
        return [{"what": q.what, "goal": q.goal, "reached": NOT_MEASURED, **fields} for q in GPU_COMPARISONS[name]()]
    return [row.record() | {"measured": None, "reached": NOT_MEASURED} for row in GPU_LIMITS[name]()]


def _of_gpu(name: str) -> bool:
    return name in GPU_COMPARISONS or name in GPU_LIMITS


def _cell(row: dict, column: str) -> str:
    value = row.get(column)
    if column == "reached":
        return {"NO": "**no**", NOT_MEASURED: "-", "no goal": "-"}.get(value, value)
    if column in ("theirs", "ours", "measured"):
        return NOT_MEASURED if value is None else f"{value:.3g} {row['unit']}"
    if column == "goal":
        sign = SIGNS.get(row.get("bound"), "")
        return "-" if value is None else f"{sign} {value:g}".strip()
    if column == "ours in TFLOP/s":
        return f"{row['tflops']:.3g}, {row['share']:.0%} of the roof" if row.get("share") else "-"
    if column == "beside it":
        return row.get("beside", "")
    return "-" if value is None else f"{value:.2f}" if column == "ratio" else str(value)


def main(readme: Path = README) -> None:
    readme.write_text(with_figures(readme.read_text()))


if __name__ == "__main__":
    main()
