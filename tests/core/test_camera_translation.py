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
@given(strings, st.sampled_from(list(DIALECTS)))
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


def test_waiting_stays_as_long_as_it_was():
    assert translated("w-4,none-7,-3", "nvlabs-v1", "nvlabs-v2").actions == "w-8,none-7,none-3"


def test_unknown_dialects_and_strings_are_named():
    with pytest.raises(CameraError, match="dialect must be one of nvlabs-v2"):
        translated("w-4", "nvlabs-v1", "quake")
    with pytest.raises(CameraError, match="segment 2"):
        translated("w-4,q-3", "nvlabs-v1", "nvlabs-v2")
