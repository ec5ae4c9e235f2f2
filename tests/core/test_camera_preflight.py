"""Preflight: what is said of a path, where, and that a plain path gets no warning."""

import numpy as np
import pytest

from wm_core.camera import DIALECTS, actions_to_path, preflight, preset_path, retiming
from wm_core.errors import ShapeError

SIZE = (704, 1280)


def made(text: str, **options):
    return actions_to_path(text, size=SIZE, **{"fov_deg": 70, **options})


def texts(found) -> str:
    return "\n".join(finding.text for finding in found.warnings)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "sglang"])
def test_keys_at_a_dialects_own_speed_get_no_warning(dialect):
    words = DIALECTS[dialect].spelling == "words"
    text = "w-10,d-5,a-5,up-5,down-5,left-5" if words else "w-40,d-20,a-20,i-20,k-20,j-20"
    found = preflight(made(text, dialect=dialect))
    assert not found.warnings, found.text
    assert "first second: forward" in found.text


def test_too_fast_a_move_is_warned_of_where_it_is():
    path = made("w-20", dialect="nvlabs-v1").then(made("w-20", dialect="nvlabs-v1", translation_speed=0.2))
    (found,) = preflight(path).warnings
    assert "moves up to 0.2 m a frame" in found.text and "frames 20-39" in found.text
    assert found.frames == (range(20, 40),)


def test_too_fast_a_turn_and_too_steep_a_look_are_warned_of():
    turn = preflight(preset_path("pan-right", frames=33, size=SIZE, amount=90, fov_deg=70, easing="linear"))
    assert "turns up to 2.81 degrees a frame" in texts(turn)
    steep = preflight(made("k-70", dialect="nvlabs-v1"))
    assert "looks 84 degrees down" in texts(steep) and len(steep.warnings) == 1
    assert steep.warnings[0].frames[0].start == 51, "1.2 degrees a frame pass 60 after frame 50"


def test_a_guessed_and_an_insane_field_of_view_are_warned_of():
    assert "is a guess" in texts(preflight(made("w-8", fov_deg=None)))
    assert "20 to 20 degrees; 25 to 120 are sane" in texts(preflight(made("w-8", fov_deg=20)))
    assert not preflight(made("w-8", fov_deg=26)).warnings


@pytest.mark.parametrize(("frames", "notes"), [(97, 0), (105, 1), (100, 2)])
def test_frame_counts_that_do_not_fit_are_noted_with_the_nearest(frames, notes):
    found = preflight(made(f"w-{frames - 1}")).findings
    lengths = [finding.text for finding in found if "k + 1" in finding.text]
    assert len(lengths) == notes
    if frames == 100:
        assert "nearest is 97" in lengths[0] and "nearest is 97" in lengths[1]


def test_coming_back_is_noted_with_its_seconds():
    found = preflight(retiming.there_and_back(made("w-80")))
    (note,) = [finding for finding in found.findings if "comes back" in finding.text]
    assert found.revisits[0].first in {r.start for r in note.frames} and " s and " in note.text
    assert not preflight(made("w-160")).revisits


def test_a_camera_that_goes_into_the_scene_is_found_and_one_beside_it_is_not():
    depth = np.full((44, 80), np.inf)
    depth[:, 35:45] = 1.0  # a wall in the middle
    path = made("w-40", dialect="nvlabs-v1")
    (found,) = preflight(path, depth=depth).warnings
    assert found.frames == (range(19, 41),), "0.05 m a frame: 0.95 m is within a tenth of a metre of it"
    assert "1.0 m ahead" in found.text and "1.2 s" in found.text
    assert not preflight(path, depth=np.roll(depth, 20, 1)).warnings
    assert not preflight(path, depth=np.where(np.isinf(depth), 0.0, np.nan)).warnings, "no surface is known"
    back = made("s-40", dialect="nvlabs-v1")
    assert not preflight(back, depth=depth).warnings


def test_a_depth_that_is_none_is_refused():
    with pytest.raises(ShapeError, match=r"got \(2, 3, 4\) float64"):
        preflight(made("w-8"), depth=np.ones((2, 3, 4)))


def test_one_frame_is_a_path_too():
    found = preflight(made("w-8").slice(0, 1))
    assert not found.warnings and found.summary.startswith("1 frame, 0.0 s")
