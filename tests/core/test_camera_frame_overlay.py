"""The camera drawn on its film: the keys that are held, the horizon where it is, and nothing where no layer is."""

import numpy as np
import pytest

from wm_core.camera import Layers, actions_to_path, held_keys, overlaid, preset_path, reshaping
from wm_core.camera.frame_overlay import horizon
from wm_core.errors import ShapeError

SIZE = (240, 400)
GRAY = np.full((*SIZE, 3), 128, np.uint8)


def path():
    return actions_to_path("w-8,da-4,none-4,kj-8", size=SIZE, fov_deg=70, dialect="nvlabs-v1")


def changed(frame: np.ndarray) -> np.ndarray:
    return (frame != GRAY).any(-1)


def test_the_keys_of_an_action_string_are_those_that_were_typed():
    keys = held_keys(path())
    assert len(keys) == 25 and keys[:8] == ["w"] * 8 and keys[8] == "ad" and keys[14] == "" and keys[-1] == "jk"


@pytest.mark.parametrize(
    ("name", "key"), [("dolly-in", "w"), ("truck-left", "j"), ("pan-right", "d"), ("tilt-down", "k"), ("hold", "")]
)
def test_other_paths_show_the_keys_that_would_make_them(name, key):
    assert held_keys(preset_path(name, frames=9, size=SIZE, easing="linear")) == [key] * 9
    assert held_keys(preset_path(name, frames=1, size=SIZE)) == [""]


def test_a_path_that_was_changed_does_not_show_the_old_keys():
    assert held_keys(reshaping.mirrored(actions_to_path("d-8", size=SIZE, dialect="nvlabs-v2")))[0] == "a"


def test_the_horizon_is_where_level_rays_end():
    level = preset_path("hold", frames=1, size=SIZE, fov_deg=70)
    np.testing.assert_allclose(horizon(level, 0, SIZE), [(0, 120), (400, 120)])
    np.testing.assert_allclose(horizon(level, 0, (480, 800)), [(0, 240), (800, 240)])
    up = preset_path("tilt-up", frames=9, size=SIZE, amount=20, fov_deg=70)
    below = up.intrinsics[0, 1] * np.tan(np.radians(20))
    np.testing.assert_allclose(horizon(up, 8, SIZE)[:, 1], 120 + below, rtol=1e-5)
    rolled = preset_path("roll-right", frames=9, size=SIZE, amount=30, fov_deg=70)
    (x0, y0), (x1, y1) = horizon(rolled, 8, SIZE)
    assert (y1 - y0) / (x1 - x0) == pytest.approx(-np.tan(np.radians(30)), rel=1e-5)
    assert horizon(preset_path("roll-right", frames=9, size=SIZE, amount=90), 8, SIZE) is None


def test_each_layer_draws_in_its_place_and_none_draws_nothing():
    def first(**layers):
        return changed(
            next(overlaid([GRAY], path(), Layers(**{"way": False, "keys": False, "horizon": False} | layers)))
        )

    assert not first().any()
    keys, way, line = first(keys=True), first(way=True), first(horizon=True)
    assert keys[200:, :120].any() and not keys[:200].any() and not keys[:, 130:].any()
    assert way[150:, 310:].any() and not way[:150].any() and not way[:, :310].any()
    assert set(np.flatnonzero(line.any(1))) <= {119, 120, 121} and line.any(0).all()


def test_lit_keys_and_the_place_on_the_map_follow_the_frames():
    frames = list(overlaid([GRAY] * 25, path(), Layers(horizon=False)))
    assert (frames[0] != frames[9]).any() and len(frames) == 25
    keys = [frame[:, :130] for frame in frames]
    np.testing.assert_array_equal(keys[0], keys[7])
    assert (keys[7] != keys[8]).any()
    assert (frames[0][:, 300:] != frames[5][:, 300:]).any(), "the camera moves on the map"


def test_a_film_that_is_longer_than_its_camera_is_refused():
    assert len(list(overlaid([GRAY] * 10, path()))) == 10
    with pytest.raises(ShapeError, match="more frames than the camera's 25"):
        list(overlaid([GRAY] * 26, path()))
