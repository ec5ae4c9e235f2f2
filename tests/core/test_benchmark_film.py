"""benchmarks: a film of all stages, measured by a clock that ticks once a look, on models of a few kilobytes."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="diffusers 0.42.1 needs Python 3.11")

if sys.version_info >= (3, 11):
    from benchmarks import rolling
    from benchmarks.film import SIZES, Film
    from benchmarks.stage_meter import NAMES, count
    from wm_core.rollout import run


@pytest.fixture
def ticking(monkeypatch):
    """Each look at the clock is a second after the last."""
    seconds = iter(range(10**6))
    for name in ("clock", "watch"):
        monkeypatch.setattr(rolling, name, lambda device: lambda: next(seconds))


def test_the_operations_of_a_chunk_are_those_of_one_that_runs():
    film = Film(SIZES["tiny"], "cpu", "float32")
    assert (
        rolling.chunk_flops("tiny") == rolling.metered_chunks(film, rolling.WINDOW + 1, count, after=rolling.WINDOW)[0]
    )


def test_rolling_is_measured_behind_full_windows(ticking):
    made = rolling.roll("tiny", "cpu", "float32", chunks=9, apart=2)
    assert made.chunk_s == 1 and made.speed == 1.5, "24 frames at 16 a second, one look a chunk"
    assert made.cold_s == made.first_s == 1 and made.peak is None
    # as many looks as calls: four steps and the clean pass, three forwards and no new prompt, one chunk decoded
    assert {name: took for name, (took, _) in made.stages.items()} == dict(zip(NAMES, (5, 3, 1)))
    assert {name: work for name, (_, work) in made.stages.items()} == rolling.chunk_flops("tiny")


def test_a_draft_has_no_refiner(ticking):
    made = rolling.roll("tiny", "cpu", "float32", refined=False, chunks=9, apart=1)
    assert list(made.stages) == [NAMES[0], NAMES[2]] and made.encoder > 0


def test_late_chunks_are_held_against_early_ones(monkeypatch):
    times = [10.0 * i for i in range(10)] + [90.0 + 12 * i for i in range(1, 10)]  # from the tenth chunk on 12 s
    monkeypatch.setattr(rolling, "watch", lambda device: iter(times).__next__)
    made = rolling.roll_long("tiny", "cpu", "float32", chunks=14, compared=4)
    assert made.ratio == 1.2 and made.growth is None


@torch.no_grad()
def test_weights_in_fp8_are_half_and_nearly_the_same():
    pytest.importorskip("comfy_kitchen")
    wide, small = (Film(SIZES["tiny"], "cpu", "bfloat16", fp8=fp8) for fp8 in (False, True))
    a, b = (film.refiner.get_submodule("transformer_blocks.0.attn1.to_q") for film in (wide, small))
    assert b.weight.nbytes == a.weight.nbytes / 2
    x = torch.randn(3, a.in_features, dtype=torch.bfloat16)
    assert 0 < ((a(x) - b(x)).norm() / a(x).norm()).item() < 0.1
    rounded = lambda film: [type(p).__name__ for m in (film.world, film.refiner) for p in m.parameters()].count(
        "QuantizedTensor"
    )
    assert rounded(small) > 20 and rounded(wide) == 0
    event = next(run(small.stages, small.plan(1), small.session()))
    assert event.session.refined.isfinite().all() and event.pixels.shape == (1, 3, 25, 64, 96)
