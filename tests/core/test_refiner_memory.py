"""wm_core/refiner/memory.py beside what the allocator reports, on refiners whose activations are megabytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from refiner_models import drawn

from benchmarks.measure import allocator_peak
from wm_core.config import RELEASED_REFINING, RefinerConfig, RefinerRecipe
from wm_core.refiner import VideoRefiner
from wm_core.refiner.memory import all_weights, block_weights, refiner_memory
from wm_core.sampling.noise import refiner_noise
from wm_core.sampling.refining import refine, refiner_stage

BASE = RefinerConfig("split", in_channels=16, out_channels=16, depth=2, num_heads=4, head_dim=64, caption_channels=32)
CONTEXT = 96
CASES = {
    "split": (BASE, RELEASED_REFINING, (19, 6, 10)),
    "interleaved": (replace(BASE, rope="interleaved"), RELEASED_REFINING, (19, 6, 10)),
    "wider_and_larger": (replace(BASE, num_heads=8, depth=3), RELEASED_REFINING, (16, 8, 9)),
    "small_window": (BASE, RefinerRecipe(window=5), (13, 9, 12)),
    "window_longer_than_the_clip": (BASE, RefinerRecipe(window=64), (13, 6, 10)),
    "one_block": (BASE, RELEASED_REFINING, (4, 9, 12)),
    "single_shot": (BASE, RefinerRecipe(block=0), (10, 6, 10)),
}


def whole_refinement(config, recipe, grid):
    model = drawn(VideoRefiner(config))
    latents = torch.zeros(1, config.in_channels, *grid)
    with torch.no_grad():
        prompt = model.prompt_keys(torch.zeros(1, CONTEXT, config.caption_channels))
    draw = lambda start, shape: refiner_noise(0, start, shape)
    for _ in refine(refiner_stage(model), latents, prompt, draw, fps=16.0, recipe=recipe):
        pass


@pytest.mark.parametrize("name", CASES)
def test_peak_is_predicted_within_five_percent(name):
    config, recipe, grid = CASES[name]
    measured = allocator_peak(lambda: whole_refinement(config, recipe, grid))
    said = refiner_memory(config, recipe, grid, weight_bytes=4, itemsize=4, context_tokens=CONTEXT)
    assert said.resident == pytest.approx(measured, rel=0.05), f"{said}, measured {measured:,}"


def test_parameters_are_counted_exactly():
    for config in (BASE, replace(BASE, num_heads=3, mlp_ratio=2)):
        model = VideoRefiner(config, device="meta")
        assert all_weights(config) == sum(p.numel() for p in model.parameters())
        assert block_weights(config) == sum(p.numel() for p in model.transformer_blocks[0].parameters())
    assert all_weights(RefinerConfig("split")) == 13_041_520_768


def test_released_model_at_720p():
    """Sizes that the design names: 26.1 GB of weights in bfloat16, 7.6 GB of window, 0.8 GB of text, under 1 GB beside."""
    said = refiner_memory(RefinerConfig("split"), RELEASED_REFINING, (121, 22, 40), weight_bytes=2, itemsize=2)
    assert said.weights == 26_083_041_536 and said.window == 7_612_661_760
    assert said.text == 805_306_368 and said.scratch + said.activations < 1.1e9
    fp8 = refiner_memory(
        RefinerConfig("split"), RELEASED_REFINING, (121, 22, 40), weight_bytes=1, itemsize=2, resident_blocks=4,
        window_is_on_device=False,
    )  # fmt: skip
    assert fp8.resident < 12e9 and fp8.elsewhere > 18e9


def test_length_of_the_clip_does_not_count():
    short, long = (
        refiner_memory(RefinerConfig("split"), RELEASED_REFINING, (t, 22, 40), weight_bytes=2, itemsize=2) for t in (16, 9001)
    )
    assert short == long
