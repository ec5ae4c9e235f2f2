"""Axes of other programs, by hand: where ahead, right and up are, and what turning right looks like, in each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import CONVENTIONS, from_opencv, to_opencv
from wm_core.camera.rotation import pitch_rotation, yaw_rotation

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
# A level camera that looks ahead, the directions ahead, right and up, and the level camera turned right by 90 degrees.
# The columns of a camera are its own x, y and z axis.
PROGRAMS = {
    "opencv": (IDENTITY, (0, 0, 1), (1, 0, 0), (0, -1, 0), ((0, 0, 1), (0, 1, 0), (-1, 0, 0))),
    "opengl": (IDENTITY, (0, 0, -1), (1, 0, 0), (0, 1, 0), ((0, 0, -1), (0, 1, 0), (1, 0, 0))),
    "blender": (
        ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        (0, 1, 0),
        (1, 0, 0),
        (0, 0, 1),
        ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
    ),
    "unreal": (IDENTITY, (1, 0, 0), (0, 1, 0), (0, 0, 1), ((0, -1, 0), (1, 0, 0), (0, 0, 1))),
    "unity": (IDENTITY, (0, 0, 1), (1, 0, 0), (0, 1, 0), ((0, 0, 1), (0, 1, 0), (-1, 0, 0))),
}


def camera(rotation, position=(0, 0, 0)) -> np.ndarray:
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation, position
    return c2w


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_metre_ahead_right_and_up_in_the_programs_axes(name):
    level, ahead, right, up, _ = PROGRAMS[name]
    for position, expected in ((ahead, (0, 0, 1)), (right, (1, 0, 0)), (up, (0, -1, 0))):
        np.testing.assert_array_equal(to_opencv(camera(level, position), name), camera(IDENTITY, expected))
        np.testing.assert_array_equal(from_opencv(camera(IDENTITY, expected), name), camera(level, position))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_turning_right_is_turning_right(name):
    np.testing.assert_allclose(to_opencv(camera(PROGRAMS[name][4]), name)[:3, :3], yaw_rotation(np.pi / 2), atol=1e-15)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(CONVENTIONS)), st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-9, 9))
def test_rotations_stay_rotations_in_left_handed_programs(name, yaw, pitch, metres):
    c2w = camera(yaw_rotation(yaw) @ pitch_rotation(pitch), (metres, 2, -metres))
    there = from_opencv(c2w, name)
    assert np.linalg.det(there[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(there[:3, :3] @ there[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(to_opencv(there, name), c2w, atol=1e-12)


@pytest.mark.parametrize(("name", "determinant"), [("opengl", 1), ("blender", 1), ("unreal", -1), ("unity", -1)])
def test_changes_of_axes_mirror_where_the_program_is_left_handed(name, determinant):
    row = CONVENTIONS[name]
    assert np.linalg.det(row.camera) == np.linalg.det(row.world) == determinant
