"""Fields of view from lenses and from EXIF, and photos that do not say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wm_core.camera import field_of_view_deg, from_focal_length, read_photo
from wm_core.errors import CameraError

SIZE = (704, 1280)


def saved(folder, size=(400, 300), name="photo.jpg", *, detail=None, orientation=None):
    image = Image.new("RGB", size, "gray")
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769).update(detail or {})
    image.save(folder / name, exif=exif)
    return folder / name


def test_a_36_mm_lens_on_full_frame_sees_53_degrees():
    assert field_of_view_deg(from_focal_length(36, SIZE), SIZE)[0] == pytest.approx(53.13, abs=0.01)
    small = from_focal_length(6, SIZE, sensor_width_mm=6)
    np.testing.assert_array_equal(small, from_focal_length(36, SIZE))
    assert small[0] == pytest.approx(1280)


def test_a_focal_length_on_film_compares_diagonals(tmp_path):
    found = read_photo(saved(tmp_path, (300, 200), detail={0xA405: 36}))
    assert found.fov_deg == pytest.approx(53.13, abs=0.01), "3 : 2 as the film: the same as its width"
    square = read_photo(saved(tmp_path, (300, 300), detail={0xA405: 36}))
    assert square.fov_deg == pytest.approx(
        2 * math.degrees(math.atan(math.hypot(36, 24) / math.sqrt(2) / 72)), abs=0.01
    )
    assert found.size == (200, 300) and found.told == "EXIF: 36 mm on 35 mm film"


def test_a_lens_and_its_sensor_are_as_good(tmp_path):
    detail = {0x920A: 50.0, 0xA20E: 300 / 36 * 10, 0xA210: 3}  # 36 mm wide, in pixels a centimetre
    found = read_photo(saved(tmp_path, (300, 200), detail=detail))
    assert found.fov_deg == pytest.approx(39.6, abs=0.01) and "36.0 mm wide" in found.told


def test_a_photo_that_was_taken_upright_is_narrow(tmp_path):
    lying = read_photo(saved(tmp_path, (300, 200), detail={0xA405: 36}))
    upright = read_photo(saved(tmp_path, (300, 200), detail={0xA405: 36}, orientation=6))
    assert upright.size == (300, 200)
    assert math.tan(math.radians(lying.fov_deg / 2)) == pytest.approx(1.5 * math.tan(math.radians(upright.fov_deg / 2)))


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({}, "has no focal length"),
        ({0x920A: 4.2}, "4.2 mm, and not the size of the sensor"),
        ({0x920A: 0.0, 0xA405: 0}, "has no focal length"),
        ({0x920A: 4.2, 0xA20E: 1e-3, 0xA210: 2}, "sensor of .* which none is"),
    ],
)
def test_a_photo_that_does_not_say_is_told_apart(tmp_path, detail, words):
    with pytest.raises(CameraError, match=f"{words}.*give a field of view"):
        read_photo(saved(tmp_path, detail=detail))


def test_what_is_no_picture_and_what_is_no_lens_are_refused(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("text.jpg", "missing.jpg"):
        with pytest.raises(CameraError, match=f"{name} is no picture"):
            read_photo(tmp_path / name)
    for focal, sensor in ((0, 36), (math.nan, 36), (36, -1)):
        with pytest.raises(CameraError, match="positive number of mm"):
            from_focal_length(focal, SIZE, sensor_width_mm=sensor)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_a_damaged_photo_gives_a_field_of_view_or_one_clear_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(saved(folder, (48, 32), detail={0xA405: 36, 0x920A: 5.0}).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole) - 1, 300)))] = data.draw(st.integers(0, 255))
    (folder / "damaged.jpg").write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        assert 0 < read_photo(folder / "damaged.jpg").fov_deg < 180
    except CameraError as error:
        assert "damaged.jpg" in str(error)
