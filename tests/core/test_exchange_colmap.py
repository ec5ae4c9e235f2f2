"""COLMAP models: lenses that are pinholes or are refused, the order of images, and the points."""

import numpy as np
import pytest
from test_exchange_literals import C2W, COLMAP_CAMERAS, COLMAP_IMAGES, LENS, WRITERS

from wm_core.camera import CONVENTIONS, export_path, import_path, import_points
from wm_core.camera.exchange import points as points_module
from wm_core.errors import CameraError

MODELS = ("colmap-text", "colmap-binary")


def model(folder, cameras: str = COLMAP_CAMERAS, images: str = COLMAP_IMAGES, points: str | None = None):
    for name, text in (("cameras", cameras), ("images", images), ("points3D", points)):
        if text is not None:
            (folder / f"{name}.txt").write_text(text)
    return folder


def images(*names: str) -> str:
    """Images at x = 0, -1, -2, ... in the order they are given."""
    return "".join(f"{n + 1} 1 0 0 0 {n} 0 0 3 {name}\n\n" for n, name in enumerate(names))


@pytest.mark.parametrize(
    ("camera", "lens"),
    [
        ("SIMPLE_PINHOLE 200 100 80 101 51", (80, 80, 101, 51)),
        ("PINHOLE 200 100 100 90 100 50", LENS),
        ("SIMPLE_RADIAL 200 100 80 101 51 0", (80, 80, 101, 51)),
        ("RADIAL 200 100 80 101 51 0 0", (80, 80, 101, 51)),
        ("OPENCV 200 100 100 90 100 50 0 0 0 1e-12", LENS),
    ],
)
def test_pinhole_lenses_are_read(tmp_path, camera, lens):
    np.testing.assert_array_equal(import_path(model(tmp_path, f"3 {camera}\n")).intrinsics[0], lens)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("SIMPLE_RADIAL 200 100 80 101 51 0.01", "camera 3: SIMPLE_RADIAL is distorted by 0.01.*image_undistorter"),
        ("RADIAL 200 100 80 101 51 0 -0.2", "distorted by -0.2"),
        ("OPENCV 200 100 100 90 100 50 0 0 0 0.001", "distorted by 0.001"),
        ("OPENCV_FISHEYE 200 100 100 90 100 50 0 0 0 0", "no pinhole lens.*image_undistorter"),
        ("MAGIC 200 100 100", "line 1: camera model must be one of SIMPLE_PINHOLE"),
        ("PINHOLE 200 100 100", "line 1: PINHOLE has 4 parameters, got 1"),
        ("PINHOLE 200 -100 100 90 100 50", "line 1: wanted a whole number"),
        ("PINHOLE 200 0 100 90 100 50", "camera 3: size .* whole pixels"),
        ("PINHOLE 200 1000000000 100 90 100 50", "whole pixels"),
        ("PINHOLE 200 100 nan 90 100 50", "line 1: numbers must be finite"),
        ("PINHOLE 200 100 -100 90 100 50", "focal lengths must be positive"),
        ("PINHOLE", "line 1: wanted CAMERA_ID MODEL"),
    ],
)
def test_other_lenses_are_refused(tmp_path, camera, words):
    with pytest.raises(CameraError, match=f"{tmp_path}.*{words}"):
        import_path(model(tmp_path, f"3 {camera}\n"))


def test_a_distorted_lens_that_no_image_has_is_no_matter(tmp_path):
    assert "0.2" in COLMAP_CAMERAS and import_path(model(tmp_path)).frames == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (images("a").replace(" 3 a", " 8 a") + images("b"), "sizes .*one size"),
        (images("a").replace(" 3 a", " 99 a"), "image 'a' has camera 99"),
        (images("a").replace(" 3 a", " 3"), "line 1: wanted IMAGE_ID"),
        (images("a").replace(" 3 a", " x a"), "line 1: wanted a whole number"),
        (images("a" * 256), "line 1: names may have 255 bytes"),
        (images("a").replace("1 1 0", "1 nan 0"), "line 1: numbers must be finite"),
        (images("a", "b").replace("\n\n", "\n"), "line 2: wanted the POINTS2D .*keep the empty lines"),
        ("# no images\n", "has 0 images"),
    ],
)
def test_images_that_make_no_path_are_refused(tmp_path, text, words):
    cameras = COLMAP_CAMERAS.replace("0.2", "0")
    with pytest.raises(CameraError, match=f"{tmp_path}.*{words}"):
        import_path(model(tmp_path, cameras, text))


def test_images_come_in_the_order_of_the_numbers_in_their_names(tmp_path):
    names = ("img10.png", "img9.png", "b/img1.png", "img010.png", "b/img1 2.png", "img09b.png")
    path = import_path(model(tmp_path, images=images(*names)))
    ordered = [names[round(-x)] for x in path.c2w[:, 0, 3]]
    assert ordered == ["b/img1 2.png", "b/img1.png", "img9.png", "img09b.png", "img10.png", "img010.png"]
    assert "images in the order of their names" in path.provenance.conversions


def test_long_lines_of_points_are_passed_over(tmp_path):
    text = images("a", "b").replace("\n\n", "\n" + "12.25 34.5 -1 " * 20_000 + "\n")
    assert import_path(model(tmp_path, images=text)).frames == 2


@pytest.mark.parametrize("name", MODELS)
def test_points_are_read_with_their_colours(name, tmp_path):
    points = import_points(WRITERS[name](tmp_path))
    np.testing.assert_array_equal(points.positions, np.array([[1.5, 2.5, -3.5], [0, 0, 1]], np.float32))
    np.testing.assert_array_equal(points.colours, np.array([[255, 128, 0], [1, 2, 3]], np.uint8))
    assert (points.positions.dtype, points.colours.dtype, points.conversions) == (np.float32, np.uint8, ())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_point_where_a_camera_stands_stays_there(convention, tmp_path):
    x, y, z = C2W[1, :3, 3]
    folder = model(tmp_path, points=f"1 {x} {y} {z} 1 2 3 0\n")
    axes = {"convention": convention, "metres": 0.01}
    centre = import_path(folder, **axes).c2w[1, :3, 3]
    np.testing.assert_allclose(import_points(folder / "images.txt", **axes).positions[0], centre, rtol=1e-6)


@pytest.mark.parametrize(("count", "stride"), [(10, 1), (11, 2), (20, 2), (21, 4), (1000, 128)])
def test_too_many_points_are_thinned_evenly_and_that_is_noted(count, stride, tmp_path, monkeypatch):
    monkeypatch.setattr(points_module, "MAX_POINTS", 10)
    text = "".join(f"{n} {n} 0 0 1 2 3 0\n" for n in range(count))
    points = import_points(model(tmp_path, points=text))
    np.testing.assert_array_equal(points.positions[:, 0], np.arange(0, count, stride))
    kept = len(range(0, count, stride))
    assert points.conversions == (() if stride == 1 else (f"thinned from {count} points to {kept}",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0 0 0 1 2 300 0\n", "line 1: wanted POINT3D_ID"),
        ("1 0 0 0 1 2\n", "line 1: wanted POINT3D_ID"),
        ("# none\n1 0 nan 0 1 2 3 0\n", "line 2: numbers must be finite"),
        ("1 0 1e30 0 1 2 3 0\n", "check metres"),
        (None, "has no points3D.bin or points3D.txt"),
    ],
)
def test_points_that_are_damaged_or_missing_are_refused(tmp_path, text, words):
    with pytest.raises(CameraError, match=f"{tmp_path}.*{words}"):
        import_points(model(tmp_path, points=text))


@pytest.mark.parametrize("name", MODELS)
def test_a_written_model_has_a_camera_for_each_lens_and_no_points(name, tmp_path):
    path = import_path(WRITERS["npz"](tmp_path))
    export_path(path, tmp_path / "model", format=name)
    assert import_points(tmp_path / "model").positions.shape == (0, 3)
    again = tmp_path / "model" / ("cameras.txt" if name == "colmap-text" else "cameras.bin")
    data = again.read_bytes()
    assert data.count(b"PINHOLE") == 1 if name == "colmap-text" else int.from_bytes(data[:8], "little") == 1
