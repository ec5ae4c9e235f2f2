"""The laws of the world model and the golden forwards, computed by the fused kernels."""

from dataclasses import fields, replace

import interpreted
import pytest
import torch
from cases import assert_close
from tiny import TINY_DIT, draw_latents, frames_of, golden_world, random_conditions, random_world

from wm_core.config import NVLABS
from wm_core.dit import WorldConditions
from wm_core.kernels import TORCH, kernels_for, triton_kernels
from wm_core.kernels.proof import BOUNDS, disagreement

DEVICE = interpreted.device()
CONFIG = replace(TINY_DIT, depth=2, softmax_every_n=2)  # one block of each kind
GRID = (5, 2, 3)
LEVELS = torch.linspace(0, 0.9, GRID[0], device=DEVICE).expand(1, -1)
X = draw_latents((1, CONFIG.in_channels, *GRID), dtype=torch.float32).to(DEVICE)


def on_device(cond):
    parts = (cond.text, cond.text_mask, cond.raymap, cond.plucker)
    return WorldConditions(*(p if p is None else p.to(DEVICE) for p in parts))


@pytest.fixture(scope="module")
def world():
    return random_world(CONFIG, dtype=torch.float32).to(DEVICE)


@pytest.fixture(scope="module")
def cond():
    return on_device(random_conditions(CONFIG, GRID, dtype=torch.float32))


@torch.no_grad()
def test_chunked_equals_streamed_equals_torch(world, cond, monkeypatch):
    fused, chunks = triton_kernels(), (3, 2)
    with interpreted.poisoned_empty(monkeypatch):
        whole, _ = world(X, LEVELS, cond, chunks=chunks, kernels=fused)
        state, parts, start = world.begin(window=-1), [], 0
        for length in chunks:
            own = slice(start, start + length)
            frames = frames_of(cond, own.start, own.stop)
            part, state = world(X[:, :, own], LEVELS[:, own], frames, past=state, kernels=fused)
            parts.append(part)
            start += length
    assert_close(torch.cat(parts, 2), whole, 1e-5)
    assert_close(whole, world(X, LEVELS, cond, chunks=chunks, kernels=TORCH)[0], 1e-5)


@torch.no_grad()
def test_dense_equals_one_chunk(world, cond):
    dense, _ = world(X, LEVELS, cond, kernels=triton_kernels())
    one, _ = world(X, LEVELS, cond, chunks=GRID[:1], past=world.begin(), kernels=triton_kernels())
    assert_close(one, dense, 1e-5)


@torch.no_grad()
def test_golden_forward(golden):
    case = golden("dense_dit_b")
    i = case.inputs
    cond = on_device(WorldConditions(i["y"][:, 0], i["mask"].bool(), i["camera_conditions"], i["chunk_plucker"]))
    world = golden_world(case, NVLABS).to(DEVICE)
    sigma = i["timestep"][:, 0].to(DEVICE) / 1000
    velocity, _ = world(i["x"].to(DEVICE), sigma, cond, kernels=triton_kernels())
    case.check(velocity.cpu(), "sample_upstream_head")


def test_the_choice_is_made_by_device_and_for_gradients():
    assert kernels_for(torch.zeros(1), 2240, 112) is TORCH
    if DEVICE == "cuda":
        x = torch.zeros(1, device="cuda")
        assert kernels_for(x, 2240, 112) is TORCH, "there is no backward pass"
        with torch.no_grad():
            assert kernels_for(x, 2240, 112).name == "triton"
            assert kernels_for(x.double(), 2240, 112) is TORCH and kernels_for(x, 240, 60) is TORCH


def test_a_device_is_asked_for_every_function_before_its_kernels_are_used():
    name, ratio = disagreement(triton_kernels(), TORCH, DEVICE, torch.float32, 32, 16)
    assert 0 < ratio <= BOUNDS[torch.float32] / 5, f"{name} {ratio:.1e}"


@pytest.mark.parametrize("field", [f.name for f in fields(TORCH) if f.name not in ("name", "attend")])
@pytest.mark.parametrize("fault", [lambda x: x * 1.2, lambda x: x.roll(1, -1), lambda x: x * float("nan")])
def test_a_function_that_is_wrong_is_found(field, fault):
    right = getattr(TORCH, field)

    def wrong(*given, **options):
        made = right(*given, **options)
        return fault(made) if isinstance(made, torch.Tensor) else (fault(made[0]), *made[1:])

    name, ratio = disagreement(replace(TORCH, **{field: wrong}), TORCH, DEVICE, torch.float32, 32, 16)
    assert name == field and ratio > BOUNDS[torch.float32]
