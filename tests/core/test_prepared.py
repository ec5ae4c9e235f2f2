"""What a stream makes once: the prompt for every block, rays and angles for a chunk; and that it changes nothing."""

from dataclasses import replace

import pytest
import torch
from cases import assert_close
from tiny import TINY_DIT, draw_latents, frames_of, random_conditions, random_world

from wm_core.dit import Prepared

GRID = (7, 3, 4)
X = draw_latents((1, TINY_DIT.in_channels, *GRID))
SIGMA = torch.linspace(0, 0.9, GRID[0]).expand(1, -1)


@pytest.fixture(scope="module")
def world():
    return random_world()


@pytest.fixture
def calls(world):
    """Names of the layers that were run."""
    names, hooks = [], []
    for name, module in world.named_modules():
        hooks.append(module.register_forward_hook(lambda *_, name=name: names.append(name)))
    yield names
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def test_prepared_conditions_give_the_same(world):
    cond, state = random_conditions(TINY_DIT, GRID), world.begin(window=-1)
    prepared = Prepared(world)
    for a, b in ((0, 3), (3, 5), (5, 7)):
        own = frames_of(cond, a, b)
        want, after = world(X[:, :, a:b], SIGMA[:, a:b], own, past=state)
        got, state = world(X[:, :, a:b], SIGMA[:, a:b], prepared(own, X[:, :, a:b], state.frames), past=state)
        assert torch.equal(got, want) and state.frames == after.frames


@torch.no_grad()
def test_a_prompt_is_read_once_for_all_chunks_and_a_camera_once_a_chunk(world, calls, monkeypatch):
    cond, prepared, placed = random_conditions(TINY_DIT, GRID), Prepared(world), []
    place = world.place
    monkeypatch.setattr(world, "place", lambda *given: placed.append(given[1:3]) or place(*given), raising=False)
    for a, b in ((0, 3), (3, 6)):
        own = frames_of(cond, a, b)
        for _ in range(4):
            prepared(own, X[:, :, a:b], a)
    assert placed == [((3, 3, 4), 0), ((3, 3, 4), 3)]
    assert calls.count("y_embedder") == 1
    assert all(calls.count(f"blocks.{i}.cross_attn.kv_linear") == 1 for i in range(TINY_DIT.depth))


@torch.no_grad()
def test_two_prompts_take_turns_and_another_dtype_is_another_prompt(world, calls):
    cond, prepared = random_conditions(TINY_DIT, GRID), Prepared(world)
    other = replace(cond, text=cond.text + 1)
    for _ in range(3):
        first, second = (prepared(c, X, 0).text for c in (cond, other))
    assert calls.count("y_embedder") == 2
    assert not torch.equal(first.blocks[0][0], second.blocks[0][0])
    prepared(replace(cond, text=other.text.clone()), X, 0)
    assert calls.count("y_embedder") == 3, "told by identity, so that what was changed in place elsewhere is not mixed up"


@torch.no_grad()
def test_padding_is_left_out(world):
    """The slots that do not count cost nothing and change nothing."""
    cond = random_conditions(TINY_DIT, GRID)
    padded = torch.cat([cond.text, 9 + torch.zeros_like(cond.text)], 1)
    mask = torch.arange(padded.shape[1])[None] < cond.text.shape[1]
    ready = Prepared(world)(replace(cond, text=padded, text_mask=mask), X, 0)
    assert ready.text.blocks[0][0].shape[2] == cond.text.shape[1] and ready.text.mask is None
    assert_close(world(X, SIGMA, ready)[0], world(X, SIGMA, replace(cond, text=padded, text_mask=mask))[0], 1e-10)


@torch.no_grad()
@pytest.mark.parametrize("window", [-1, 2])
def test_a_clean_pass_may_be_part_of_the_next_chunks_first_step(world, window):
    """One call for both: the velocity of the next chunk, and the state behind the clean one, as from two calls."""
    cond = random_conditions(TINY_DIT, GRID)
    state = world.begin(window=window)
    _, state = world(X[:, :, :2], SIGMA[:, :2], frames_of(cond, 0, 2), past=state)
    levels = torch.tensor([[0.0, 0.0, 0.0, 0.8, 0.8]])
    _, want_state = world(X[:, :, 2:5], levels[:, :3], frames_of(cond, 2, 5), past=state)
    want, _ = world(X[:, :, 5:7], levels[:, 3:], frames_of(cond, 5, 7), past=want_state)
    both, got_state = world(X[:, :, 2:7], levels, frames_of(cond, 2, 7), chunks=(3, 2), past=state, keep=3)
    assert_close(both[:, :, 3:], want, 1e-10)
    assert got_state.frames == want_state.frames == 5
    again, _ = world(X[:, :, 5:7], levels[:, 3:], frames_of(cond, 5, 7), past=got_state)
    assert_close(again, want, 1e-10)


@torch.no_grad()
def test_a_merged_call_keeps_no_more_than_its_clean_chunk(world):
    """What is left of a call of two chunks is as large as what the first alone leaves."""
    cond, state = random_conditions(TINY_DIT, GRID), world.begin(window=-1)
    _, alone = world(X[:, :, :3], SIGMA[:, :3], frames_of(cond, 0, 3), past=state)
    _, merged = world(X, SIGMA, cond, chunks=(3, 4), past=state, keep=3)
    windows = [(a.mixer.chunks, b.mixer.chunks) for a, b in zip(alone.blocks, merged.blocks) if hasattr(a.mixer, "chunks")]
    size = lambda chunks: sum(y.untyped_storage().nbytes() for chunk in chunks for y in chunk)
    assert windows and all(size(a) == size(b) > 0 for a, b in windows)
