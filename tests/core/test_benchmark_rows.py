"""benchmarks: the verdict of a row follows from its figures, and the slope of a memory curve is per step."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.long_run import slope
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
