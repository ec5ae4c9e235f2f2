"""benchmarks: the verdict of a row follows from its figures, the slope of a memory curve is per step, the refiner's rows run."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.long_run import slope
from benchmarks.measure import ALIKE, Case, relative_rms
from benchmarks.rows import Limit, Row


@pytest.mark.parametrize(("measured", "verdict"), [(1.0, "yes"), (1.03, "yes"), (1.031, "NO"), (None, "not measured")])
def test_a_limit_is_reached_at_or_below_its_goal(measured, verdict):
    row = Limit("time", "ratio", 1.03, measured)
    assert row.verdict == row.record()["reached"] == verdict
    assert verdict in str(row)


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [(4.0, 2.0, "yes"), (3.9, 2.0, "NO"), (None, 2.0, "not measured"), (4.0, None, "not measured")],
)
def test_a_comparison_is_reached_at_or_above_its_goal(theirs, ours, verdict):
    row = Row("time", "CPU s", 2.0, theirs, ours)
    assert row.verdict == row.record()["reached"] == verdict
    assert verdict in str(row)


def test_the_slope_is_per_chunk_whatever_the_level():
    assert slope([300 + 0.25 * i for i in range(50)]) == pytest.approx(0.25)
    assert slope([300.0] * 50) == pytest.approx(0, abs=1e-9)
    assert slope([300.0, 500.0] + [300.0] * 400) < 0.05, "one peak is no growth"


needs_diffusers = pytest.mark.skipif(sys.version_info < (3, 11), reason="diffusers 0.42.1 needs Python 3.11")


@needs_diffusers
@pytest.mark.parametrize("build", ["block", "merging", "swapping", "prompt_keys"])
def test_both_sides_of_a_refiner_row_compute_the_same(build):
    """Three blocks in turn, as the rows make them."""
    case = Case(f"refiner.{build}", {"size": "tiny"} | ({"resident": 1} if build == "swapping" else {}))
    with torch.no_grad():
        pair = case.pair()
        made = [(pair.ours(), pair.theirs()) for _ in range(3)]
    assert all(relative_rms(*results) < ALIKE for results in made)
    assert build == "prompt_keys" or relative_rms(made[0][0], made[1][0]) > ALIKE, "a call makes the next block"


@needs_diffusers
def test_what_the_refiner_keeps_is_counted():
    from benchmarks.refiner import count_kept_frames, count_passes

    assert count_passes("tiny", blocks=2) == {"theirs": 4, "ours": 3}
    assert count_kept_frames("tiny") == {"theirs": 14, "ours": 11}


@needs_diffusers
def test_refiner_questions_name_cases_that_exist():
    from benchmarks import refiner
    from benchmarks.run import COMPARISONS, GPU_COMPARISONS

    for question in (*COMPARISONS["refiner"](), *GPU_COMPARISONS["refiner_gpu"]()):
        assert callable(getattr(refiner, question.case.build.removeprefix("refiner.")))
        assert question.case.settings["size"] in refiner.SIZES


@needs_diffusers
def test_what_was_not_measured_leaves_the_earlier_figures(tmp_path, monkeypatch):
    from benchmarks import run

    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    rows = [Row("a", "s", 1.0, 2.0, 1.0, 1e-6), Row("b", "s", 1.0)]
    run.keep("some", run.measured(rows, {"commit": "old"}))
    run.keep("some", run.measured(rows[1:], {"commit": "new"}))
    run.keep("others", run.measured(rows[:1], {"commit": "new"}))
    kept = json.loads(run.RESULTS.read_text())
    assert kept["some"]["about"]["commit"] == "old" and len(kept["some"]["rows"]) == 2
    assert kept["others"]["about"]["commit"] == "new"
