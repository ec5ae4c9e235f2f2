"""Load and Save Camera: what is saved is offered and loaded again, whatever the program; nothing lies outside the folders."""

import base64
import json

import numpy as np
import pytest
from test_conditioning import call, from_actions, nodes, picture  # noqa: F401

SIZE = (64, 96)


@pytest.fixture
def camera(nodes):  # noqa: F811
    return from_actions(nodes, "w-8,dw-8", fov=70.0, image=picture(*SIZE))


@pytest.fixture
def files(nodes, host_folders):  # noqa: F811
    return nodes.camera_files


@pytest.fixture
def errors(pack):
    from sana_wm_pack.wm_core import errors

    return errors


def load(files, name, **options):
    assert files.SanaWMCameraLoad.validate_inputs(name) is True
    return call(files.SanaWMCameraLoad, name, **options)[0]


def save(files, camera, host_folders, **options):
    """Saved, and the name under which it is offered."""
    (path,) = call(files.SanaWMCameraSave, camera, **options)
    name = "output/" + path.removeprefix(str(host_folders / "output") + "/")
    assert name in files.camera_files()
    return name


FORMATS = ["sana-wm", "npy", "npz", "tum", "kitti", "realestate10k", "nerfstudio", "colmap-binary", "colmap-text"]
SCENES = ["gltf", "omnicam"]


@pytest.mark.parametrize("name", FORMATS + SCENES)
def test_every_format_is_offered_again_and_gives_the_same_way(files, camera, host_folders, name):
    saved = save(files, camera, host_folders, format=name)
    found = load(files, saved, image=picture(*SIZE), fov=70.0 if name in ("npy", "tum", "kitti") else 0.0)
    np.testing.assert_allclose(found.c2w, camera.c2w, atol=2e-6)
    np.testing.assert_allclose(found.intrinsics, camera.intrinsics, rtol=1e-5)
    assert (found.size, found.frames) == (SIZE, 17) and found.fps == pytest.approx(16)


def test_the_own_format_keeps_where_it_came_from(files, camera, host_folders):
    found = load(files, save(files, camera, host_folders))
    assert found.provenance.actions == "w-8,dw-8" and found.provenance.intrinsics_source == "field of view"


@pytest.mark.parametrize("name", ["sana-wm", "npz", "gltf"])
def test_a_prefix_with_a_dot_keeps_its_number(files, camera, host_folders, name):
    first, second = (save(files, camera, host_folders, format=name, filename_prefix="cameras/v1.5") for _ in range(2))
    assert first != second and "v1.5_00001_." in first and "v1.5_00002_." in second


def test_axes_and_units_of_another_program_are_undone(files, camera, host_folders):
    asked = {"convention": "unreal", "matrices": "w2c", "metres": 0.01}
    saved = save(files, camera, host_folders, format="npz", **asked)
    np.testing.assert_allclose(load(files, saved, **asked).c2w, camera.c2w, atol=1e-5)
    wrong = load(files, saved, **{**asked, "convention": "auto"})
    assert np.abs(wrong.c2w - camera.c2w).max() > 0.1


def test_a_path_begins_at_its_first_camera_and_says_what_was_done(files, camera, nodes, host_folders):  # noqa: F811
    from sana_wm_pack.wm_core.camera import export_path, reshaping

    moved = reshaping.rebased(camera, 8)
    export_path(moved, host_folders / "input" / "shot.npz")
    path, told = call(files.SanaWMCameraLoad, "shot.npz")
    np.testing.assert_allclose(path.c2w, camera.c2w, atol=2e-6)
    assert told.startswith("forward") and "relative to the first frame" in told


def test_keyframes_and_a_second_file_of_intrinsics_are_read(files, camera, host_folders):
    from sana_wm_pack.wm_core.camera import Key, Keyframes, write_keyframes

    document = write_keyframes(Keyframes((Key(0, fov=60), Key(8, (0, 0, 2), fov=60)), 9, SIZE))
    (host_folders / "input" / "shot.json").write_text(document)
    assert load(files, "shot.json").c2w[-1, 2, 3] == pytest.approx(2)
    np.save(host_folders / "input" / "pose.npy", camera.c2w)
    np.save(host_folders / "input" / "lens.npy", np.array((90.0, 90.0, 48.0, 32.0)))
    found = load(files, "pose.npy", intrinsics="lens.npy", image=picture(*SIZE))
    np.testing.assert_array_equal(found.intrinsics[5], (90, 90, 48, 32))


def test_the_camera_of_a_scene_is_read_at_the_rate_that_is_asked_for(files, errors, host_folders):
    scene = {"nodes": [{"camera": 0}], "cameras": [{"type": "perspective", "perspective": {"yfov": 0.8}}]}
    scene |= {"animations": [{"channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]}]}
    scene["animations"][0]["samplers"] = [{"input": 0, "output": 1}]
    scene["accessors"] = [
        {"bufferView": 0, "componentType": 5126, "count": 2, "type": kind, "byteOffset": at}
        for kind, at in (("SCALAR", 0), ("VEC3", 8))
    ]
    numbers = np.array((0, 1, 0, 0, 0, 0, 0, -4), "<f4").tobytes()
    scene |= {
        "bufferViews": [{"buffer": 0}],
        "buffers": [{"uri": "data:;base64," + base64.b64encode(numbers).decode()}],
    }
    (host_folders / "input" / "shot.gltf").write_text(json.dumps(scene))
    assert "shot.gltf" in files.camera_files()
    found = load(files, "shot.gltf", fps=8.0, metres=0.5, image=picture(*SIZE))
    assert (found.frames, found.fps, found.size) == (9, 8.0, SIZE)
    np.testing.assert_allclose(found.c2w[-1, :3, 3], (0, 0, 2), atol=1e-6)
    with pytest.raises(errors.CameraError, match="shot.gltf is glTF, which has one convention"):
        load(files, "shot.gltf", convention="unreal")


@pytest.mark.parametrize("name", SCENES)
def test_scenes_are_found_by_themselves_and_by_name_and_have_one_convention(files, camera, errors, host_folders, name):
    saved = save(files, camera, host_folders, format=name, metres=0.01)
    for asked in ({}, {"format": name}):
        found = load(files, saved, metres=0.01, **asked)
        np.testing.assert_allclose(found.c2w, camera.c2w, atol=1e-5)
        assert (found.size, found.fps) == (SIZE, 16) and f"as {name}" in found.provenance.source
    for wrong in ({"convention": "unreal"}, {"matrices": "w2c"}):
        words = f"which has one convention; leave {next(iter(wrong))} alone"
        with pytest.raises(errors.CameraError, match=words):
            load(files, saved, **wrong)
        with pytest.raises(errors.CameraError, match=words):
            call(files.SanaWMCameraSave, camera, format=name, **wrong)
    with pytest.raises(errors.CameraError, match="leave matrices and transposed alone"):
        load(files, saved, matrices="c2w", transposed=True)


@pytest.mark.parametrize(("name", "words"), [("gltf", "only this pack reads it"), ("omnicam", "OmniCam has no place")])
def test_what_a_scene_cannot_hold_is_said_under_the_node(files, camera, name, words):
    from dataclasses import replace

    node = files.SanaWMCameraSave.PREPARE_CLASS_CLONE(None)
    moved = replace(camera, intrinsics=camera.intrinsics + np.float32((0, 0, 5, 0)))
    (path,), shown = (made := node.execute(moved, format=name)).args, made.ui.as_dict()["text"][0]
    assert shown.splitlines()[0] == path
    assert "the principal point is up to 5 pixels off the middle" in shown and words in shown
    assert node.execute(camera, format=name).ui.as_dict()["text"][0].count("\n") == 0


def test_an_edit_of_several_omnicam_cameras_is_refused_with_their_names(files, camera, errors, host_folders):
    from sana_wm_pack.wm_core.camera import omnicam_text

    track = json.loads(omnicam_text(camera)[0])
    scene = {"version": 1, "cameras": [{"id": name, "track": track} for name in ("wide", "close")]}
    scene |= {"active_camera_id": "close", "cuts": []}
    (host_folders / "input" / "edit.json").write_text(json.dumps(scene))
    np.testing.assert_allclose(load(files, "edit.json").c2w, camera.c2w, atol=1e-5)
    scene["cuts"] = [{"camera_id": name, "time_seconds": at} for at, name in enumerate(("wide", "close"))]
    (host_folders / "input" / "edit.json").write_text(json.dumps(scene))
    with pytest.raises(errors.CameraError, match="edit.json cuts between cameras.*'close', 'wide'"):
        load(files, "edit.json")


def test_what_is_not_there_and_what_lies_outside_is_named_before_the_run(files, errors, host_folders, camera):
    for name in ("gone.npz", "../secret.npz", "output/../../secret.npz"):
        (host_folders.parent / "secret.npz").write_bytes(b"PK")
        message = files.SanaWMCameraLoad.validate_inputs(name)
        assert message.startswith(f"camera file {name!r} is not in the input or output folder")
        with pytest.raises(errors.CameraError, match="not in the input or output folder"):
            call(files.SanaWMCameraLoad, name)
    with pytest.raises(errors.CameraError, match="always OpenCV c2w in metres"):
        call(files.SanaWMCameraSave, camera, metres=0.01)
    (host_folders / "input" / "broken.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(errors.CameraError, match="broken.npz is not a whole .npz archive"):
        load(files, "broken.npz")


def test_a_changed_file_is_read_again(files, camera, host_folders):
    saved = save(files, camera, host_folders, format="colmap-text")
    before = files.SanaWMCameraLoad.fingerprint_inputs(saved)
    images = host_folders / saved / "images.txt"
    images.write_text(images.read_text() + "\n")
    assert files.SanaWMCameraLoad.fingerprint_inputs(saved) != before


def test_the_shipped_camera_is_offered_behind_the_users_own(files, camera, host_folders):
    from sana_wm_pack.wm_core.camera import export_path

    (shipped,) = files.CAMERAS.iterdir()
    assert shipped.name in files.camera_files() and shipped.name not in files.camera_files(".npy")
    assert load(files, shipped.name, fov=70.0).frames == 193
    before = files.SanaWMCameraLoad.fingerprint_inputs(shipped.name)
    export_path(camera, host_folders / "input" / shipped.name, format="tum")
    assert files.camera_files().count(shipped.name) == 1
    assert load(files, shipped.name, fov=70.0).frames == camera.frames
    assert files.SanaWMCameraLoad.fingerprint_inputs(shipped.name) != before
