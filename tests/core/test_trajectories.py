"""Presets: where they start, which way they go, how far, and how they are eased."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import EASINGS, PRESETS, measure, preset_path
from wm_core.errors import CameraError

SIZE = (704, 1280)


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
    speeds = {name: measure(preset_path("dolly-in", frames=41, size=SIZE, easing=name)).speed for name in EASINGS}
    np.testing.assert_allclose(speeds["linear"], speeds["linear"][0], rtol=1e-4)
    smooth = speeds["smooth"]
    assert max(smooth[0], smooth[-1]) < 0.1 * smooth[20]
    assert smooth.sum() == pytest.approx(speeds["linear"].sum(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "hold"])
def test_a_negative_amount_goes_the_other_way(name):
    pairs = [("left", "right"), ("up", "down"), ("in", "out")]
    swap = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    move, way = name.split("-")
    other = preset_path(f"{move}-{swap[way]}", frames=9, size=SIZE, amount=0.7)
    np.testing.assert_allclose(preset_path(name, frames=9, size=SIZE, amount=-0.7).c2w, other.c2w, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("zoom", {}, "dolly-in"),
        ("hold", {"easing": "bouncy"}, "linear, smooth"),
        ("hold", {"frames": 0}, "at least 1 frame"),
        ("orbit-left", {"distance": 0}, "distance"),
        ("pan-left", {"amount": float("inf")}, "amount"),
    ],
)
def test_unknown_names_and_numbers_are_refused(name, options, words):
    with pytest.raises(CameraError, match=words):
        preset_path(name, **{"frames": 9, "size": SIZE, **options})
