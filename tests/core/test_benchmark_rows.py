"""benchmarks: the verdict of a row follows from its figures, a device that is not there gives none, the refiner's rows run."""

import gc
import importlib
import inspect
import json
import sys
import weakref
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.long_run import slope
from benchmarks.measure import ALIKE, Case, relative_rms
from benchmarks.rows import Figure, Floor, Limit, Row


@pytest.mark.parametrize(("measured", "verdict"), [(1.0, "yes"), (1.03, "yes"), (1.031, "NO"), (None, "not measured")])
def test_a_limit_is_reached_at_or_below_its_goal(measured, verdict):
    row = Limit("time", "ratio", 1.03, measured)
    assert row.verdict == row.record()["reached"] == verdict
    assert verdict in str(row)


@pytest.mark.parametrize(("measured", "verdict"), [(1.81, "yes"), (1.8, "yes"), (1.79, "NO"), (None, "not measured")])
def test_a_floor_is_reached_at_or_above_its_goal(measured, verdict):
    row = Floor("speed", "x realtime", 1.8, measured)
    assert row.verdict == row.record()["reached"] == verdict and row.record()["bound"] == "at least"
    assert verdict in str(row) and ">= 1.8" in str(row)


def test_a_figure_has_no_goal():
    assert Figure("time", "s", measured=3.0, beside="7 TFLOP").verdict == "no goal"
    assert Figure("time", "s").record()["reached"] == "not measured"


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
def test_a_refiner_row_that_was_measured_lets_its_models_go():
    pair = Case("refiner.block", {"size": "tiny"}).pair()
    model = weakref.ref(pair.theirs._model)
    pair.close()
    del pair
    gc.collect()
    assert model() is None


@needs_diffusers
def test_questions_name_cases_that_exist():
    from benchmarks import branches, refiner
    from benchmarks.comparisons import COMPARISONS, GPU_COMPARISONS

    for question in (q for table in (COMPARISONS | GPU_COMPARISONS).values() for q in table()):
        module, function = question.case.build.split(".")
        build = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        inspect.signature(build).bind(**question.case.settings)
        assert question.case.settings.get("size", "tiny") in refiner.SIZES
        others = branches.MAIN if function == "main" else branches.CAMERA
        assert question.case.settings.get("beside", "diffusers") in others
    for tables in (COMPARISONS, GPU_COMPARISONS):  # of one file
        names = [question.what for table in tables.values() for question in table()]
        assert len(set(names)) == len(names)


@needs_diffusers
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_its_rows_say_so_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    from benchmarks import run
    from benchmarks.card_limits import GPU_LIMITS
    from benchmarks.comparisons import GPU_COMPARISONS

    monkeypatch.setattr(run, "results_file", lambda device: tmp_path / f"{device}.json")
    assert run.main(["--gpu"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "not measured" in line]
    rows = [question.what for table in GPU_COMPARISONS.values() for question in table()]
    rows += [row.what for table in GPU_LIMITS.values() for row in table()]
    assert len(rows) > 30 and all(line.startswith(row) for line, row in zip(lines, rows, strict=True))
    assert list(tmp_path.iterdir()) == []


@needs_diffusers
def test_a_row_without_its_package_says_which_and_a_row_that_fails_leaves_the_others(monkeypatch):
    from benchmarks.questions import Question, answers

    missing = Question("a", "time", 1.0, Case("no.case", {}), needs="no_such_package.kernels")
    failing = Question("b", "time", 1.0, Case("refiner.block", {"size": "no such size"}))
    sound = Question("c", "time", 1e-6, Case("refiner.prompt_keys", {"size": "tiny"}))
    monkeypatch.setattr("benchmarks.measure.SECONDS", {"cpu": 0.1})
    refusals = []
    rows = list(answers([missing, failing, sound], refusals))
    assert [row.verdict for row in rows] == ["not measured", "not measured", "yes"]
    assert "no_such_package is not importable" in rows[0].beside and len(refusals) == 1 and "b: KeyError" in refusals[0]
    assert rows[2].tflops > 0 and rows[2].share > 0


@needs_diffusers
def test_a_limit_that_fails_gives_its_rows_with_the_reason():
    from benchmarks import run
    from benchmarks.shared_limits import filled

    def breaks():
        raise MemoryError("too small a card")

    refusals = []
    rows = [Limit("a", "GB", 1.0), Floor("b", "x", 1.0)]
    table = run.measured(filled(rows, breaks, "cpu"), {}, refusals)
    assert [row["beside"] for row in table["rows"]] == ["MemoryError: too small a card"] * 2 and len(refusals) == 1
    table = run.measured(filled(rows, lambda: {"a": (0.5, "so"), "b": (None, "")}, "cpu"), {}, refusals)
    assert [row["reached"] for row in table["rows"]] == ["yes", "not measured"] and len(refusals) == 1


@needs_diffusers
def test_what_was_not_measured_leaves_the_earlier_figures(tmp_path):
    from benchmarks import run

    file = tmp_path / "results.json"
    rows = [Row("a", "s", 1.0, 2.0, 1.0, 1e-6), Row("b", "s", 1.0)]
    run.keep(file, "some", run.measured(rows, {"commit": "old"}, []))
    run.keep(file, "some", run.measured(rows[1:], {"commit": "new"}, []))
    run.keep(file, "others", run.measured(rows[:1], {"commit": "new"}, []))
    kept = json.loads(file.read_text())
    assert kept["some"]["about"]["commit"] == "old" and len(kept["some"]["rows"]) == 2
    assert kept["others"]["about"]["commit"] == "new"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("NVIDIA H200", "nvidia-h200"), ("NVIDIA GeForce RTX 4090 (Laptop)", "nvidia-geforce-rtx-4090-laptop")],
)
def test_a_device_has_a_file_of_its_own(monkeypatch, name, slug):
    from benchmarks import devices

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert devices.slug(devices.GPU) == slug and devices.slug(devices.CPU) == "cpu"
