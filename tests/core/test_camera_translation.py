"""Action strings in other dialects: exact where the dialects allow it, measured where they do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import DIALECTS, actions_to_path, translated
from wm_core.errors import CameraError

SIZE = (704, 1280)
few = settings(deadline=None, max_examples=30)
strings = st.lists(st.tuples(st.text("wasdijkl", max_size=3), st.integers(1, 20)), min_size=1, max_size=5).map(
    lambda parts: ",".join(f"{keys}-{frames}" for keys, frames in parts)
)


@few
@given(strings, st.sampled_from([name for name, row in DIALECTS.items() if row.spelling == "letters"]))
def test_a_dialect_says_its_own_strings_as_they_are(text, name):
    found = translated(text, name, name)
    assert (found.metres, found.frames) == (0, found.frames_before) and found.degrees < 1e-5
    assert found.told == "the same way"


@few
@given(strings)
def test_diffusers_and_the_first_release_are_one(text):
    found = translated(text, "nvlabs-v1", "diffusers")
    assert found.metres == 0 and found.told == "the same way"


def test_turning_and_stepping_keys_change_places_and_speeds_double():
    found = translated("w-80,dw-40,l-20", "nvlabs-v2", "nvlabs-v1")
    assert found.actions == "w-40,lw-20,d-10"
    assert (found.frames_before, found.frames) == (141, 71)
    assert 0.005 < found.metres < 0.5, "the inertia of v2"
    assert "in 71 frames for 141" in found.told


def test_what_is_said_to_be_apart_is_apart():
    text = "w-40,aw-30"
    found = translated(text, "nvlabs-v1", "sglang")
    old, new = (actions_to_path(t, dialect=d, size=SIZE) for t, d in ((text, "nvlabs-v1"), (found.actions, "sglang")))
    ends = np.linalg.norm(old.c2w[-1, :3, 3] - new.c2w[-1, :3, 3])
    assert 0.1 < ends <= found.metres + 1e-6 and found.degrees > 10, "its sidestep turns the camera"
    same = translated("w-40,s-20", "nvlabs-v1", "sglang")
    assert same.metres < 1e-6 and same.frames == 76


@few
@given(strings)
def test_vllm_omni_goes_the_same_way_as_the_first_release(text):
    found = translated(text, "diffusers", "vllm-omni")
    assert found.metres < 1e-4 and found.told == "the same way", "the guard of its division is a millionth"


words = st.lists(
    st.tuples(st.sampled_from(list(DIALECTS["hy-worldplay"].keys)), st.integers(1, 9)), min_size=1, max_size=5
)


@few
@given(words.map(lambda parts: ",".join(f"{word}-{count}" for word, count in parts)))
def test_hy_worldplay_says_its_own_strings_as_they_are(text):
    found = translated(text, "hy-worldplay", "hy-worldplay")
    assert (found.actions, found.metres, found.told) == (text, 0, "the same way")


def test_words_become_keys_for_the_same_metres_or_degrees():
    found = translated("w-5,right-8,d-10,left-8,up-4", "hy-worldplay", "nvlabs-v1")
    assert found.actions == "w-8,l-20,d-16,j-20,i-10" and (found.frames_before, found.frames) == (141, 75)
    assert found.told == "the same way, in 75 frames for 141", "0.08 m and 3 degrees a step, 0.05 m and 1.2 a frame"
    rounded = translated("w-3", "hy-worldplay", "nvlabs-v1")
    assert rounded.actions == "w-5" and rounded.metres == pytest.approx(0.25 - 0.24, abs=1e-6)


def test_a_walk_after_looking_up_is_climbed_by_one_and_not_by_the_other():
    found = translated("up-10,w-10", "hy-worldplay", "nvlabs-v1")
    assert found.actions == "i-25,w-16"
    rises, falls_short = 0.8 * np.sin(np.radians(30)), 0.8 * (1 - np.cos(np.radians(30)))
    assert found.metres == pytest.approx(np.hypot(rises, falls_short), rel=1e-4), "the residual of the axes"


def test_keys_held_together_take_turns_where_one_word_is_said_at_a_time():
    found = translated("wl-20,w-8", "nvlabs-v1", "hy-worldplay")  # 1 m and 24 degrees, then 0.4 m
    turns = "w-1,right-1,w-1,right-1,w-2,right-1,w-1,right-1"
    assert found.actions == f"{turns},w-2,right-1,w-1,right-1,w-2,right-1,w-1,right-1,w-1,w-6"
    old, new = (
        actions_to_path(t, dialect=d, size=SIZE)
        for t, d in (("wl-20,w-8", "nvlabs-v1"), (found.actions, "hy-worldplay"))
    )
    assert 0 < np.linalg.norm(old.c2w[-1, :3, 3] - new.c2w[-1, :3, 3]) <= found.metres + 1e-6 < 0.08
    assert 0 < found.degrees < 3 and new.frames == found.frames == 1 + 4 * (12 + 8 + 6)


def test_what_rounding_leaves_over_is_made_up_for():
    found = translated(",".join(["w-1"] * 16), "nvlabs-v2", "hy-worldplay")  # 0.4 m in sixteenths, too short each
    assert sum(int(part[2:]) for part in found.actions.split(",")) == 5 and found.metres <= 0.04 + 1e-6


def test_standing_still_is_left_out_and_told_where_no_word_is_for_it():
    found = translated("w-8,none-7,ws-2,w-8", "nvlabs-v1", "hy-worldplay")
    assert found.actions == "w-5,w-5" and found.frames_left_out == 9
    assert "9 frames of standing still are left out" in found.told and found.metres < 1e-6
    for text in ("none-40", "w-1"):
        with pytest.raises(
            CameraError, match="comes to no step of hy-worldplay, 0.08 m or 3 degrees, .* make it longer"
        ):
            translated(text, "nvlabs-v2", "hy-worldplay")


def test_waiting_stays_as_long_as_it_was():
    assert translated("w-4,none-7,-3", "nvlabs-v1", "nvlabs-v2").actions == "w-8,none-7,none-3"


def test_unknown_dialects_and_strings_are_named():
    with pytest.raises(CameraError, match="dialect must be one of nvlabs-v2"):
        translated("w-4", "nvlabs-v1", "quake")
    with pytest.raises(CameraError, match="segment 2"):
        translated("w-4,q-3", "nvlabs-v1", "nvlabs-v2")
