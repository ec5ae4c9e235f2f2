"""The Intrinsics node: each source gives the camera its lens and says so."""

import numpy as np
import pytest
from PIL import Image
from test_conditioning import call, from_actions, nodes, picture  # noqa: F401


@pytest.fixture
def through(nodes):  # noqa: F811
    camera = from_actions(nodes, "w-16", image=picture(200, 300))

    def apply(**options):
        return call(nodes.intrinsics.SanaWMIntrinsics, camera, **options)

    return apply


@pytest.fixture
def camera_error(pack):
    from sana_wm_pack.wm_core.errors import CameraError

    return CameraError


def photo(folder, size, film_mm):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = film_mm
    Image.new("RGB", size).save(folder / "input" / "photo.jpg", exif=exif)


@pytest.mark.parametrize(
    ("options", "fov", "known"),
    [
        ({"fov": 60.0}, 60, "field of view"),
        ({"source": "focal length", "focal_mm": 18.0, "sensor_mm": 36.0}, 90, "18 mm before a sensor 36 mm wide"),
        ({"source": "fx fy cx cy", "numbers": "150, 150, 150, 100"}, 90, "given"),
        ({"source": "fx fy cx cy", "numbers": "150 0 150 0 150 100 0 0 1"}, 90, "given"),
    ],
)
def test_a_known_lens_is_given_to_every_camera_of_the_path(through, options, fov, known):
    camera, degrees, told = through(**options)
    assert degrees == pytest.approx(fov, abs=1e-3) and f"{fov:.1f} degrees wide ({known})" == told
    assert camera.provenance.intrinsics_source == known and (camera.intrinsics == camera.intrinsics[0]).all()
    np.testing.assert_allclose(camera.intrinsics[0], (camera.intrinsics[0, 0],) * 2 + (150, 100), rtol=1e-6)


def test_a_photo_in_the_input_folder_tells_its_own(through, host_folders, camera_error):
    photo(host_folders, (3000, 2000), 36)
    camera, degrees, _ = through(source="photo's EXIF", photo="photo.jpg")
    assert degrees == pytest.approx(53.13, abs=0.01) and "36 mm on 35 mm film" in camera.provenance.intrinsics_source
    photo(host_folders, (3000, 3000), 36)
    with pytest.raises(camera_error, match="photo.jpg is 3000 x 3000, the camera's picture 300 x 200: it was cut"):
        through(source="photo's EXIF", photo="photo.jpg")
    with pytest.raises(camera_error, match="no photo is chosen"):
        through(source="photo's EXIF")
    with pytest.raises(camera_error, match="gone.jpg is no picture"):
        through(source="photo's EXIF", photo="gone.jpg")
    with pytest.raises(camera_error, match="must lie in the input folder"):
        through(source="photo's EXIF", photo="../../secret.jpg")


def test_an_insane_view_is_said_and_bad_numbers_are_refused(through, camera_error):
    assert "25 to 120 are sane" in through(fov=140.0)[2]
    for numbers, words in (("1 2 3", "fx, fy, cx, cy"), ("a b c d", "fx, fy"), ("1 9 3 0 1 3 0 0 1", "without skew")):
        with pytest.raises(camera_error, match=words):
            through(source="fx fy cx cy", numbers=numbers)
    with pytest.raises(camera_error, match="focal lengths must be positive"):
        through(source="fx fy cx cy", numbers="-1 1 2 2")
