"""Keyframes: the path passes through every key at its frame, smoothly, and the document says all of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import Key, Keyframes, field_of_view_deg, keyframed_path, measure, read_keyframes, write_keyframes
from wm_core.camera.keyframes import POSITIONS, TIMINGS, TURNS
from wm_core.camera.rotation import pitch_rotation, roll_rotation, yaw_rotation
from wm_core.camera.trajectories import EASINGS
from wm_core.errors import CameraError, SanaWMError

SIZE = (704, 1280)
few = settings(deadline=None, max_examples=40)
metres = st.tuples(*[st.floats(-5, 5, width=32)] * 3)
degrees = st.floats(-80, 80, width=32)


@st.composite
def keyframes(draw) -> Keyframes:
    frames = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=6)))
    keys = tuple(
        Key(
            frame, draw(metres), draw(degrees), draw(degrees), draw(degrees), draw(st.floats(30, 110, width=32)),
            draw(st.sampled_from(list(EASINGS))), draw(metres), draw(metres),
        )
        for frame in frames
    )  # fmt: skip
    ways = (st.sampled_from(kinds) for kinds in (POSITIONS, TURNS))
    return Keyframes(keys, draw(st.integers(1, 80)), SIZE, 16.0, *map(draw, ways))


@few
@given(keyframes())
def test_the_path_is_each_key_at_its_frame_and_stands_still_outside(given_keys):
    path = keyframed_path(given_keys)
    for key in given_keys.keys:
        if key.frame >= path.frames:
            continue
        wanted = (
            yaw_rotation(np.radians(key.yaw))
            @ pitch_rotation(np.radians(key.pitch))
            @ roll_rotation(np.radians(key.roll))
        )
        np.testing.assert_allclose(path.c2w[key.frame, :3, 3], key.position, rtol=0, atol=5e-7)
        np.testing.assert_allclose(path.c2w[key.frame, :3, :3], wanted, rtol=0, atol=1e-5)
        assert field_of_view_deg(path.intrinsics[key.frame], SIZE)[0] == pytest.approx(key.fov, abs=1e-3)
    first, last = given_keys.keys[0].frame, given_keys.keys[-1].frame
    for part in (path.c2w[: first + 1], path.c2w[last:]):
        assert not len(part) or (part == part[0]).all()


@few
@given(keyframes(), st.sampled_from(TIMINGS), st.none() | metres)
def test_a_document_that_is_read_again_is_the_same(given_keys, timing, pivot):
    keys = (replace(given_keys.keys[0], pivot=pivot), *given_keys.keys[1:])
    whole = replace(given_keys, keys=keys, timing=timing)
    assert read_keyframes(write_keyframes(whole)) == whole


def three(**options) -> Keyframes:
    keys = (Key(0), Key(20, (1, 0, 2), yaw=30), Key(40, (3, -1, 2), yaw=60, fov=60))
    return replace(Keyframes(keys, 41, SIZE), **options)


def jolts(path) -> np.ndarray:
    step = np.diff(path.c2w[:, :3, 3].astype(np.float64), axis=0)
    return np.linalg.norm(np.diff(step, axis=0), axis=1)


def test_a_spline_turns_through_its_keys_where_straight_lines_break():
    smooth, straight = (jolts(keyframed_path(three(positions=kind))) for kind in ("catmull-rom", "linear"))
    assert straight[19] > 0.05 and np.delete(straight, 19).max() < 1e-5
    assert smooth.max() < 0.2 * straight[19]


def test_a_bezier_without_handles_is_straight_and_with_thirds_it_is_the_spline():
    straight = keyframed_path(three(positions="linear"))
    plain = keyframed_path(three(positions="bezier")).c2w[:, :3, 3]
    along = np.cross(plain[:21], straight.c2w[20, :3, 3])
    np.testing.assert_allclose(along, 0, atol=1e-6)
    points = np.array([key.position for key in three().keys])
    thirds = np.gradient(points, axis=0) / 3
    keys = tuple(replace(k, arrives=tuple(-t), leaves=tuple(t)) for k, t in zip(three().keys, thirds, strict=True))
    np.testing.assert_allclose(
        keyframed_path(three(keys=keys, positions="bezier")).c2w[:, :3, 3],
        keyframed_path(three()).c2w[:, :3, 3],
        atol=1e-6,
    )


def test_easing_changes_when_and_not_where():
    def line(easing):
        return keyframed_path(Keyframes((Key(0, easing=easing), Key(32, (0, 0, 4))), 33, SIZE)).c2w[:, 2, 3]

    np.testing.assert_allclose(line("linear"), np.linspace(0, 4, 33), atol=1e-6)
    assert line("slow start")[16] == pytest.approx(1) and line("slow end")[16] == pytest.approx(3)
    assert line("smooth")[8] == pytest.approx(4 * 0.25**2 * 2.5) and line("settle").max() <= 4


def test_even_timing_makes_equal_steps_along_the_same_curve():
    speed = measure(keyframed_path(three(timing="even"))).speed
    assert speed.std() < 0.01 * speed.mean()
    uneven = measure(keyframed_path(three())).speed
    assert uneven.std() > 0.08 * uneven.mean()
    assert speed.sum() == pytest.approx(uneven.sum(), rel=5e-3)
    still = (Key(0), Key(10, yaw=40), Key(40, yaw=60))
    turned = measure(keyframed_path(three(keys=still, timing="even"))).yaw_deg
    assert turned[20] == pytest.approx(40, abs=1e-3), "no way to divide: from key to key in equal times"


def test_angles_turn_all_the_way_where_slerp_takes_the_shorter_one():
    keys = (Key(0), Key(36, yaw=360))
    assert measure(keyframed_path(Keyframes(keys, 37, SIZE, turns="angles"))).yaw_deg[-1] == pytest.approx(
        360, abs=1e-3
    )
    assert measure(keyframed_path(Keyframes(keys, 37, SIZE, turns="slerp"))).turns_deg.sum() < 0.1


def test_between_two_pivots_the_camera_looks_at_what_lies_between_them():
    keys = (Key(0, (0, 0, 0), pivot=(0, 0, 5)), Key(40, (4, 0, 1), pivot=(1, 0, 5), yaw=80))
    path = keyframed_path(Keyframes(keys, 41, SIZE))
    point = np.linspace((0, 0, 5), (1, 0, 5), 41)
    seen = np.einsum("fji,fj->fi", path.c2w[:, :3, :3], point - path.c2w[:, :3, 3])
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], 0, atol=1e-6)
    with pytest.raises(CameraError, match="key 2, at frame 9, stands on the point"):
        keyframed_path(Keyframes((Key(0), Key(9, pivot=(0, 1, 0))), 10, SIZE))
    through = (Key(5, pivot=(0, 0, 3)), Key(25, (0, 0, 6), pivot=(0, 0, 3)))
    with pytest.raises(CameraError, match="the camera of frame 15 stands on the point"):
        keyframed_path(Keyframes(through, 41, SIZE, positions="linear"))


def document(**changes) -> str:
    return json.dumps({**json.loads(write_keyframes(three())), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no keyframe document"),
        ("x" * 3_000_000, "at most 2000000 characters"),
        (document(version=2), "version 2, this pack reads 1"),
        (document(keys=[]), "list of 1 to 1000 objects, got 0 of them"),
        (document(keys="w"), "got str"),
        (document(keys=[1]), "key 1 must be an object"),
        (document(keys=[{}]), "key 1 lacks frame"),
        (document(keys=[{"frame": 1.5}]), "frame of key 1 must be a whole number, got 1.5"),
        (document(keys=[{"frame": True}]), "whole number"),
        (document(keys=[{"frame": 0, "jaw": 3}]), "key 1 has unknown fields jaw"),
        (document(keys=[{"frame": 0, "position": [0, 1]}]), "position of key 1 must be"),
        (document(keys=[{"frame": 0, "position": [0, 1, "2"]}]), "position of key 1 must be"),
        (document(keys=[{"frame": 0, "yaw": 1e400}]), "yaw of key 1 must be a number"),
        (document(keys=[{"frame": 0, "fov": 0.5}]), "field of view of 0.5 degrees"),
        (document(keys=[{"frame": 0, "easing": "bounce"}]), "must ease by linear"),
        (document(keys=[{"frame": 0, "easing": 3}]), "easing of key 1 must be a text"),
        (document(keys=[{"frame": 5}, {"frame": 5}]), "each behind the one before it"),
        (document(keys=[{"frame": -1}]), "frames from 0 on"),
        (document(frames=0), "1 to 100000 frames, got 0"),
        (document(frames=10**9), "1 to 100000 frames"),
        (document(size=[704]), r"size must be \[height, width\]"),
        (document(fps=0), "fps must be a positive"),
        (document(turns="spin"), "turns must be one of squad"),
        (document(colour="red"), "unknown fields colour"),
    ],
)
def test_what_is_wrong_with_a_document_is_said(text, words):
    with pytest.raises(CameraError, match=words):
        read_keyframes(text)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_document_gives_keyframes_or_one_clear_error(data):
    text = write_keyframes(three())
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "9", "-", "]", "null", '"', "e9"])) + text[at + 1 :]
    try:
        keyframed_path(read_keyframes(damaged))
    except SanaWMError as error:
        assert str(error)
