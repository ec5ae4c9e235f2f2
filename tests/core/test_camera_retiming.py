"""Paths in other frames: the way stays, the time changes, and what was whole is kept to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import actions_to_path, angle_between, measure, preset_path, retiming
from wm_core.errors import CameraError

SIZE = (704, 1280)
few = settings(deadline=None, max_examples=25)
strings = st.lists(st.tuples(st.text("wasdijkl", max_size=3), st.integers(1, 20)), min_size=1, max_size=5).map(
    lambda parts: ",".join(f"{keys}-{frames}" for keys, frames in parts)
)


def made(text: str = "w-10,dw-10,i-10,jk-10"):
    return actions_to_path(text, size=SIZE, fov_deg=70)


def test_whole_frames_are_kept_to_the_bit_and_halves_lie_in_the_middle():
    path = made()
    found = retiming.sampled(path, np.arange(0, 40.5, 0.5), "twice as many")
    np.testing.assert_array_equal(found.c2w[::2], path.c2w)
    np.testing.assert_array_equal(found.intrinsics[::2], path.intrinsics)
    middle = (path.c2w[:-1, :3, 3] + path.c2w[1:, :3, 3]) / 2
    np.testing.assert_allclose(found.c2w[1::2, :3, 3], middle, rtol=0, atol=1e-6)
    to, on = (angle_between(found.c2w[a::2, :3, :3][:40], found.c2w[b::2, :3, :3][:40]) for a, b in ((0, 1), (2, 1)))
    np.testing.assert_allclose(to, on, rtol=0, atol=1e-5)
    assert found.provenance.conversions[-1] == "twice as many"


@few
@given(strings, st.integers(2, 4))
def test_stretching_and_shrinking_by_a_whole_factor_gives_the_path_back(text, factor):
    path = made(text)
    longer = retiming.with_frames(path, factor * (path.frames - 1) + 1)
    np.testing.assert_allclose(retiming.with_frames(longer, path.frames).c2w, path.c2w, rtol=0, atol=1e-6)
    faster = retiming.at_fps(path, path.fps * factor)
    assert (faster.frames, faster.fps) == (longer.frames, path.fps * factor)
    np.testing.assert_allclose(faster.c2w, longer.c2w, rtol=0, atol=1e-6)
    np.testing.assert_allclose(retiming.at_fps(faster, path.fps).c2w, path.c2w, rtol=0, atol=1e-6)


@few
@given(strings)
def test_backwards_twice_is_the_path_and_there_and_back_ends_where_it_began(text):
    path = made(text)
    np.testing.assert_array_equal(retiming.backwards(path).c2w, path.c2w[::-1])
    np.testing.assert_array_equal(retiming.backwards(retiming.backwards(path)).c2w, path.c2w)
    both = retiming.there_and_back(path)
    assert both.frames == 2 * path.frames - 1
    np.testing.assert_array_equal(both.c2w, both.c2w[::-1])


@pytest.mark.parametrize("frame", [0, 7, -1])
def test_a_held_camera_stands_still_and_nothing_else_changes(frame):
    path = made()
    at, found = frame % 41, retiming.held(path, frame, 12)
    assert found.frames == 53
    np.testing.assert_array_equal(found.c2w[at : at + 13], np.repeat(path.c2w[at : at + 1], 13, 0))
    np.testing.assert_array_equal(np.delete(found.c2w, np.s_[at : at + 12], 0), path.c2w)


def test_easing_keeps_the_way_and_rests_at_both_ends():
    path = preset_path("dolly-in", frames=65, size=SIZE, amount=4, easing="linear")
    found = retiming.eased(path, "smooth")
    np.testing.assert_array_equal(found.c2w[[0, -1]], path.c2w[[0, -1]])
    speed = measure(found).speed
    assert max(speed[0], speed[-1]) < 0.06 * speed.max()
    wanted = preset_path("dolly-in", frames=65, size=SIZE, amount=4, easing="smooth")
    np.testing.assert_allclose(found.c2w, wanted.c2w, rtol=0, atol=1e-6)
    np.testing.assert_allclose(retiming.eased(path, "linear").c2w, path.c2w, rtol=0, atol=1e-6)


def test_constant_speed_makes_equal_steps_along_the_same_way():
    path = preset_path("orbit-right", frames=121, size=SIZE, amount=90, distance=3, easing="smooth")
    steps = np.linalg.norm(np.diff(retiming.at_constant_speed(path).c2w[:, :3, 3], axis=0), axis=1)
    assert steps.std() < 2e-3 * steps.mean() and steps.sum() == pytest.approx(measure(path).length_m, rel=1e-3)


def test_constant_speed_does_not_wait_where_the_path_stands():
    path = retiming.held(made("w-20"), 10, 30)
    steps = measure(retiming.at_constant_speed(path)).speed
    assert steps.min() > 0.9 * steps.max()
    with pytest.raises(CameraError, match="stays where it is"):
        retiming.at_constant_speed(made("d-10"))


def test_a_closed_path_meets_its_first_camera_without_a_jolt():
    path = made("w-20,aw-20")
    found = retiming.closed(path, 40)
    assert found.frames == 81
    np.testing.assert_array_equal(found.c2w[-1], path.c2w[0])
    step = np.diff(found.c2w[:, :3, 3].astype(np.float64), axis=0)
    change = np.linalg.norm(np.diff(np.concatenate([step, step[:1]]), axis=0), axis=1)
    usual = np.linalg.norm(step, axis=1).max()
    assert change[40] < 0.35 * usual and change[-1] < 0.35 * usual, "where the ways meet"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: retiming.sampled(p, np.array([0, 41.0]), ""), r"must lie in \[0, 40\], got 0 to 41"),
        (lambda p: retiming.sampled(p, np.array([np.nan]), ""), "must lie in"),
        (lambda p: retiming.with_frames(p, 0), "at least 1 frame, got 0"),
        (lambda p: retiming.at_fps(p, 0), "positive number of frames"),
        (lambda p: retiming.at_fps(p, 1e9), "at most 100000"),
        (lambda p: retiming.held(p, 41, 1), "frame 41 is not part"),
        (lambda p: retiming.held(p, 0, -1), "at least 0 frames, got -1"),
        (lambda p: retiming.eased(p, "bouncy"), "easing must be one of"),
        (lambda p: retiming.closed(p, 0), "at least 1 frame, got 0"),
        (lambda p: retiming.closed(p.slice(0, 1), 5), "hold it instead"),
    ],
)
def test_what_cannot_be_retimed_is_said(call, words):
    with pytest.raises(CameraError, match=words):
        call(made())
