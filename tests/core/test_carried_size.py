"""wm_core.rollout.carried_size: bytes from shapes alone are the bytes that a rollout carries."""

from dataclasses import replace

import pytest
import torch
from tiny import TINY_DIT, draw_latents, random_world

from tools.make_tiny_checkpoints import TINY_VAE, tiny_vae
from wm_core.camera import actions_to_path
from wm_core.errors import ConfigError
from wm_core.rollout import Plan, Prompt, Recipe, given_path, open_session, run, stages_of
from wm_core.rollout.carried_file import flatten
from wm_core.rollout.carried_size import carried_size

GRID = (2, 3)


@pytest.mark.parametrize("window", [2, 3, -1])
def test_size_from_shapes_equals_the_real_one(window):
    recipe = Recipe(window=window)
    stages = stages_of(random_world(dtype=torch.float32), tiny_vae(replace(TINY_VAE, decoder_causal=True)))
    session = open_session(stages, draw_latents((1, TINY_DIT.in_channels, 1, *GRID), dtype=torch.float32), recipe)
    path = actions_to_path("w-100", size=session.size, fov_deg=80)
    prompt = Prompt(draw_latents((1, 5, TINY_DIT.caption_channels), dtype=torch.float32))
    for event in run(stages, Plan(prompt, given_path(path), 4, seed=0), session):
        tensors, _ = flatten(event.session.carried)
        want = sum(t.numel() * t.element_size() for t in tensors.values())
        size = carried_size(
            GRID, event.session.chunks, world=TINY_DIT, vae=TINY_VAE, recipe=recipe, dtype=torch.float32
        )
        assert size.total == want
        assert min(size.recurrence, size.short_convolutions, size.windows, size.feed_forward, size.vae_tails) > 0


def test_the_released_size_stays_once_the_window_is_full():
    sizes = [carried_size((22, 40), chunks, vae=None).total for chunks in (1, 2, 3)]
    assert sizes[0] < sizes[1] == sizes[2]
    assert 0.9e9 < sizes[1] < 1.1e9


def test_nothing_is_carried_before_the_first_chunk():
    with pytest.raises(ConfigError, match="before the first chunk"):
        carried_size(GRID, 0)
