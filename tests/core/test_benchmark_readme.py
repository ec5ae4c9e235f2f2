"""README's figures are those of the files of results."""

import json

import pytest
from cases import ROOT, needs_diffusers

pytestmark = needs_diffusers


def test_readme_says_what_was_measured():
    from benchmarks.readme import MARKED, README, with_figures

    text = README.read_text()
    assert len(MARKED.findall(text)) >= 10
    assert with_figures(text) == text, "run python -m benchmarks.readme"


def test_every_table_is_in_it():
    from benchmarks.card_limits import GPU_LIMITS
    from benchmarks.comparisons import COMPARISONS, GPU_COMPARISONS
    from benchmarks.limits import LIMITS
    from benchmarks.readme import MARKED, README

    names = {name for _, name, _ in MARKED.findall(README.read_text())}
    assert names == {*COMPARISONS, *LIMITS, *GPU_COMPARISONS, *GPU_LIMITS}


def test_a_row_that_misses_its_goal_and_one_that_was_not_measured_are_told_so():
    from benchmarks.readme import table

    rows = json.loads((ROOT / "benchmarks" / "results-cpu.json").read_text())["diffusers"]["rows"]
    missed = [row["what"] for row in rows if row["reached"] == "NO"]
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table("diffusers").splitlines()}
    assert all("| **no** |" in lines[what] for what in missed)
    reached = [row["what"] for row in rows if row["reached"] == "yes"]
    assert reached and all("| yes |" in lines[what] for what in reached)
    with pytest.raises(KeyError):
        table("nothing")
