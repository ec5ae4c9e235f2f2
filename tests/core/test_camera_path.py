"""CameraPath: what it refuses, how it is cut and joined, its file, and the axes of other programs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from wm_core.camera import (
    CONVENTIONS,
    DIALECTS,
    CameraPath,
    Provenance,
    actions_to_path,
    angle_between,
    fit_crop,
    from_opencv,
    load_path,
    relative_to_first,
    rigid_inverse,
    save_path,
    to_opencv,
)
from wm_core.camera.rotation import pitch_rotation, yaw_rotation
from wm_core.errors import CameraError, ShapeError

SIZE = (704, 1280)
few = settings(deadline=None, max_examples=40)
strings = st.lists(st.tuples(st.text("wasdijkl", max_size=3), st.integers(1, 30)), min_size=1, max_size=6).map(
    lambda parts: ",".join(f"{keys}-{frames}" for keys, frames in parts)
)


@pytest.fixture
def path() -> CameraPath:
    return actions_to_path("w-10,dw-10,i-10,jk-10", size=SIZE, fov_deg=70)


def same_cameras(a: CameraPath, b: CameraPath) -> bool:
    return (
        np.array_equal(a.c2w, b.c2w)
        and np.array_equal(a.intrinsics, b.intrinsics)
        and (a.size, a.fps, a.provenance) == (b.size, b.fps, b.provenance)
    )


def changed(values: np.ndarray, index: tuple, value: float) -> np.ndarray:
    copy = values.copy()
    copy[index] = value
    return copy


def test_path_does_not_share_memory_and_cannot_be_written(path):
    c2w = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    made = CameraPath(c2w, path.intrinsics[:3], SIZE, 16)
    c2w[1, 0, 3] = 5
    assert made.c2w[1, 0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        made.c2w[1, 0, 3] = 5


@pytest.mark.parametrize(
    ("index", "value", "words"),
    [
        ((3, 0, 3), np.nan, "finite, frame 3"),
        ((5, 3, 0), 1.0, "0 0 0 1, frame 5"),
        ((7, 0, 0), 1.1, "rotation and translation only, frame 7"),
    ],
)
def test_bad_matrices_are_refused_with_their_frame(path, index, value, words):
    with pytest.raises(CameraError, match=words):
        replace(path, c2w=changed(path.c2w, index, value))


def test_mirrored_scaled_and_transposed_matrices_are_refused(path):
    for factor, words in (((-1, 1, 1, 1), "mirror"), ((2, 2, 2, 1), "scale")):
        with pytest.raises(CameraError, match=words):
            replace(path, c2w=path.c2w * np.array(factor))
    with pytest.raises(CameraError, match="transposed"):
        replace(path, c2w=path.c2w.transpose(0, 2, 1))


def test_wrong_shapes_sizes_and_focal_lengths_are_refused(path):
    with pytest.raises(ShapeError, match="append the row"):
        replace(path, c2w=path.c2w[:, :3])
    with pytest.raises(ShapeError, match=r"\(41, 4\)"):
        replace(path, intrinsics=path.intrinsics[:5])
    with pytest.raises(CameraError, match="positive, frame 2"):
        replace(path, intrinsics=changed(path.intrinsics, (2, 1), 0.0))
    with pytest.raises(ShapeError, match="size"):
        replace(path, size=(704.5, 1280))
    with pytest.raises(CameraError, match="fps"):
        replace(path, fps=0.0)


def test_with_length_cuts_or_holds_the_last_camera(path):
    longer, shorter = path.with_length(60), path.with_length(7)
    np.testing.assert_array_equal(longer.c2w[:41], path.c2w)
    np.testing.assert_array_equal(longer.c2w[41:], np.tile(path.c2w[-1], (19, 1, 1)))
    np.testing.assert_array_equal(shorter.c2w, path.c2w[:7])
    assert longer.intrinsics.shape == (60, 4) and "60" in longer.provenance.conversions[-1]
    assert path.with_length(41) is path


@few
@given(strings, st.data())
def test_split_path_joined_again_equals_the_whole(text, data):
    whole = actions_to_path(text, size=SIZE)
    at = data.draw(st.integers(0, whole.frames - 1))
    joined = whole.slice(0, at + 1).then(whole.slice(at, whole.frames))
    assert joined.frames == whole.frames
    np.testing.assert_allclose(joined.c2w, whole.c2w, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(joined.intrinsics, whole.intrinsics)


@pytest.mark.parametrize("dialect", ["nvlabs-v1", "sglang"])
def test_joining_the_paths_of_two_strings_equals_the_path_of_both(dialect):
    def made(text: str) -> CameraPath:
        return actions_to_path(text, dialect=dialect, size=SIZE)

    joined = made("w-20,ld-10").then(made("wj-15,s-5,i-10"))
    np.testing.assert_allclose(joined.c2w, made("w-20,ld-10,wj-15,s-5,i-10").c2w, rtol=0, atol=2e-6)


def test_parts_that_do_not_exist_or_do_not_fit_are_refused(path):
    for start, stop in ((-1, 3), (3, 3), (0, 42)):
        with pytest.raises(CameraError, match="41 frames"):
            path.slice(start, stop)
    with pytest.raises(CameraError, match="joined"):
        path.then(replace(path, fps=24))


def test_relative_path_starts_at_the_identity_and_keeps_the_shape(path):
    moved = replace(path, c2w=path.c2w[15].astype(np.float64) @ path.c2w)
    relative = moved.relative_to_first()
    np.testing.assert_array_equal(relative.c2w[0], np.eye(4))
    np.testing.assert_allclose(relative.c2w, path.c2w, atol=2e-6)


def test_cropped_path_is_in_pixels_of_the_target(path):
    crop = fit_crop(SIZE, (480, 832))
    cropped = path.cropped(crop)
    assert cropped.size == (480, 832) and cropped.provenance.conversions[-1] == "cropped 1280x704 to 832x480"
    np.testing.assert_array_equal(cropped.intrinsics, crop.apply_to_intrinsics(path.intrinsics))
    with pytest.raises(CameraError, match="fit_crop"):
        cropped.cropped(crop)


@few
@given(strings, st.sampled_from(sorted(d for d in DIALECTS if DIALECTS[d].spelling == "letters")), st.floats(1, 60))
def test_string_to_file_and_back_is_the_identity(tmp_path_factory, text, dialect, fps):
    path = actions_to_path(text, dialect=dialect, size=SIZE, fps=fps).with_length(50)
    file = tmp_path_factory.mktemp("paths") / "walk.safetensors"
    save_path(path, file)
    assert same_cameras(load_path(file), path)


def test_saving_replaces_the_file_and_leaves_nothing_else(path, tmp_path):
    file = tmp_path / "walk.safetensors"
    save_path(path.with_length(3), file)
    save_path(path, file)
    assert same_cameras(load_path(file), path)
    assert list(tmp_path.iterdir()) == [file]


def test_every_truncation_of_a_file_is_refused(path, tmp_path):
    file = tmp_path / "walk.safetensors"
    save_path(path, file)
    whole = file.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(CameraError, match=r"walk.safetensors is not a whole"):
            load_path(file)


def test_foreign_and_missing_files_are_named(path, tmp_path):
    file = tmp_path / "walk.safetensors"
    with pytest.raises(CameraError, match=r"no camera path at .*walk"):
        load_path(file)
    np.save(tmp_path / "walk.npy", path.c2w)
    with pytest.raises(CameraError, match=r"walk.npy is not a whole"):
        load_path(tmp_path / "walk.npy")
    save_file({"weight": path.c2w}, file)
    with pytest.raises(CameraError, match="not a camera path"):
        load_path(file)


GOOD = {"format": "sana-wm-camera", "version": "1", "size": "[704, 1280]", "fps": "16.0"}
ORIGIN = '{"dialect": null, "actions": null, "source": "given", "conversions": [], "intrinsics_source": "given"}'


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"version": "2"}, "update the pack"),
        ({"size": "1280"}, "not a valid"),
        ({"size": "[704]"}, "size must be"),
        ({"fps": '"16"'}, "not a valid"),
        ({"fps": "-1"}, "fps must be"),
        ({"provenance": "[]"}, "exactly the fields"),
        ({"provenance": ORIGIN.replace("null", "3", 1)}, "texts"),
        ({"provenance": ORIGIN.replace("[]", '"ab"')}, "texts"),
        ({"provenance": ORIGIN.replace("source", "origin", 1)}, "exactly the fields"),
        ({"provenance": "{"}, "not a valid"),
    ],
)
def test_files_with_wrong_metadata_are_refused(path, tmp_path, edit, words):
    file = tmp_path / "walk.safetensors"
    tensors = {"c2w": path.c2w, "intrinsics": path.intrinsics}
    save_file(tensors, file, {**GOOD, "provenance": ORIGIN})
    assert load_path(file).provenance == Provenance()
    save_file(tensors, file, {**GOOD, "provenance": ORIGIN, **edit})
    with pytest.raises(CameraError, match=words):
        load_path(file)


def test_files_with_wrong_tensors_are_refused(path, tmp_path):
    file = tmp_path / "walk.safetensors"
    metadata = {**GOOD, "provenance": ORIGIN}
    save_file({"c2w": path.c2w}, file, metadata)
    with pytest.raises(CameraError, match="'intrinsics', got c2w float32"):
        load_path(file)
    save_file({"c2w": path.c2w.astype(np.float64), "intrinsics": path.intrinsics}, file, metadata)
    with pytest.raises(CameraError, match="c2w float64"):
        load_path(file)
    save_file({"c2w": 2 * path.c2w, "intrinsics": path.intrinsics}, file, metadata)
    with pytest.raises(CameraError, match=r"walk.safetensors is not a valid camera path: the last row"):
        load_path(file)


@few
@given(st.sampled_from(sorted(CONVENTIONS)), st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-9, 9))
def test_conversion_of_axes_round_trips_and_stays_rigid(convention, yaw, pitch, metres):
    c2w = np.eye(4)
    c2w[:3, :3] = yaw_rotation(yaw) @ pitch_rotation(pitch)
    c2w[:3, 3] = metres, 2, -metres
    there = from_opencv(c2w, convention)
    assert np.linalg.det(there[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(to_opencv(there, convention), c2w, atol=1e-12)


def test_level_cameras_of_other_programs_look_ahead_in_opencv():
    opengl = np.eye(4)
    opengl[:3, 3] = 1, 2, -3  # right, up, ahead
    blender = np.eye(4)
    blender[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # 90 degrees about x, which looks along +y
    blender[:3, 3] = 1, 3, 2  # right, ahead, up
    for name, c2w in (("opengl", opengl), ("blender", blender)):
        converted = to_opencv(c2w, name)
        np.testing.assert_allclose(converted[:3, :3], np.eye(3), atol=1e-12)
        np.testing.assert_allclose(converted[:3, 3], (1, -2, 3), atol=1e-12)


def test_unknown_axes_and_short_matrices_are_refused():
    with pytest.raises(CameraError, match="opencv, opengl, blender, unreal, unity"):
        to_opencv(np.eye(4), "maya")
    with pytest.raises(ShapeError, match="append the row"):
        from_opencv(np.eye(4)[:3], "opengl")
    with pytest.raises(ShapeError, match="append the row"):
        relative_to_first(np.eye(4))


def test_positive_angles_look_up_and_right():
    np.testing.assert_allclose(pitch_rotation(0.3)[:, 2], (0, -np.sin(0.3), np.cos(0.3)))
    np.testing.assert_allclose(yaw_rotation(0.3)[:, 2], (np.sin(0.3), 0, np.cos(0.3)))


@few
@given(st.floats(1e-7, 3.14), st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_angle_between_recovers_the_angle(angle, yaw, pitch):
    start = yaw_rotation(yaw) @ pitch_rotation(pitch)
    assert angle_between(start, start @ yaw_rotation(angle)) == pytest.approx(angle, rel=1e-6, abs=1e-12)


def test_rigid_inverse_undoes_each_of_a_stack(path):
    c2w = path.c2w.astype(np.float64)
    np.testing.assert_allclose(rigid_inverse(c2w) @ c2w, np.tile(np.eye(4), (41, 1, 1)), atol=1e-6)
