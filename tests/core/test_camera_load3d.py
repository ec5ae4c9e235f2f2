"""Cameras of 3-D nodes: three.js axes become OpenCV's, and the path goes smoothly through them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import CameraPath, angle_between, field_of_view_deg, from_fov, load3d_path, quaternion, to_load3d
from wm_core.camera.rotation import angles_of, pitch_rotation, rigid, roll_rotation, yaw_rotation
from wm_core.errors import CameraError

SIZE = (400, 800)


def info(position=(0, 0, 5), target=(0, 0, 0), **more) -> dict:
    axes = lambda values, names="xyz": dict(zip(names, values))
    given = {"position": axes(position), "target": axes(target), "zoom": 1, "cameraType": "perspective", "fov": 40}
    if "quaternion" in more:
        more["quaternion"] = axes(more["quaternion"], "xyzw")
    return given | more


def path(*cameras, **options):
    return load3d_path(cameras, **{"frames": 33, "size": SIZE} | options)


def test_nearer_is_forward_higher_is_up_and_to_its_right_is_right():
    def end(position, target):
        return path(info(), info(position, target)).c2w[-1, :3, 3]

    np.testing.assert_allclose(end((0, 0, 3), (0, 0, 0)), (0, 0, 2), atol=1e-6)
    np.testing.assert_allclose(end((0, 1, 5), (0, 1, 0)), (0, -1, 0), atol=1e-6)
    np.testing.assert_allclose(end((2, 0, 5), (2, 0, 0)), (2, 0, 0), atol=1e-6)


def test_a_quaternion_says_the_same_as_the_target_it_looks_at():
    half = math.radians(30) / 2  # about y, to the left
    turned = info((1, 2, 3), quaternion=(0, math.sin(half), 0, math.cos(half)), target=(9, 9, 9))
    ahead = (1 - math.sin(2 * half), 2, 3 - math.cos(2 * half))
    found, wanted = (path(info(), camera).c2w for camera in (turned, info((1, 2, 3), ahead)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.degrees(angle_between(np.eye(3), found[-1, :3, :3])) == pytest.approx(30, abs=1e-3)


def test_a_vertical_field_of_view_and_a_zoom_become_the_pictures():
    row = path(info(fov=53.130102), info(fov=53.130102, zoom=2.0)).intrinsics
    assert row[0, 0] == pytest.approx(400, rel=1e-5) and row[-1, 0] == pytest.approx(800, rel=1e-5)
    silent = info()
    del silent["fov"]
    assert field_of_view_deg(path(silent, fov_deg=40.0).intrinsics[0], SIZE)[1] == pytest.approx(40, abs=1e-3)
    with pytest.raises(CameraError, match="camera 1 does not say its field of view"):
        path(silent)


def test_the_path_meets_every_camera_and_keeps_its_scale():
    cameras = [info((0, 0, 5)), info((3, 1, 4), (0, 0, 0)), info((5, 0, 0), (0, 0, 0))]
    found = path(*cameras, metres=0.5, frames=129)
    centre = found.c2w[:, :3, 3]
    wanted = np.array((3, -1, 1)) * 0.5
    assert np.linalg.norm(centre - wanted, axis=1).min() < 0.05
    np.testing.assert_allclose(centre[-1], np.array((5, 0, 5)) * 0.5, atol=1e-5)
    assert "3 cameras of 3-D nodes" in found.provenance.conversions
    still = path(info((4, 4, 4)))
    np.testing.assert_allclose(still.c2w, np.eye(4)[None].repeat(33, 0), atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1)))
def test_angles_come_back_from_rotations(angles):
    yaw, pitch, roll = (np.array([a]) for a in angles)
    rotation = yaw_rotation(yaw) @ pitch_rotation(pitch) @ roll_rotation(roll)
    found = angles_of(rotation)
    np.testing.assert_allclose(found, [angles], atol=1e-6)


def test_straight_down_is_an_angle_too():
    rotation = yaw_rotation(np.array([0.4])) @ pitch_rotation(np.array([-np.pi / 2]))
    yaw, pitch, roll = angles_of(rotation).T
    again = yaw_rotation(yaw) @ pitch_rotation(pitch) @ roll_rotation(roll)
    np.testing.assert_allclose(again, rotation, atol=1e-7)
    assert quaternion.from_rotation(rotation).shape == (1, 4)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("no dict", "camera 1 must be a camera_info of a 3-D node, got str"),
        ({}, "camera 1 must have a position with x, y, z, got None"),
        (info((0, 0, math.nan)), "camera 1 must have a position"),
        (info(position=(0, 1)), "must have a position with x, y, z"),
        (info(cameraType="orthographic"), "camera 1 is orthographic"),
        (info(quaternion=(0, 0, 0, 3)), "quaternion of length 3"),
        (info((0, 0, 0), (0, 5, 0)), "stands on the point to look at"),
        (info(fov="wide"), "field of view of 'wide'"),
        (info(zoom=100.0), "camera 1 sees 0.8 degrees"),
    ],
)
def test_what_is_no_camera_is_said(camera, words):
    with pytest.raises(CameraError, match=words):
        path(camera)


def test_what_is_no_path_is_said():
    for cameras, options, words in (((), {}, "at least 1 camera"), ((info(),), {"metres": 0}, "metres must be"),
                                    ((info(), info()), {"frames": 1}, "2 cameras need at least as many frames")):  # fmt: skip
        with pytest.raises(CameraError, match=words):
            path(*cameras, **options)


STORED = 1e-5  # metres: paths are float32, whose steps at the 40 m between these cameras are 4e-6


def shaken(frames: int) -> CameraPath:
    """Cameras that stand and look anywhere, with views of their own."""
    random = np.random.default_rng(frames)
    angles = random.uniform(-3, 3, (3, frames))
    rotation = yaw_rotation(angles[0]) @ pitch_rotation(angles[1] / 2) @ roll_rotation(angles[2])
    lens = np.stack([from_fov(float(fov), SIZE) for fov in random.uniform(20, 120, frames)])
    return CameraPath(rigid(rotation, random.normal(size=(frames, 3)) * 10), lens, SIZE, 16.0)


@pytest.mark.parametrize("distance", [0.1, 1.0, 50.0])
def test_what_3d_nodes_are_given_is_the_pose_again(distance):
    given = shaken(6)
    for frame in (1, 3, 5, -1):
        found = path(to_load3d(given, 0, distance), to_load3d(given, frame, distance))
        np.testing.assert_allclose(found.c2w[-1], given.relative_to_first().c2w[frame], atol=STORED)
        np.testing.assert_allclose(found.intrinsics[[0, -1]], given.intrinsics[[0, frame]], rtol=1e-5)


def test_the_target_lies_straight_ahead_and_without_the_quaternion_only_the_roll_is_missing():
    given = shaken(4)
    made = to_load3d(given, 2, 3.0)
    position, target = (np.array([made[name][axis] for axis in "xyz"]) for name in ("position", "target"))
    ahead = given.c2w[2, :3, 2] * (1, -1, -1)
    np.testing.assert_allclose(target, position + 3 * ahead, atol=STORED)
    assert (made["zoom"], made["cameraType"]) == (1.0, "perspective")
    assert made["fov"] == pytest.approx(field_of_view_deg(given.intrinsics[2], SIZE)[1])
    level = path(to_load3d(given, 0), {name: value for name, value in made.items() if name != "quaternion"})
    exact = path(to_load3d(given, 0), made)
    np.testing.assert_allclose(level.c2w[-1, :3, 2:], exact.c2w[-1, :3, 2:], atol=STORED)
    assert json.loads(json.dumps(made)) == made, "3-D nodes send it to the browser"


def test_what_is_no_frame_and_no_distance_is_said():
    for frame in (4, -5):
        with pytest.raises(CameraError, match=f"frame {frame} is not part of a path of 4 frames; the last one is -1"):
            to_load3d(shaken(4), frame)
    for distance in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(CameraError, match="distance must be positive metres to the target"):
            to_load3d(shaken(4), 0, distance)
