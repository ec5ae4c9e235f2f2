"""The Intrinsics node: each source gives the camera its lens and says so."""

import numpy as np
import pytest
import torch
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


def geometry(size=(200, 300), fov=60.0, **changes):
    """What MoGe's node of a newer host hands on: K in shares of the picture, infinite depth where the mask is off."""
    h, w = size
    k = torch.eye(3)
    k[0, 0] = 0.5 / np.tan(np.radians(fov) / 2)
    k[1, 1] = k[0, 0] * w / h
    k[:2, 2] = 0.5
    depth = torch.full((1, h, w), 4.0)
    mask = torch.ones(1, h, w, dtype=torch.bool)
    made = {"image": torch.zeros(1, h, w, 3), "depth": depth, "mask": mask, "intrinsics": k[None]} | changes
    return {name: value for name, value in made.items() if value is not None}


def test_a_geometry_tells_the_lens_whatever_source_says(through, nodes):  # noqa: F811
    camera, degrees, told = through(fov=33.0, geometry=geometry())
    assert degrees == pytest.approx(60, abs=1e-3) and told == "60.0 degrees wide (geometry)"
    assert camera.provenance.intrinsics_source == "geometry"
    focal = 150 / np.tan(np.radians(30))
    np.testing.assert_allclose(camera.intrinsics, np.tile((focal, focal, 150, 100), (17, 1)), rtol=1e-6)
    halved = through(geometry=geometry((100, 150)))[0]
    np.testing.assert_allclose(halved.intrinsics, camera.intrinsics, rtol=1e-6)  # a smaller picture of the same
    two = through(geometry=geometry(intrinsics=torch.cat([geometry()["intrinsics"], geometry(fov=90.0)["intrinsics"]])))
    assert two[1] == pytest.approx(60, abs=1e-3), "the first of a batch"
    schema = nodes.intrinsics.SanaWMIntrinsics.define_schema()
    assert {i.id: i.get_io_type() for i in schema.inputs}["geometry"] == "MOGE_GEOMETRY"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (geometry(intrinsics=None), "no intrinsics: a panorama"),
        (geometry((300, 300)), "picture of 300 x 300, the camera's is 300 x 200, which is another shape"),
        (geometry(intrinsics=torch.eye(3)), r"intrinsics must be a tensor \(b, 3, 3\), got \(3, 3\)"),
        (geometry(intrinsics=torch.eye(4)[None]), "K in shares of its picture"),
        (geometry(intrinsics=torch.tensor([[[260.0, 0, 150], [0, 260, 100], [0, 0, 1]]])), "got .*260.0.* type pixels"),
        (geometry(intrinsics=torch.zeros(0, 3, 3)), r"got \(0, 3, 3\)"),
        (geometry(image=None, depth=None, mask=None), "image must be a tensor .* got NoneType"),
        ([1], "dict of tensors, as MoGe's nodes make it, got a list"),
    ],
)
def test_a_geometry_that_has_no_lens_of_this_picture_is_refused(through, given, words):
    with pytest.raises(ValueError, match=words):
        through(geometry=given)
