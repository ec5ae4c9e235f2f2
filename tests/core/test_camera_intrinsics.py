"""Crops, fields of view, and what happens to intrinsics on the way to the model."""

import json

import numpy as np
import pytest
import torch
from cases import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import choose_intrinsics, field_of_view_deg, fit_crop, from_fov, resample_intrinsics
from wm_core.camera.intrinsics import GUESSED_FOV_DEG
from wm_core.errors import CameraError, ShapeError
from wm_core.shapes import snap_frames

CASE = json.loads((GOLDEN / "camera_crop.json").read_text())
few = settings(deadline=None, max_examples=100)
sizes = st.tuples(st.integers(16, 3000), st.integers(16, 3000))


@pytest.mark.parametrize("row", CASE["rows"], ids=lambda row: "x".join(map(str, row["src_wh"])))
def test_crop_equals_the_reference(row):
    crop = fit_crop(tuple(reversed(row["src_wh"])), (704, 1280))
    assert list(reversed(crop.resized)) == row["resized_wh"]
    assert [crop.left, crop.top] == row["crop_left_top"]
    got = crop.apply_to_intrinsics(row["intrinsics_in"])
    np.testing.assert_array_equal(got, np.float32(row["intrinsics_out"]))  # the recorded tolerance is below one bit


def test_cropped_picture_equals_the_reference_to_the_bit(golden):
    case = golden("camera_crop")
    picture = case.inputs["image_uint8"].numpy()
    crop = fit_crop(picture.shape[:2], tuple(CASE["image_target_hw"]))
    np.testing.assert_array_equal(crop.apply_to_image(picture), case.outputs["cropped_uint8"].numpy())
    from_float = crop.apply_to_image(picture.astype(np.float32) / 255)
    assert from_float.dtype == np.float32
    np.testing.assert_array_equal(np.rint(from_float * 255), case.outputs["cropped_uint8"].numpy())


def test_float_pictures_are_clipped_and_other_kinds_refused():
    crop = fit_crop((20, 30), (20, 30))
    picture = np.full((20, 30, 3), 2.0)
    picture[:, :15] = -1
    np.testing.assert_array_equal(np.unique(crop.apply_to_image(picture)), [0, 1])
    with pytest.raises(ShapeError, match=r"\(20, 30, 3\)"):
        crop.apply_to_image(picture[:, :10])
    with pytest.raises(ShapeError, match="int64"):
        crop.apply_to_image(picture.astype(np.int64))
    with pytest.raises(ShapeError, match="at least 1 x 1"):
        fit_crop((0, 30), (20, 30))


@pytest.mark.parametrize(("frames", "want"), CASE["snap_table"].items())
def test_frame_counts_snap_like_the_reference(frames, want):
    assert snap_frames(int(frames)) == want


@pytest.mark.parametrize("row", CASE["snap_with_upper_bound"])
def test_frame_counts_snap_below_a_bound_like_the_reference(row):
    assert snap_frames(row["n"], at_most=row["upper_bound"]) == row["out"]


def test_resampled_intrinsics_equal_the_reference(golden):
    five = np.linspace(100, 200, 20).reshape(5, 4)
    golden("camera_crop").check(torch.from_numpy(resample_intrinsics(five, 9)), "intrinsics_resampled_5_to_9")


@few
@given(sizes, sizes, st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(30, 110))
def test_a_crop_keeps_the_ray_of_every_pixel(source, target, at, fov_deg):
    crop = fit_crop(source, target)
    before = from_fov(fov_deg, source).astype(np.float64)
    after = crop.apply_to_intrinsics(before).astype(np.float64)
    pixel = np.array(at) * (source[1], source[0])
    scale = np.array(crop.resized[::-1]) / source[::-1]
    landed = pixel * scale - (crop.left, crop.top)
    ray = (pixel - before[2:]) / before[:2]
    np.testing.assert_allclose((landed - after[2:]) / after[:2], ray, rtol=0, atol=1e-5)


@few
@given(sizes, sizes)
def test_a_crop_covers_the_target_and_lies_inside_the_resized_picture(source, target):
    crop = fit_crop(source, target)
    assert 0 <= crop.top and crop.top + target[0] <= crop.resized[0]
    assert 0 <= crop.left and crop.left + target[1] <= crop.resized[1]
    assert crop.resized[0] == target[0] or crop.resized[1] == target[1]
    assert abs((crop.resized[1] - target[1]) - 2 * crop.left) <= 1


@few
@given(st.floats(5, 170), sizes)
def test_field_of_view_round_trips(fov_deg, size):
    intrinsics = from_fov(fov_deg, size)
    assert field_of_view_deg(intrinsics, size)[0] == pytest.approx(fov_deg, abs=1e-3)
    assert intrinsics[0] == intrinsics[1] and tuple(intrinsics[2:]) == (size[1] / 2, size[0] / 2)


def test_field_of_view_of_an_off_centre_camera_counts_both_sides():
    horizontal, vertical = field_of_view_deg((100, 100, 0, 100), (200, 100))
    assert (horizontal, vertical) == pytest.approx((45, 90))


def test_known_intrinsics_come_in_four_shapes():
    vector = np.array([500.0, 510, 320, 180])
    matrix = np.array([[500.0, 0, 320], [0, 510, 180], [0, 0, 1]])
    for given_ in (vector, vector[None], matrix, np.stack([matrix] * 4)):
        rows, label = choose_intrinsics((360, 640), 7, intrinsics=given_)
        np.testing.assert_array_equal(rows, np.tile(vector, (7, 1)))
        assert (rows.dtype, label) == (np.float32, "given")


def test_a_guess_and_a_field_of_view_say_what_they_are():
    rows, label = choose_intrinsics((360, 640), 3)
    assert label == "guess" and field_of_view_deg(rows[0], (360, 640))[0] == pytest.approx(GUESSED_FOV_DEG)
    rows, label = choose_intrinsics((360, 640), 3, fov_deg=50)
    assert label == "field of view" and rows.shape == (3, 4)


def test_unusable_intrinsics_are_refused():
    with pytest.raises(ShapeError, match=r"\(5, 3\)"):
        choose_intrinsics((360, 640), 3, intrinsics=np.ones((5, 3)))
    with pytest.raises(CameraError, match="skew"):
        choose_intrinsics((360, 640), 3, intrinsics=[[1, 0.5, 1], [0, 1, 1], [0, 0, 1]])
    with pytest.raises(CameraError, match="field of view"):
        from_fov(float("nan"), (360, 640))
