"""Branches of guidance as one batch below a number of tokens, one after another above it."""

import pytest
import torch
from test_native import conditioning, host_model, loop, loop_file, native, sample  # noqa: F401
from test_quality import counted


def guided(native, loop, world, limit):  # noqa: F811
    """(the latent of one guided step, the branches in each model call) where more than `limit` tokens run in turn."""
    model, calls = counted(world)
    before, model.model.sequential_tokens = model.model.sequential_tokens, limit
    try:
        return sample(native, loop, model, 5.0, torch.tensor([1.0, 0.8])), calls
    finally:
        model.model.sequential_tokens = before


@pytest.fixture
def same_length(loop):  # noqa: F811
    """The prompts of the fixture have lengths that the host never batches."""
    mask = loop.inputs["neg_mask"]
    loop.inputs["neg_mask"] = loop.inputs["cond_mask"]
    yield
    loop.inputs["neg_mask"] = mask


def test_branches_of_more_tokens_than_the_limit_run_one_after_another(native, loop, loop_file, same_length):  # noqa: F811
    world = host_model(native, loop_file, "nvlabs")
    tokens = loop.inputs["latents_init"][0, 0].numel()
    together, batched = guided(native, loop, world, tokens)
    apart, alone = guided(native, loop, world, tokens - 1)
    assert batched == [[0, 1]] and sorted(alone) == [[0], [1]]
    # A product of two branches sums in another order than two products; guidance of 5 makes ninefold of it: 8e-6 of 19 seen.
    assert torch.allclose(together, apart, atol=1e-5, rtol=1e-6)


def test_the_limit_is_twenty_thousand_tokens_of_all_of_a_batch(native):  # noqa: F811
    from sana_wm_pack.nodes.conds import CONDSequential
    from sana_wm_pack.wm_core.config import RELEASED_DIT

    def may_batch(*shape):
        one = CONDSequential("camera", native._branch_tokens(torch.empty(shape, device="meta"), RELEASED_DIT))
        return one.can_concat(one.process_cond(batch_size=1, area=None))

    assert may_batch(1, 128, 21, 22, 40) and not may_batch(2, 128, 21, 22, 40) and not may_batch(1, 128, 23, 22, 40)
    assert not CONDSequential("camera", 1, 5).can_concat(CONDSequential("another", 1, 5))
