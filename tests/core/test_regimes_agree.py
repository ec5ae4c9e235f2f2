"""The one law: inside a chunk every operator looks both ways, across a boundary information only moves forward."""

from dataclasses import replace

import pytest
import torch
from cases import assert_close
from tiny import TINY_DIT, draw_latents, frames_of, random_conditions, random_world

GRID = (7, 3, 4)
SHAPE = (1, TINY_DIT.in_channels, *GRID)


@pytest.fixture(scope="module")
def world():
    return random_world()


@pytest.fixture(scope="module")
def cond():
    return random_conditions(TINY_DIT, GRID)


def levels(frames=GRID[0]):
    return torch.linspace(0, 0.9, frames).expand(1, -1)


@torch.no_grad()
def test_dense_equals_single_chunk(world, cond):
    x = draw_latents(SHAPE)
    dense, _ = world(x, levels(), cond)
    one_chunk, state = world(x, levels(), cond, chunks=(7,), past=world.begin())
    assert_close(one_chunk, dense, 1e-10)
    assert state.frames == 7


@torch.no_grad()
@pytest.mark.parametrize("chunks", [(4, 3), (3, 2, 2), (1, 1, 5), (1,) * 7])
def test_chunked_in_one_call_equals_chunk_by_chunk(world, cond, chunks):
    x = draw_latents(SHAPE)
    whole, _ = world(x, levels(), cond, chunks=chunks)
    state, parts, start = world.begin(window=-1), [], 0
    for length in chunks:
        end = start + length
        part, state = world(x[:, :, start:end], levels()[:, start:end], frames_of(cond, start, end), past=state)
        parts.append(part)
        start = end
    assert_close(torch.cat(parts, 2), whole, 1e-9)


@torch.no_grad()
def test_a_window_keeps_the_sink_and_the_latest(world, cond):
    x = draw_latents(SHAPE)
    by_frame = lambda past: _stream(world, x, cond, past)
    wide, narrow = by_frame(world.begin(window=-1)), by_frame(world.begin(window=2))
    assert_close(narrow[:, :, :3], wide[:, :, :3], 1e-10)  # frames 0, 1, 2 see at most two chunks before them
    assert (narrow - wide)[:, :, 3:].abs().max() > 1e-4
    without = by_frame(world.begin(window=2, keeps_sink=False))
    assert_close(without[:, :, :3], narrow[:, :, :3], 1e-10)
    assert (without - narrow)[:, :, 3:].abs().max() > 1e-4


def _stream(world, x, cond, past):
    parts = []
    for i in range(x.shape[2]):
        part, past = world(x[:, :, i : i + 1], levels()[:, i : i + 1], frames_of(cond, i, i + 1), past=past)
        parts.append(part)
    kept = [b.mixer.chunks for b in past.blocks if hasattr(b.mixer, "chunks")]
    size = next(b.mixer.size for b in past.blocks if hasattr(b.mixer, "size"))
    assert all(len(chunks) == (size if size >= 0 else x.shape[2]) for chunks in kept)
    return torch.cat(parts, 2)


@torch.no_grad()
def test_later_chunks_do_not_reach_earlier_ones(world, cond):
    x = draw_latents(SHAPE)
    other = x.clone()
    other[:, :, 4:] = draw_latents((1, 8, 3, 3, 4), seed=9)
    a, _ = world(x, levels(), cond, chunks=(4, 3))
    b, _ = world(other, levels(), cond, chunks=(4, 3))
    assert torch.equal(a[:, :, :4], b[:, :, :4])
    dense_a, dense_b = world(x, levels(), cond)[0], world(other, levels(), cond)[0]
    assert (dense_a - dense_b)[:, :, :4].abs().max() > 1e-4, "the dense model should look ahead"


@torch.no_grad()
def test_no_state_in_no_state_out_and_state_is_a_value(world, cond):
    x = draw_latents(SHAPE)
    assert world(x, levels(), cond)[1] is None
    first = frames_of(cond, 0, 4)
    _, state = world(x[:, :, :4], levels()[:, :4], first, past=world.begin())
    before = [t.clone() for t in _tensors(state)]
    once, _ = world(x[:, :, 4:], levels()[:, 4:], frames_of(cond, 4, 7), past=state)
    twice, _ = world(x[:, :, 4:], levels()[:, 4:], frames_of(cond, 4, 7), past=state)
    assert torch.equal(once, twice)
    assert before and all(torch.equal(a, b) for a, b in zip(before, _tensors(state)))


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors(tuple(getattr(value, name) for name in value.__dataclass_fields__))


@torch.no_grad()
def test_position_is_absolute(world, cond):
    """The second chunk is not the first chunk shifted: RoPE goes on counting."""
    x = draw_latents((1, 8, 3, 3, 4))
    start = world.begin()
    moved = replace(start, frames=5)
    here, _ = world(x, levels(3), frames_of(cond, 0, 3), past=start)
    there, _ = world(x, levels(3), frames_of(cond, 0, 3), past=moved)
    # RoPE is relative inside one chunk, so both must agree until something of an earlier chunk is in view.
    assert_close(here, there, 2e-4)
    _, state = world(x, levels(3), frames_of(cond, 0, 3), past=start)
    near, _ = world(x, levels(3), frames_of(cond, 3, 6), past=state)
    far, _ = world(x, levels(3), frames_of(cond, 3, 6), past=replace(state, frames=9))
    assert (near - far).abs().max() > 1e-3


@torch.no_grad()
def test_batch_of_two_equals_two_calls(world, cond):
    x = torch.cat([draw_latents(SHAPE, seed=3), draw_latents(SHAPE, seed=4)])
    both, _ = world(x, levels().expand(2, -1), replace(cond, text=cond.text.expand(2, -1, -1)), chunks=(4, 3))
    for i in range(2):
        single, _ = world(x[i : i + 1], levels(), cond, chunks=(4, 3))
        assert_close(both[i : i + 1], single, 1e-9)


@torch.no_grad()
def test_masked_text_tokens_do_not_count(world, cond):
    x = draw_latents(SHAPE)
    mask = torch.tensor([[True, True, True, False, False]])
    masked, _ = world(x, levels(), replace(cond, text_mask=mask))
    dropped, _ = world(x, levels(), replace(cond, text=cond.text[:, :3]))
    assert_close(masked, dropped, 1e-10)
    assert (masked - world(x, levels(), cond)[0]).abs().max() > 1e-4
