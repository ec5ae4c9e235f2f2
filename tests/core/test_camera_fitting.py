"""Keyframes of any path: within the tolerance they promise, few where a path is simple, refused where there is no end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import (
    EASINGS,
    PRESETS,
    CameraPath,
    Provenance,
    actions_to_path,
    keyframed_path,
    keyframes_of,
    preset_keyframes,
    preset_path,
    read_keyframes,
    reshaping,
    write_keyframes,
)
from wm_core.errors import CameraError

SIZE = (704, 1280)


def within(fit, metres=0.01, degrees=0.25):
    return fit.metres <= metres * 1.0001 and fit.degrees <= degrees * 1.0001 and fit.view_degrees <= degrees * 1.0001


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_becomes_keys_within_the_tolerance(name):
    fit = keyframes_of(preset_path(name, frames=161, size=SIZE, fov_deg=70))
    assert within(fit), fit
    assert len(fit.keyframes.keys) < 40, len(fit.keyframes.keys)


@pytest.mark.parametrize("actions", ["w-80,dw-40,w-40", "w-20,a-20,ijw-30,none-10,ks-40", "d-161", "none-40"])
def test_action_strings_become_keys_within_the_tolerance(actions):
    path = actions_to_path(actions, size=SIZE, fov_deg=70)
    fit = keyframes_of(path)
    assert within(fit), fit
    assert (fit.keyframes.frames, fit.keyframes.size, fit.keyframes.fps) == (path.frames, SIZE, 16.0)


def test_a_straight_move_at_one_speed_takes_two_keys_and_a_still_camera_too():
    path = preset_path("dolly-in", frames=161, size=SIZE, easing="linear", fov_deg=70)
    assert len(keyframes_of(path).keyframes.keys) == 2
    assert len(keyframes_of(preset_path("hold", frames=81, size=SIZE, fov_deg=70)).keyframes.keys) == 2
    assert len(keyframes_of(path.slice(0, 1)).keyframes.keys) == 1


def test_the_distances_that_are_stated_are_those_of_the_path_that_the_document_gives():
    path = preset_path("figure-eight", frames=161, size=SIZE, fov_deg=70)
    fit = keyframes_of(path, metres=0.05, degrees=1.0)
    again = keyframed_path(read_keyframes(write_keyframes(fit.keyframes)))
    apart = np.linalg.norm(again.c2w[:, :3, 3] - path.c2w[:, :3, 3], axis=1).max()
    assert apart == pytest.approx(fit.metres, abs=1e-6)
    assert 0 < fit.metres <= 0.05
    assert keyframes_of(path, metres=0.001).metres < fit.metres


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from(sorted(EASINGS)))
def test_any_smooth_path_of_any_length_is_kept(frames, seed, easing):
    path = reshaping.shaken(
        preset_path("orbit-right", frames=frames, size=SIZE, easing=easing, fov_deg=60),
        degrees=1.0, metres=0.02, seed=seed,
    )  # fmt: skip
    assert within(keyframes_of(path))


def test_noise_takes_a_key_at_least_every_third_frame():
    """Two handles go through any two frames between two keys."""
    rng = np.random.default_rng(0)
    c2w = np.tile(np.eye(4), (30, 1, 1))
    c2w[:, :3, 3] = rng.normal(size=(30, 3))
    rows = np.tile([1000.0, 1000.0, 640.0, 352.0], (30, 1))
    fit = keyframes_of(CameraPath(c2w, rows, SIZE, 16.0, Provenance()))
    assert within(fit) and len(fit.keyframes.keys) >= 11


def test_a_path_that_takes_too_many_keys_is_refused_and_tolerances_must_be_real():
    rng = np.random.default_rng(0)
    c2w = np.tile(np.eye(4), (4000, 1, 1))
    c2w[:, :3, 3] = rng.normal(size=(4000, 3))
    path = CameraPath(c2w, np.tile([1000.0, 1000.0, 640.0, 352.0], (4000, 1)), SIZE, 16.0, Provenance())
    with pytest.raises(CameraError, match="takes more than 1000 keys"):
        keyframes_of(path)
    with pytest.raises(CameraError, match="above 0"):
        keyframes_of(path, metres=0)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("easing", [None, "settle"])
def test_a_preset_in_keys_is_the_preset(name, easing):
    options = {"frames": 121, "size": SIZE, "fov_deg": 70}
    fit = preset_keyframes(name, easing=easing, **options)
    path, made = preset_path(name, easing=easing, **options), keyframed_path(fit.keyframes)
    assert within(fit)
    assert np.abs(path.c2w[:, :3, 3] - made.c2w[:, :3, 3]).max() <= 0.0101
    assert np.abs(path.c2w[:, :3, :3] - made.c2w[:, :3, :3]).max() <= 0.0051


def test_simple_moves_are_two_keys_that_a_hand_can_move_and_a_full_turn_too():
    for name in ("dolly-in", "pan-left", "orbit-right", "360-left", "zoom-in"):
        keys = preset_keyframes(name, frames=161, size=SIZE, fov_deg=70).keyframes.keys
        assert len(keys) == 2 and keys[0].easing == "smooth", (name, keys)
