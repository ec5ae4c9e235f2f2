"""The world model can be compiled: no graph break, and with a full window one graph serves every chunk of a stream."""

import copy
from dataclasses import replace

import pytest
import torch
from cases import assert_close
from tiny import TINY_DIT, draw_latents, frames_of, random_conditions, random_world

from wm_core.dit import Prepared, WorldConditions
from wm_core.kernels import TORCH

CONFIG = replace(TINY_DIT, depth=2, softmax_every_n=2)  # one block of each kind
GRID, LENGTH = (12, 3, 4), 3
X = draw_latents((1, CONFIG.in_channels, *GRID), dtype=torch.float32)
SIGMA = torch.full((1, LENGTH), 0.5)


@pytest.fixture(scope="module")
def world():
    return random_world(CONFIG, dtype=torch.float32).requires_grad_(False)


@pytest.fixture
def graphs():
    """Filled with whatever is traced by `traced`."""
    torch.compiler.reset()
    yield []
    torch.compiler.reset()


def traced(function, graphs):
    """The function compiled as one graph, for the shapes that it meets, by a backend that only keeps count."""

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    return torch.compile(function, fullgraph=True, dynamic=False, backend=keep)


@torch.no_grad()
def test_the_dense_forward_is_one_graph(world, graphs):
    cond, sigma = random_conditions(CONFIG, GRID, dtype=torch.float32), torch.full((1, GRID[0]), 0.5)
    step = lambda x, sigma: world(x, sigma, cond, kernels=TORCH)[0]
    assert_close(traced(step, graphs)(X, sigma), step(X, sigma), 1e-6)
    assert len(graphs) == 1


@torch.no_grad()
def test_a_block_is_one_graph_however_long_the_stream(world, graphs):
    compiled = copy.deepcopy(world)
    for i, block in enumerate(world.blocks):
        compiled.blocks[i] = traced(copy.deepcopy(block), graphs)
    cond = random_conditions(CONFIG, GRID, dtype=torch.float32)
    past = compiled_past = world.begin(window=1)
    counts = []
    for start in range(0, GRID[0], LENGTH):
        frames = slice(start, start + LENGTH)
        call = X[:, :, frames], SIGMA, frames_of(cond, frames.start, frames.stop)
        want, past = world(*call, past=past, kernels=TORCH)
        got, compiled_past = compiled(*call, past=compiled_past, kernels=TORCH)
        assert_close(got, want, 1e-6)
        counts.append(len(graphs))
    once = len(world.blocks)
    assert counts == [once, 2 * once, 2 * once, 2 * once], "the first chunk has no past; all others are alike"


@torch.no_grad()
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_can_be_recorded_as_a_cuda_graph():
    """Nothing in a forward waits for the device or copies from the host once it has run."""
    world = random_world(CONFIG, dtype=torch.float32).cuda()
    x, sigma, prepared = X.cuda(), SIGMA.cuda(), Prepared(world)
    move = lambda cond: WorldConditions(cond.text.cuda(), None, cond.raymap.cuda(), cond.plucker.cuda())
    conds = [move(frames_of(random_conditions(CONFIG, GRID, dtype=torch.float32), a, a + LENGTH)) for a in (0, LENGTH)]
    parts = x[:, :, :LENGTH].clone(), x[:, :, LENGTH : 2 * LENGTH].clone()
    _, past = world(parts[0], sigma, conds[0], past=world.begin())
    ready = prepared(conds[1], parts[1], past.frames)
    step = lambda: world(parts[1], sigma, ready, past=past)[0]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()
    parts[1].copy_(x[:, :, 2 * LENGTH : 3 * LENGTH])
    graph.replay()
    assert_close(out, step(), 1e-5)
