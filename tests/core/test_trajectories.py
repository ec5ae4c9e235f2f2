"""Presets: where they start, which way they go, how far, and how they are eased."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import EASINGS, PRESETS, field_of_view_deg, measure, preset_path
from wm_core.errors import CameraError

SIZE = (704, 1280)
WAYS = ("-left", "-right", "-up", "-down", "-in", "-out")


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_starts_at_the_identity_and_is_a_path(name, easing):
    path = preset_path(name, frames=33, size=SIZE, easing=easing)
    np.testing.assert_array_equal(path.c2w[0], np.eye(4))
    assert path.frames == 33 and path.provenance.source.startswith(f"preset:{name}")
    assert preset_path(name, frames=1, size=SIZE, easing=easing).frames == 1


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("dolly-in", 2, 1),
        ("dolly-out", 2, -1),
        ("truck-right", 0, 1),
        ("truck-left", 0, -1),
        ("pedestal-up", 1, -1),  # y counts downwards
        ("pedestal-down", 1, 1),
        ("crane-up", 1, -1),
        ("crane-down", 1, 1),
    ],
)
def test_travelling_presets_move_their_metres_along_one_axis(name, axis, sign):
    end = preset_path(name, frames=20, size=SIZE, amount=1.25).c2w[-1, :3, 3]
    want = np.zeros(3)
    want[axis] = sign * 1.25
    np.testing.assert_allclose(end, want, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "yaw", "pitch"),
    [
        ("hold", 0, 0),
        ("pan-right", 30, 0),
        ("pan-left", -30, 0),
        ("tilt-up", 0, 30),
        ("tilt-down", 0, -30),
        ("orbit-right", -30, 0),
        ("orbit-left", 30, 0),
    ],
)
def test_turning_presets_turn_their_degrees(name, yaw, pitch):
    motion = measure(preset_path(name, frames=20, size=SIZE, amount=30))
    assert (motion.yaw_deg[-1], motion.pitch_deg[-1]) == pytest.approx((yaw, pitch), abs=1e-3)
    if not name.startswith("orbit"):
        assert motion.length_m == 0


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["orbit-left", "orbit-right", "crane-up", "crane-down"]), st.floats(-80, 80), st.floats(0.5, 20))
def test_the_point_ahead_stays_in_the_middle_of_the_picture(name, amount, distance):
    path = preset_path(name, frames=9, size=SIZE, amount=amount, distance=distance)
    to_point = np.array([0, 0, distance]) - path.c2w[:, :3, 3]
    away = np.linalg.norm(to_point, axis=1)
    np.testing.assert_allclose(path.c2w[:, :3, 2] * away[:, None], to_point, atol=2e-5 * (1 + abs(amount) + distance))
    if name.startswith("orbit"):
        np.testing.assert_allclose(away, distance, rtol=1e-5)


def test_orbit_right_moves_to_the_right():
    assert preset_path("orbit-right", frames=9, size=SIZE).c2w[-1, 0, 3] > 1
    assert preset_path("orbit-left", frames=9, size=SIZE).c2w[-1, 0, 3] < -1


def test_smooth_starts_and_ends_slowly_and_linear_is_even():
    both = ("smooth", "linear")
    speeds = {name: measure(preset_path("dolly-in", frames=41, size=SIZE, easing=name)).speed for name in both}
    np.testing.assert_allclose(speeds["linear"], speeds["linear"][0], rtol=1e-4)
    smooth = speeds["smooth"]
    assert max(smooth[0], smooth[-1]) < 0.1 * smooth[20]
    assert smooth.sum() == pytest.approx(speeds["linear"].sum(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith(WAYS) and name != "push-in"])
def test_a_negative_amount_goes_the_other_way(name):
    pairs = [("left", "right"), ("up", "down"), ("in", "out")]
    swap = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    move, way = name.rsplit("-", 1)
    other = preset_path(f"{move}-{swap[way]}", frames=9, size=SIZE, amount=0.7)
    found = preset_path(name, frames=9, size=SIZE, amount=-0.7)
    np.testing.assert_allclose(found.c2w, other.c2w, atol=1e-6)
    np.testing.assert_allclose(found.intrinsics, other.intrinsics, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("boom", {}, "dolly-in"),
        ("hold", {"easing": "bouncy"}, "linear, smooth, slow start, slow end, settle"),
        ("zoom-in", {"amount": 88}, "frame 8 of 9, from 90 degrees at the start; take a smaller amount$"),
        ("dolly-zoom-in", {"amount": 3, "distance": 3}, "fields of view .* or a larger distance"),
        ("hold", {"frames": 0}, "at least 1 frame"),
        ("orbit-left", {"distance": 0}, "distance"),
        ("pan-left", {"amount": float("inf")}, "amount"),
    ],
)
def test_unknown_names_and_numbers_are_refused(name, options, words):
    with pytest.raises(CameraError, match=words):
        preset_path(name, **{"frames": 9, "size": SIZE, **options})


def test_roll_right_leans_the_camera_to_the_right():
    end = preset_path("roll-right", frames=9, size=SIZE, amount=20).c2w[-1]
    np.testing.assert_allclose(end[:3, 0], (np.cos(np.radians(20)), np.sin(np.radians(20)), 0), atol=1e-6)
    np.testing.assert_array_equal(end[:3, 2], (0, 0, 1))


def test_zoom_narrows_the_field_of_view_by_its_degrees_and_stands_still():
    path = preset_path("zoom-in", frames=9, size=SIZE, amount=30, fov_deg=75)
    assert field_of_view_deg(path.intrinsics[0], SIZE)[0] == pytest.approx(75, abs=1e-3)
    assert field_of_view_deg(path.intrinsics[-1], SIZE)[0] == pytest.approx(45, abs=1e-3)
    assert measure(path).length_m == 0
    np.testing.assert_array_equal(path.intrinsics[:, 2:], path.intrinsics[:1, 2:].repeat(9, 0))


@pytest.mark.parametrize(("name", "metres"), [("dolly-zoom-in", 1.5), ("dolly-zoom-out", -2.0)])
def test_a_dolly_zoom_keeps_the_size_of_what_stands_at_its_distance(name, metres):
    path = preset_path(name, frames=17, size=SIZE, amount=abs(metres), distance=4.0, fov_deg=60)
    assert path.c2w[-1, 2, 3] == pytest.approx(metres, abs=1e-5)
    pixels = path.intrinsics[:, 0] / (4.0 - path.c2w[:, 2, 3])  # of one metre there
    np.testing.assert_allclose(pixels, pixels[0], rtol=1e-5)


def test_a_push_in_goes_a_little_too_far_and_comes_to_rest():
    ahead = preset_path("push-in", frames=97, size=SIZE, amount=2.0).c2w[:, 2, 3]
    assert 2.05 < ahead.max() < 2.3 and ahead[-1] == pytest.approx(2.0, abs=1e-6)
    step = np.abs(np.diff(ahead))
    assert max(step[0], step[-1]) < 0.15 * step.max()


def test_a_spiral_looks_at_its_point_and_halves_the_distance_with_every_turn():
    path = preset_path("spiral-right", frames=73, size=SIZE, amount=720, distance=4.0, easing="linear")
    to_point = np.array((0, 0, 4.0)) - path.c2w[:, :3, 3]
    away = np.linalg.norm(to_point, axis=1)
    np.testing.assert_allclose(path.c2w[:, :3, 2] * away[:, None], to_point, atol=1e-4)
    np.testing.assert_allclose(away[[0, 36, 72]], (4, 2, 1), rtol=1e-5)
    assert path.c2w[3, 0, 3] > 0


def test_a_full_turn_and_a_figure_eight_end_where_they_began():
    turn = measure(preset_path("360-right", frames=73, size=SIZE))
    assert turn.yaw_deg[-1] == pytest.approx(360, abs=1e-2) and turn.length_m == 0
    eight = preset_path("figure-eight", frames=97, size=SIZE, easing="linear").c2w
    np.testing.assert_allclose(eight[[0, 48, 96]], np.eye(4)[None].repeat(3, 0), atol=1e-6)
    assert eight[24, 0, 3] == pytest.approx(1) and eight[72, 0, 3] == pytest.approx(-1) and not eight[:, 1, 3].any()
