"""benchmarks: operations are counted where they run and by formula where they cannot be, and both sides of a row do the same."""

import inspect
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="diffusers 0.42.1 needs Python 3.11")

from benchmarks.apart import MIB, PrivatePeak, tells_memory
from benchmarks.ceilings import Ceilings, Work, count_flops
from benchmarks.measure import Case, relative_rms, share_alone
from tools.make_tiny_checkpoints import TINY_WORLD


def test_products_convolutions_and_attention_are_counted():
    x, weight, q = torch.randn(5, 16), torch.randn(8, 16), torch.randn(1, 2, 10, 16)
    picture, kernel = torch.randn(1, 3, 7, 7), torch.randn(4, 3, 3, 3)
    assert count_flops(lambda: F.linear(x, weight)) == 2 * 5 * 16 * 8
    assert count_flops(lambda: F.scaled_dot_product_attention(q, q, q)) == 4 * 2 * 10 * 10 * 16
    assert count_flops(lambda: F.conv2d(picture, kernel)) == 2 * 4 * 5 * 5 * 3 * 9


@pytest.mark.parametrize(("work", "seconds"), [(Work(200.0, 10.0), 2.0), (Work(1.0, 30.0), 3.0)])
def test_the_roof_is_the_slower_of_computing_and_moving(work, seconds):
    assert Ceilings(flops=100.0, moved=10.0).roof(work) == seconds


@pytest.mark.parametrize(("depth", "plucker"), [(3, 3), (8, 8), (8, 4)])
def test_the_operations_of_a_forward_are_those_of_one_that_runs(depth, plucker):
    from benchmarks.dit import TEXT_TOKENS, forward_flops, turning_camera
    from wm_core.dit import WorldConditions, WorldDiT

    config = replace(TINY_WORLD, depth=depth, plucker_blocks=plucker)
    model, shape = WorldDiT(config), (1, config.in_channels, 3, 2, 3)
    text = torch.randn(1, TEXT_TOKENS, config.caption_channels)
    cond = WorldConditions(text, None, turning_camera(3, (2, 3)), torch.randn(1, config.plucker_channels, 3, 2, 3))
    x, sigma = torch.randn(shape), torch.zeros(1, 3)
    assert forward_flops(config, shape) == count_flops(lambda: model(x, sigma, cond))


@pytest.mark.parametrize("branch", ["main", "camera"])
def test_the_least_work_of_a_scan_is_about_what_the_torch_form_does(branch):
    """It has its first and last frame cheaper, and reads the denominator by a product of its own."""
    pair = Case(f"gdn.{branch}_branch", {"frames": 9, "tokens": 200, "heads": 1}).pair()
    assert count_flops(pair.ours) == pytest.approx(pair.work().flops, rel=0.06)


def test_a_share_is_of_the_roof_and_the_seconds_of_one_run(monkeypatch):
    ticks, case = iter(range(100)), Case("gdn.main_branch", {"frames": 2, "tokens": 9, "heads": 1})
    work = case.pair().work()
    monkeypatch.setattr("benchmarks.measure.clock", lambda device: lambda: next(ticks))
    monkeypatch.setattr("benchmarks.measure.ceilings", lambda device, dtype: Ceilings(2 * work.flops, 1e12))
    share, how = share_alone(case)
    assert share == 0.5 and how.startswith("1e+03 ms")


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "alike"), [("float32", 1e-5), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("branch", ["main", "camera"])
def test_both_sides_of_a_branch_compute_the_same(branch, dtype, alike):
    pair = Case(f"branches.{branch}", {"grid": (4, 5), "frames": 3, "heads": 2, "dtype": dtype}).pair()
    for _ in range(2):  # operands that a side used up would be missed the second time
        assert relative_rms(pair.ours(), pair.theirs()) < alike
    itemsize = {"float32": 4, "bfloat16": 2}[dtype]
    assert pair.work().moved == 4 * 3 * 20 * 224 * itemsize, "q, k, v read and the result written"


@torch.no_grad()
@pytest.mark.parametrize(("build", "stored"), [("cast_once", torch.float32), ("cast_by_layer", torch.bfloat16)])
def test_a_bfloat16_file_gives_what_a_float32_file_gives(build, stored):
    with closing(Case(f"half.{build}", {"grid": (2, 3), "frames": 2, "depth": 1, "heads": 1}).pair()) as pair:
        assert relative_rms(pair.ours(), pair.theirs()) < 1e-6
        model = inspect.getclosurevars(pair.ours).nonlocals["ours"]
        assert {p.dtype for p in model.parameters()} == {stored}


needs_memory = pytest.mark.skipif(not tells_memory(), reason="this system does not tell a process's memory")


@needs_memory
def test_memory_that_was_given_back_is_seen():
    with PrivatePeak() as peak:
        torch.ones(64 * MIB // 4).add_(1)
    assert 60 < peak.added < 80


@needs_memory
@pytest.mark.parametrize("kind", ["stage 1", "refiner"])
def test_loading_says_what_was_loaded(kind, tmp_path):
    from benchmarks.loading import load, write

    path = str(write(kind, tmp_path / "model", "tiny"))
    kept, cast = load(kind, path, "bfloat16"), load(kind, path, None)
    assert cast["result"] == 2 * kept["result"] > kept["largest"] > 0
    assert kept["file"] == pytest.approx(kept["result"], rel=0.1)
