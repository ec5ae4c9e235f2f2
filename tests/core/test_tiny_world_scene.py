"""Scenes of the tiny world: a seed is a scene, something is in view, nothing is in the way, words and light fit."""

import math
from itertools import combinations

import numpy as np
import pytest

from wm_core.tiny_world import GROUNDS, HELD_OUT, SKIES, TIMES, USUAL_FOCAL, light_between, make_scene

SEEDS = (*range(150), *range(HELD_OUT, HELD_OUT + 150))


def distance_to_plan(solid, x=0.0, z=0.0):
    """Metres from a point on the ground to the nearest point of what a solid covers, 0 inside it."""
    x, z = x - solid.x, z - solid.z
    if solid.kind != "box":
        return max(0.0, math.hypot(x, z) - solid.half[0])
    c, s = math.cos(solid.turn), math.sin(solid.turn)
    outside = (max(0.0, abs(x * c + z * s) - solid.half[0]), max(0.0, abs(-x * s + z * c) - solid.half[1]))
    return math.hypot(*outside)


@pytest.mark.parametrize("seed", [0, 7, HELD_OUT, 2**63 - 1])
def test_a_seed_is_one_scene(seed):
    assert make_scene(seed) == make_scene(seed)
    assert make_scene(seed) != make_scene(seed - 1 if seed else 1)


def test_held_out_seeds_begin_where_they_always_did():
    assert HELD_OUT == 900_000, "models in the world were trained on all seeds below"


def test_the_order_of_draws_is_that_of_training():
    scene = make_scene(HELD_OUT)
    assert scene.prompt("day") == "green ground, blue sky, day" and scene.ground.pattern == "stripes"
    assert [solid.kind for solid in scene.solids] == ["box", "ball", "box", "pillar", "pillar", "box", "box"]
    first, last = scene.solids[0], scene.solids[-1]
    assert (first.x, first.z) == pytest.approx((1.4717875, 7.1618990), abs=1e-6)
    assert (last.turn, scene.light) == pytest.approx((0.2901634, 6.0156699), abs=1e-6)


def test_two_solids_or_more_are_well_in_view():
    for seed in SEEDS:
        middles = [USUAL_FOCAL * s.x / s.z for s in make_scene(seed).solids if 0 < s.z < 6]
        assert sum(abs(middle) < 0.35 for middle in middles) >= 2, (
            f"seed {seed}: {middles} of the width from the centre"
        )


def test_nothing_is_near_the_start_and_nothing_touches():
    for seed in SEEDS:
        solids = make_scene(seed).solids
        assert min(distance_to_plan(solid) for solid in solids) > 1.7, seed
        for one, other in combinations(solids, 2):
            assert distance_to_plan(one, other.x, other.z) > other.reach + 0.19, seed


def test_reach_is_the_farthest_point_of_the_plan():
    for solid in make_scene(3).solids:
        x, z = solid.reach * np.stack([np.cos(a := np.linspace(0, 2 * math.pi, 3000)), np.sin(a)])
        inside = [
            any(distance_to_plan(solid, solid.x + u * f, solid.z + v * f) == 0 for u, v in zip(x, z))
            for f in (0.99, 1.01)
        ]
        assert inside == [True, False]


def test_balls_are_as_high_as_they_are_wide():
    balls = [solid for seed in SEEDS for solid in make_scene(seed).solids if solid.kind == "ball"]
    assert balls and all(ball.height == 2 * ball.half[0] == 2 * ball.reach for ball in balls)


def test_every_word_occurs_and_a_prompt_says_all_of_them():
    scenes = [make_scene(seed) for seed in SEEDS]
    assert {scene.ground.word for scene in scenes} == set(GROUNDS)
    assert {scene.sky for scene in scenes} == set(SKIES)
    for scene in scenes[:5]:
        for time in TIMES:
            ground, sky, when = scene.prompt(time).split(", ")
            assert (ground, sky, when) == (f"{scene.words['ground']} ground", f"{scene.words['sky']} sky", time)


def test_the_ground_has_its_word_s_colour_and_a_darker_one():
    for seed in SEEDS:
        ground = make_scene(seed).ground
        assert ground.bright == pytest.approx(GROUNDS[ground.word])
        assert max(ground.dark) < max(ground.bright)


@pytest.mark.parametrize("end", TIMES)
def test_light_turns_from_one_time_to_another_between_two_frames(end):
    light = light_between("day", end, 60)
    assert light.shape == (60, 3)
    np.testing.assert_array_equal(light[:9], np.tile(TIMES["day"], (9, 1)))
    np.testing.assert_array_equal(light[40:], np.tile(TIMES[end], (20, 1)))
    assert (np.diff(light, axis=0) <= 0).all(), "dusk and night are darker, and it gets dark without flicker"
    np.testing.assert_allclose(light[24], (np.array(TIMES["day"]) + TIMES[end]) / 2)
    np.testing.assert_array_equal(light_between("day", end, 1), [TIMES["day"]])
