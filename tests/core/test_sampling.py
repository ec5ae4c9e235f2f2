"""wm_core.sampling against the golden tables and the golden whole loop."""

import re

import pytest
import torch
from cases import assert_close
from tiny import golden_world

from wm_core.config import DIFFUSERS, NVLABS, NVLABS_FIRST, NVLABS_STREAMING
from wm_core.dit import WorldConditions
from wm_core.errors import ConfigError
from wm_core.sampling import euler, guided, released_schedule, shifted


def test_schedules_match_the_released_tables(golden):
    tables = {k: v for k, v in golden("dense_loop").outputs.items() if k.startswith("schedule.")}
    assert len(tables) == 16
    for key, want in tables.items():
        shift, steps = re.fullmatch(r"schedule\.shift(.+)\.steps(\d+)\.sigmas", key).groups()
        assert_close(released_schedule(int(steps), float(shift)), want, 2e-6)


def test_the_low_end_is_shifted_twice():
    for shift, last in ((9.8, 0.087705), (8.0, 0.060207)):
        for steps in (4, 20, 60):
            sigmas = released_schedule(steps, shift)
            assert len(sigmas) == steps + 1 and sigmas[0] == 1 and sigmas[-1] == 0
            assert abs(sigmas[-2].item() - last) < 1e-6
            assert (sigmas.diff() < 0).all()


def test_shift_keeps_the_ends():
    s = torch.tensor([0.0, 0.5, 1.0])
    assert torch.allclose(shifted(s, 4.0), torch.tensor([0.0, 0.8, 1.0]))


@pytest.mark.parametrize("steps, shift", [(0, 8.0), (4, 0.0), (4, float("nan")), (4, float("inf"))])
def test_impossible_schedules_are_refused(steps, shift):
    with pytest.raises(ConfigError):
        released_schedule(steps, shift)


LOOPS = {
    "final_latents": DIFFUSERS,
    "final_latents_upstream_head": NVLABS,
    "final_latents_noclamp_padded": NVLABS_STREAMING,
    "final_latents_first_release": NVLABS_FIRST,
}


@pytest.mark.parametrize("key", LOOPS)
def test_dense_loop_matches_golden(golden, key):
    case = golden("dense_loop")
    i, settings = case.inputs, case.meta["sampler"]
    world = golden_world(case, LOOPS[key])

    def velocity_for(text, mask):
        cond = WorldConditions(i[text][:, 0], i[mask].bool(), i["camera_conditions"], i["chunk_plucker"])
        return lambda x, sigma, past: world(x, sigma, cond, past=past)

    seen = [i["latents_init"]]
    given = torch.zeros(1, 5, dtype=torch.bool)
    given[:, 0] = True
    velocity = guided(velocity_for("cond", "cond_mask"), velocity_for("neg", "neg_mask"), settings["cfg_scale"])
    with torch.no_grad():
        final = euler(
            velocity,
            i["latents_init"],
            released_schedule(settings["steps"], settings["shift"]),
            given=given,
            on_step=lambda _, x: seen.append(x),
        )
    case.check(final, key)
    assert torch.equal(final[:, :, 0], i["latents_init"][:, :, 0]), "the given frame moved"
    if key == "final_latents":
        for step in range(settings["steps"]):
            case.check(seen[step], f"step{step}.latents_in")


def test_euler_is_exact_for_a_straight_flow(generator):
    x0, noise = (torch.randn(1, 2, 3, 2, 2, generator=generator) for _ in range(2))
    sigmas = torch.tensor([1.0, 0.6, 0.0])
    out = euler(lambda x, sigma, past: (noise - x0, None), noise, sigmas)
    assert_close(out, x0, 1e-6)


def test_guidance_of_one_needs_no_second_call():
    def forbidden(x, sigma, past):
        raise AssertionError("called")

    only = lambda x, sigma, past: (x, None)
    assert guided(only, forbidden, 1.0) is only
