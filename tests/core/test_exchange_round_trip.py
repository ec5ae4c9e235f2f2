"""Writing a path and reading it again, in every format, every convention and both directions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import CONVENTIONS, FORMATS, CameraPath, actions_to_path, angle_between, export_path, import_path

DIRECTIONS = ("c2w", "w2c")
SIZE = (704, 1280)


@st.composite
def paths(draw) -> CameraPath:
    """Random cameras, some of them half a turn apart; one lens, or a lens for each."""
    frames, seed = draw(st.integers(1, 5)), draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from((1e-3, 1.0, 1e3)))
    random = np.random.default_rng(seed)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    rotation = np.linalg.qr(random.normal(size=(frames, 3, 3)))[0]
    c2w[:, :3, :3] = rotation * np.linalg.det(rotation)[:, None, None]
    c2w[0, :3, :3] = draw(
        st.sampled_from((np.eye(3), np.diag((1, -1, -1)), np.diag((-1, 1, -1)), np.diag((-1, -1, 1))))
    )
    c2w[:, :3, 3] = random.normal(size=(frames, 3)) * scale
    lens = random.uniform((300, 300, 500, 250), (2000, 2000, 800, 450), size=(frames, 4))
    lens = lens if draw(st.booleans()) else np.tile(lens[:1], (frames, 1))
    return CameraPath(c2w, lens, draw(st.sampled_from((SIZE, (480, 854)))), draw(st.sampled_from((16.0, 29.97, 60.0))))


def read_again(path: CameraPath, written: list, name: str, **options) -> CameraPath:
    carries, folder = FORMATS[name].carries, FORMATS[name].is_folder
    options |= {} if "size" in carries else {"size": path.size}
    if name == "npy":
        options["intrinsics"] = written[1]
    elif "intrinsics" not in carries:
        options["intrinsics"] = path.intrinsics
    return import_path(written[0].parent if folder else written[0], format=name, **options)


def assert_same(again: CameraPath, path: CameraPath, name: str) -> None:
    scale = max(1e-3, float(np.abs(path.c2w[:, :3, 3]).max()))
    assert np.abs(again.c2w[:, :3, 3] - path.c2w[:, :3, 3]).max() <= 1e-5 * scale
    assert angle_between(again.c2w[:, :3, :3], path.c2w[:, :3, :3]).max() <= 1e-5
    np.testing.assert_allclose(again.intrinsics, path.intrinsics, rtol=1e-4)
    assert again.size == path.size
    if "time" in FORMATS[name].carries and (path.frames > 1 or name == "npz"):
        assert again.fps == pytest.approx(path.fps, rel=1e-3)


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=12)
@given(path=paths(), metres=st.sampled_from((1.0, 0.01, 100.0)))
def test_reading_what_was_written_gives_the_same_cameras(tmp_path_factory, name, path, metres):
    for convention in CONVENTIONS:
        for matrices in DIRECTIONS:
            axes = {"convention": convention, "matrices": matrices, "metres": metres}
            written = export_path(path, tmp_path_factory.mktemp("there") / "walk", format=name, **axes)
            assert_same(read_again(path, written, name, **axes), path, name)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_need_be_said_of_a_file_in_the_formats_own_axes(name, tmp_path):
    path = actions_to_path("w-10,dw-10,i-10", size=SIZE, fov_deg=70)
    file = tmp_path / ("model" if FORMATS[name].is_folder else f"walk{FORMATS[name].names[0]}")
    written = export_path(path, file, format=name)
    again = import_path(file, size=SIZE, **({} if "intrinsics" in FORMATS[name].carries else {"fov_deg": 70}))
    assert_same(again, path, name)
    assert all(one.is_file() for one in written) and again.provenance.source.endswith(f" as {name}")


@pytest.mark.parametrize("name", FORMATS)
def test_other_axes_than_were_written_give_other_cameras(name, tmp_path):
    path = actions_to_path("w-10,dw-10,i-10", size=SIZE, fov_deg=70)
    written = export_path(path, tmp_path / "walk", format=name, convention="unreal")
    again = read_again(path, written, name, convention="unity")
    assert np.abs(again.c2w[:, :3, 3] - path.c2w[:, :3, 3]).max() > 0.1
