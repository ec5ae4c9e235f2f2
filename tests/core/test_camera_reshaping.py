"""Ways that are changed: what each operation promises, on paths of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import actions_to_path, measure, preset_path, relative_to_first, reshaping
from wm_core.errors import CameraError, ShapeError

SIZE = (704, 1280)
few = settings(deadline=None, max_examples=25)
keys = st.lists(st.tuples(st.text("wasdijkl", max_size=3), st.integers(1, 20)), min_size=1, max_size=5)
strings = keys.map(lambda parts: ",".join(f"{held}-{frames}" for held, frames in parts))


def made(text: str = "w-20,dw-20,i-20,jk-20", dialect: str = "nvlabs-v2"):
    return actions_to_path(text, size=SIZE, fov_deg=70, dialect=dialect)


def roughness(path) -> float:
    return float(np.square(np.diff(path.c2w[:, :3].astype(np.float64), 2, axis=0)).sum())


OPERATIONS = {
    "smoothed": lambda p: reshaping.smoothed(p, 0.5),
    "scaled": lambda p: reshaping.scaled(p, 1.7),
    "rebased": lambda p: reshaping.rebased(p, -1),
    "mirrored": reshaping.mirrored,
    "looking_at": lambda p: reshaping.looking_at(p, (30.0, -1.0, 40.0)),
    "on_ground": reshaping.on_ground,
    "shaken": lambda p: reshaping.shaken(p, 3),
}


@pytest.mark.parametrize("name", OPERATIONS)
@few
@given(strings)
def test_every_operation_keeps_frames_and_view_and_says_what_it_did(name, text):
    path = made(text)
    found = OPERATIONS[name](path)
    assert (found.frames, found.size, found.fps) == (path.frames, path.size, path.fps)
    if found is not path:
        assert found.provenance.conversions[:-1] == path.provenance.conversions and found.provenance.conversions[-1]


def test_smoothing_takes_the_shake_out_and_keeps_the_ends_and_what_is_smooth():
    calm = preset_path("dolly-in", frames=65, size=SIZE, easing="linear")
    np.testing.assert_allclose(reshaping.smoothed(calm, 0.5).c2w, calm.c2w, rtol=0, atol=1e-6)
    rough = reshaping.shaken(made(), 1, rate_hz=6.0)
    found = reshaping.smoothed(rough, 0.5)
    assert roughness(found) < 0.2 * roughness(rough)
    np.testing.assert_array_equal(found.c2w[[0, -1]], rough.c2w[[0, -1]])


@few
@given(strings, st.floats(0.1, 10))
def test_scaling_multiplies_the_length_and_undoes_itself(text, factor):
    path = made(text)
    found = reshaping.scaled(path, factor)
    assert measure(found).length_m == pytest.approx(factor * measure(path).length_m, rel=1e-4, abs=1e-6)
    np.testing.assert_array_equal(found.c2w[:, :3, :3], path.c2w[:, :3, :3])
    np.testing.assert_allclose(reshaping.scaled(found, 1 / factor).c2w, path.c2w, rtol=0, atol=1e-5)


def test_a_mean_speed_is_that_of_the_frames_that_move():
    found = reshaping.at_mean_speed(made("w-20,none-20", "nvlabs-v1"), 1.25)
    speed = measure(found).speed
    assert speed[speed > 0].mean() == pytest.approx(1.25, rel=1e-4) and not speed[20:].any()


def test_a_rebased_path_is_the_same_way_seen_from_another_camera():
    path = made()
    np.testing.assert_allclose(reshaping.rebased(path).c2w, relative_to_first(path.c2w), rtol=0, atol=1e-6)
    other = reshaping.rebased(path, 30)
    np.testing.assert_array_equal(other.c2w[30], np.eye(4))
    np.testing.assert_allclose(reshaping.rebased(other).c2w, reshaping.rebased(path).c2w, rtol=0, atol=2e-6)


@few
@given(strings)
def test_the_mirrored_path_is_that_of_the_mirrored_keys(text):
    other = text.translate(str.maketrans("adjl", "dalj"))
    np.testing.assert_allclose(reshaping.mirrored(made(text)).c2w, made(other).c2w, rtol=0, atol=1e-6)
    again = reshaping.mirrored(reshaping.mirrored(made(text)))
    np.testing.assert_array_equal(again.c2w, made(text).c2w)
    np.testing.assert_allclose(again.intrinsics, made(text).intrinsics, rtol=1e-6)


@few
@given(strings, st.tuples(*[st.floats(-50, 50)] * 3).filter(lambda p: np.hypot(p[0], p[2]) > 12))
def test_the_point_looked_at_stays_in_the_middle_and_the_horizon_level(text, point):
    found = reshaping.looking_at(made(text), point).c2w.astype(np.float64)
    seen = np.einsum("fji,fj->fi", found[:, :3, :3], np.array(point) - found[:, :3, 3])
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], 0, atol=1e-5)
    assert (seen[:, 2] > 0).all()
    np.testing.assert_allclose(found[:, 1, 0], 0, atol=1e-6)
    assert (found[:, 1, 1] > 0).all(), "not upside down"


def test_a_path_on_the_ground_keeps_height_and_pitch_and_loses_its_roll():
    path = reshaping.shaken(preset_path("crane-up", frames=33, size=SIZE), 5)
    found = reshaping.on_ground(path)
    np.testing.assert_allclose(found.c2w[:, 1, 3], 0, atol=1e-6)
    np.testing.assert_allclose(measure(found).pitch_deg, measure(path).pitch_deg, atol=1e-3)
    np.testing.assert_allclose(found.c2w[:, 1, 0], 0, atol=1e-6)
    plain = made("w-10,dw-10,i-5")
    np.testing.assert_allclose(reshaping.on_ground(plain).c2w, plain.c2w, rtol=0, atol=1e-6)


def test_a_hand_sways_by_its_amounts_the_same_for_a_seed_and_never_jumps():
    still = preset_path("hold", frames=801, size=SIZE)
    found = reshaping.shaken(still, 7, degrees=1.0, metres=0.02, rate_hz=1.0)
    np.testing.assert_array_equal(found.c2w[0], still.c2w[0])
    np.testing.assert_array_equal(found.c2w, reshaping.shaken(still, 7, degrees=1.0, metres=0.02, rate_hz=1.0).c2w)
    assert not np.array_equal(found.c2w, reshaping.shaken(still, 8, degrees=1.0, metres=0.02, rate_hz=1.0).c2w)
    spread = found.c2w[:, :3, 3].std(0)
    assert (0.01 < spread).all() and (spread < 0.03).all()
    assert 0.5 < np.degrees(np.arcsin(found.c2w[:, 0, 2])).std() < 1.5
    steps = np.linalg.norm(np.diff(found.c2w[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 0.35 * 0.02 * np.sqrt(3) * 2 * np.pi, "16 frames a second, twice the rate at most"
    slow = reshaping.shaken(
        preset_path("hold", frames=401, size=SIZE, fps=8.0), 7, degrees=1.0, metres=0.02, rate_hz=1.0
    )
    np.testing.assert_allclose(slow.c2w, found.c2w[::2], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: reshaping.smoothed(p, 0), "positive number of seconds"),
        (lambda p: reshaping.scaled(p, -1), "positive factor, got -1"),
        (lambda p: reshaping.at_mean_speed(p, np.inf), "positive number of metres per second"),
        (lambda p: reshaping.at_mean_speed(preset_path("hold", frames=5, size=SIZE), 1), "stays where it is"),
        (lambda p: reshaping.rebased(p, 81), "frame 81 is not part"),
        (lambda p: reshaping.looking_at(p, (1, 2)), "x, y, z in metres"),
        (lambda p: reshaping.looking_at(p, (0, 5, 0)), "camera 0 stands on the point"),
        (lambda p: reshaping.shaken(p, 1, rate_hz=0), "positive rate"),
    ],
)
def test_what_cannot_be_done_to_a_path_is_said(call, words):
    with pytest.raises((CameraError, ShapeError), match=words):
        call(made())
