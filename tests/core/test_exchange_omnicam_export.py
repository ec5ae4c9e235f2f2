"""OmniCam tracks that this package writes: they give the same path again, and what the format cannot hold is said."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exchange_damage import at_most
from test_exchange_round_trip import paths

from wm_core.camera import CameraPath, actions_to_path, find_scene, from_fov, omnicam_export, omnicam_path
from wm_core.camera.rotation import pitch_rotation, rigid, roll_rotation, yaw_rotation
from wm_core.errors import CameraError, StorageError

SIZE = (400, 800)


@settings(deadline=None, max_examples=60)
@given(path=paths(), metres=st.sampled_from((1.0, 0.01)), distance=st.sampled_from((0.5, 1.0, 20.0)))
def test_reading_what_was_written_gives_the_same_path(tmp_path_factory, path, metres, distance):
    height, width = path.size
    rows = np.array(path.intrinsics)
    rows[:, 0], rows[:, 2:] = rows[:, 1], (width / 2, height / 2)
    path = CameraPath(path.c2w, rows, path.size, round(path.fps))
    file = tmp_path_factory.mktemp("there") / "walk.json"
    assert omnicam_export(path, file, metres=metres, distance=distance) == ()
    again = omnicam_path(file, metres=metres)
    assert find_scene(file).name == "omnicam"
    scale = max(1.0, float(np.abs(path.c2w[:, :3, 3]).max()))
    np.testing.assert_allclose(again.c2w[:, :3, 3], path.c2w[:, :3, 3], rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(again.c2w[:, :3, :3], path.c2w[:, :3, :3], rtol=0, atol=1e-5)
    np.testing.assert_allclose(again.intrinsics, path.intrinsics, rtol=1e-6)
    assert (again.frames, again.size, again.fps) == (path.frames, path.size, path.fps)


@pytest.mark.parametrize("off", [0.0, 1e-9, 1e-7, 2e-6, 1e-4, 0.1])
@pytest.mark.parametrize("way", [1, -1])
def test_steep_cameras_come_back_with_their_roll(tmp_path, off, way):
    angles = np.linspace(-3, 3, 7)
    rotation = yaw_rotation(angles) @ pitch_rotation(np.full(7, way * (np.pi / 2 - off))) @ roll_rotation(angles[::-1])
    c2w = rigid(rotation, np.tile((300.123456, -40.5, 7.7), (7, 1)))
    path = CameraPath(c2w, np.tile(from_fov(70, SIZE), (7, 1)), SIZE, 16.0)
    omnicam_export(path, tmp_path / "walk.json")
    np.testing.assert_allclose(omnicam_path(tmp_path / "walk.json").c2w[:, :3, :3], path.c2w[:, :3, :3], atol=1e-5)


@pytest.mark.parametrize(("focal", "fov", "zoom"), [(10_000, 5, 2.1830), (30, 150, 0.5598), (200, 90, 1)])
def test_views_beyond_its_bounds_are_left_to_the_zoom(tmp_path, focal, fov, zoom):
    path = actions_to_path("w-3", size=SIZE, fov_deg=70).seen_through((focal, focal, 400, 200), "given")
    omnicam_export(path, tmp_path / "walk.json")
    camera = json.loads((tmp_path / "walk.json").read_text())["keyframes"][0]["camera"]
    assert (camera["fov"], camera["zoom"]) == (pytest.approx(fov), pytest.approx(zoom, rel=1e-3))
    np.testing.assert_allclose(omnicam_path(tmp_path / "walk.json").intrinsics, path.intrinsics, rtol=1e-6)


def test_what_the_format_cannot_hold_is_said(tmp_path):
    path = actions_to_path("w-3", size=SIZE, fov_deg=70, fps=29.97).seen_through((440, 400, 412, 195), "given")
    rate, moved, stretched = omnicam_export(path, tmp_path / "walk.json")
    assert rate == "OmniCam counts whole frames a second: 29.97 became 30"
    assert moved == "the principal point is up to 12 pixels off the middle, for which OmniCam has no place"
    assert stretched == "fx and fy differ by up to 0.1 of fy, for which OmniCam has no place"
    np.testing.assert_allclose(omnicam_path(tmp_path / "walk.json").intrinsics, np.tile((400, 400, 400, 200), (4, 1)))


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    walk = actions_to_path("w-3", size=SIZE, fov_deg=70)
    long = CameraPath(np.tile(np.eye(4), (10_001, 1, 1)), np.tile(from_fov(70, SIZE), (10_001, 1)), SIZE, 16.0)
    small = actions_to_path("w-3", size=(32, 64), fov_deg=70)
    for path, options, words in (
        (long, {}, "at most 10000 keys, the path has 10001 frames"),
        (actions_to_path("w-3", size=SIZE, fps=0.1), {}, "1 to 120 frames a second, got 0.1"),
        (small, {}, r"64 to 4096 pixels a side, got \(32, 64\)"),
        (walk, {"distance": 0.0}, "distance must be positive metres"),
        (walk, {"metres": -1.0}, "metres is the length of the file's unit"),
    ):
        with pytest.raises(CameraError, match=words):
            omnicam_export(path, tmp_path / "walk.json", **options)
    with pytest.raises(StorageError, match="cannot be written"):
        omnicam_export(walk, tmp_path / "none" / "walk.json")
    assert not list(tmp_path.iterdir())


def test_the_longest_track_that_is_written_is_read(tmp_path):
    c2w = np.tile(np.eye(4), (10_000, 1, 1))
    c2w[:, :3, 3] = np.random.default_rng(0).normal(size=(10_000, 3)) * 1e3
    path = CameraPath(c2w, np.tile(from_fov(70, SIZE), (10_000, 1)), SIZE, 16.0)
    omnicam_export(path, tmp_path / "walk.json")
    with at_most(64):
        assert omnicam_path(tmp_path / "walk.json").frames == 10_000
