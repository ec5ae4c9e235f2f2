"""Quaternions: there and back, evenly between, smoothly through."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import angle_between, quaternion
from wm_core.camera.rotation import pitch_rotation, yaw_rotation

few = settings(deadline=None, max_examples=40)


def turns(seed: int, count: int, most: float = 2.0) -> np.ndarray:
    """Rotations of which no two neighbours are further apart than about `most` radians."""
    steps = np.random.default_rng(seed).uniform(-most / 4, most / 4, (count, 3))
    found = [quaternion.exp(steps[0] * 5)]
    for step in steps[1:]:
        found.append(quaternion.multiplied(found[-1], quaternion.exp(step)))
    return np.array(found)


@few
@given(st.integers(0, 10**6))
def test_rotations_come_back_from_quaternions_and_runs_do_not_change_sides(seed):
    rotation = quaternion.to_rotation(turns(seed, 30))
    found = quaternion.from_rotation(rotation)
    np.testing.assert_allclose(quaternion.to_rotation(found), rotation, rtol=0, atol=1e-7)
    assert ((found[1:] * found[:-1]).sum(1) > 0).all()


def test_a_quaternion_turns_as_its_rotation_does():
    yaw, pitch = (quaternion.from_rotation(r(np.array([0.3]))) for r in (yaw_rotation, pitch_rotation))
    both = quaternion.to_rotation(quaternion.multiplied(yaw, pitch))[0]
    np.testing.assert_allclose(both, yaw_rotation(0.3) @ pitch_rotation(0.3), rtol=0, atol=1e-8)


@few
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_slerp_divides_the_angle_and_takes_the_shorter_way(seed, share):
    first, second = turns(seed, 2)[:, None]
    ends = quaternion.to_rotation(np.concatenate([first, second]))
    whole = angle_between(ends[0], ends[1])
    for other in (second, -second):
        between = quaternion.to_rotation(quaternion.slerp(first, other, np.array([share])))[0]
        assert abs(angle_between(ends[0], between) - share * whole) < 1e-6
        assert abs(angle_between(between, ends[1]) - (1 - share) * whole) < 1e-6


@few
@given(st.integers(0, 10**6))
def test_squad_passes_through_every_turn_without_a_jolt(seed):
    through = turns(seed, 6, most=1.0)
    at = np.arange(6.0)
    found = quaternion.to_rotation(quaternion.squad(through, at))
    np.testing.assert_allclose(found, quaternion.to_rotation(through), rtol=0, atol=1e-9)
    near = 1e-4
    before, here, after = (
        quaternion.to_rotation(quaternion.squad(through, np.arange(1, 5) + d)) for d in (-near, 0, near)
    )
    np.testing.assert_allclose((here - before) / near, (after - here) / near, rtol=0, atol=5e-3)


def test_squad_of_an_even_turn_is_that_turn():
    even = quaternion.from_rotation(yaw_rotation(np.linspace(0, 1.2, 5)))
    at = np.linspace(0, 4, 33)
    np.testing.assert_allclose(
        quaternion.to_rotation(quaternion.squad(even, at)), yaw_rotation(0.3 * at), rtol=0, atol=1e-8
    )
    assert quaternion.squad(even[:1], at).shape == (33, 4)
