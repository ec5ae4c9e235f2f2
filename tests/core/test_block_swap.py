"""wm_core/refiner/block_swap.py: the swapped model is the model, with two blocks of room for those that rest.

The copies of a second CUDA stream run only where there is a card; the order of copies and computations is the same here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from refiner_models import TINY_REFINER, random_refiner

from wm_core.config import RefinerRecipe
from wm_core.refiner.block_swap import BlockSwap, SwappedBlock, swap_blocks
from wm_core.refiner.memory import SLOTS, block_weights
from wm_core.sampling.noise import refiner_noise
from wm_core.sampling.refining import refine, refiner_stage

CONFIG = replace(TINY_REFINER, depth=7)
LATENTS = torch.randn(1, 8, 8, 2, 3, generator=torch.Generator().manual_seed(1))
CONTEXT = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(2))


def refined(model, device="cpu"):
    prompt = model.prompt_keys(CONTEXT.to(device))
    draw = lambda start, shape: refiner_noise(3, start, shape)
    pieces = refine(refiner_stage(model), LATENTS.to(device), prompt, draw, fps=16.0, recipe=RefinerRecipe(window=5))
    return torch.cat([piece for _, piece in pieces], 2)


def fresh():
    return random_refiner(CONFIG, dtype=torch.float32)


@pytest.mark.parametrize("resident", [0, 1, 2, 3, 6])
def test_swapped_equals_resident(resident):
    model = fresh()
    swap = swap_blocks(model, resident, "cpu")
    assert torch.equal(refined(model), refined(fresh()))
    resting = sum(isinstance(block, SwappedBlock) for block in model.transformer_blocks)
    assert resting == 7 - resident
    assert swap.bytes_on_device() == min(SLOTS, resting) * block_weights(CONFIG) * 4
    swap.release()
    assert swap.bytes_on_device() == 0
    assert torch.equal(refined(model), refined(fresh())), "the slots are made again"


def test_all_resident_swaps_nothing():
    model = fresh()
    assert swap_blocks(model, 7, "cpu") is None and swap_blocks(model, 99, "cpu") is None


def test_weights_that_rest_are_no_parameters():
    """A host that manages the model's parameters must not see them: it would bring them all to the card."""
    model = fresh()
    before = sum(p.numel() for p in model.parameters())
    swap_blocks(model, 2, "cpu")
    assert sum(p.numel() for p in model.parameters()) == before - 5 * block_weights(CONFIG)


def test_residents_are_spread():
    model = fresh()
    swap_blocks(model, 3, "cpu")
    stay = [i for i, block in enumerate(model.transformer_blocks) if not isinstance(block, SwappedBlock)]
    assert stay == [1, 3, 5]


def test_a_slot_is_filled_one_ahead():
    blocks = fresh().transformer_blocks
    swap = BlockSwap(list(blocks), "cpu")
    order = []
    for index in range(7):
        swap.block(index)
        swap.used(index)
        swap.ahead(index)
        order.append(sorted(slot.holds for slot in swap._slots))
    assert order == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [0, 6]], "and the first again for the next pass"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_swapped_equals_resident_on_cuda():
    model = fresh()
    swap_blocks(model, 2, "cuda")
    rest = [m for m in model.children() if m is not model.transformer_blocks]
    for module in (*rest, *model.transformer_blocks):
        module.to("cuda")
    model.scale_shift_table.data = model.scale_shift_table.data.cuda()
    torch.testing.assert_close(refined(model, "cuda"), refined(fresh().cuda(), "cuda"))
