"""Which format a file is in, and that files are written whole or not at all."""

import os

import numpy as np
import pytest
from test_exchange_literals import KITTI, SIZE, TUM, WRITERS, read

from wm_core.camera import FORMATS, CameraPath, actions_to_path, export_path, import_path
from wm_core.errors import CameraError, StorageError


@pytest.fixture
def path() -> CameraPath:
    return actions_to_path("w-4,d-4", size=SIZE, fov_deg=70)


def failing(at: int):
    """os.replace that fails once, at this call."""
    calls, replace = [], os.replace

    def fails_once(source, target):
        calls.append(target)
        if len(calls) == at + 1:
            raise OSError("no space left")
        replace(source, target)

    return fails_once


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if not row.is_folder])
def test_files_of_any_name_are_recognised_by_content(name, tmp_path):
    file = WRITERS[name](tmp_path)
    for other in ("walk.txt", "walk", "walk.cameras"):
        renamed = file.rename(tmp_path / other)
        assert read(renamed, name).provenance.source == f"file:{other} as {name}"
        file = renamed


def test_a_name_that_means_one_format_is_taken_at_its_word(tmp_path):
    (tmp_path / "walk.npy").write_text(KITTI)
    with pytest.raises(CameraError, match="walk.npy: is not an .npy array"):
        import_path(tmp_path / "walk.npy")


def test_models_are_recognised_by_any_of_their_files_and_binary_comes_first(tmp_path):
    WRITERS["colmap-text"](tmp_path)
    for file in (tmp_path, tmp_path / "images.txt", tmp_path / "points3D.txt"):
        assert import_path(file).provenance.source.endswith("as colmap-text")
    WRITERS["colmap-binary"](tmp_path)
    assert import_path(tmp_path).provenance.source.endswith("as colmap-binary")
    assert import_path(tmp_path, format="colmap-text").provenance.source.endswith("as colmap-text")


def test_unknown_formats_list_the_known_ones(tmp_path, path):
    file = tmp_path / "walk.fbx"
    file.write_text("Kaydara FBX Binary")
    for call in (
        lambda: import_path(file),
        lambda: import_path(file, format="fbx"),
        lambda: export_path(path, file),
        lambda: export_path(path, file, format="fbx"),
    ):
        with pytest.raises(CameraError) as caught:
            call()
        assert all(name in str(caught.value) for name in FORMATS)


def test_a_format_that_is_named_is_not_guessed(tmp_path):
    file = tmp_path / "walk.txt"
    file.write_text(TUM)
    with pytest.raises(CameraError, match="12 numbers"):
        import_path(file, format="kitti")
    file.write_text(KITTI)
    with pytest.raises(CameraError, match="8 numbers"):
        import_path(file, format="tum")


def test_a_folder_without_a_model_says_where_one_may_be(tmp_path):
    with pytest.raises(CameraError, match=r"holds none of colmap-binary \(cameras.bin\+images.bin\).*such as sparse/0"):
        import_path(tmp_path)
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    with pytest.raises(CameraError, match=f"choose {tmp_path}/sparse/0"):
        import_path(tmp_path)


@pytest.mark.parametrize("name", ["walk.txt", "walk"])
def test_names_that_mean_several_formats_are_refused_for_writing(name, tmp_path, path):
    with pytest.raises(CameraError, match="give format as one of (tum|colmap-binary)"):
        export_path(path, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_exactly_the_files_that_are_returned_are_written(name, tmp_path, path):
    for _ in range(2):
        written = export_path(path, tmp_path / "walk", format=name)
        assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == sorted(written)


def test_intrinsics_lie_beside_the_matrices_under_the_name_of_the_demo(tmp_path, path):
    for name, beside in (("walk.npy", "walk_intrinsics.npy"), ("demo_0_pose.npy", "demo_0_intrinsics.npy")):
        assert export_path(path, tmp_path / name) == [tmp_path / name, tmp_path / beside]
    np.testing.assert_array_equal(np.load(tmp_path / "demo_0_pose.npy"), path.c2w)
    np.testing.assert_array_equal(np.load(tmp_path / "demo_0_intrinsics.npy"), path.intrinsics)


def test_a_file_that_cannot_be_written_leaves_the_others_as_they_were(tmp_path, path):
    (tmp_path / "walk_intrinsics.npy").mkdir()
    (tmp_path / "walk.npy").write_bytes(b"old")
    with pytest.raises(StorageError, match="walk.npy.*choose another folder"):
        export_path(path, tmp_path / "walk.npy")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["walk.npy", "walk_intrinsics.npy"]
    assert (tmp_path / "walk.npy").read_bytes() == b"old"
    for nowhere in (tmp_path / "none" / "walk.npz", tmp_path / ("long" * 1000 + ".npz")):
        with pytest.raises(StorageError, match="choose another folder"):
            export_path(path, nowhere)
    with pytest.raises(StorageError, match="cannot be made"):
        export_path(path, tmp_path / "none" / "model", format="colmap-text")


@pytest.mark.parametrize("fails_at", range(5))
def test_a_failure_between_two_files_brings_the_old_ones_back(tmp_path, path, monkeypatch, fails_at):
    export_path(path, tmp_path / "walk.npy")
    (tmp_path / "walk_intrinsics.npy").unlink()
    old = (tmp_path / "walk.npy").read_bytes()
    monkeypatch.setattr(os, "replace", failing(fails_at))
    moved = actions_to_path("s-9", size=SIZE, fov_deg=60)
    if fails_at < 3:  # old file away, new file there, second file there
        with pytest.raises(StorageError, match="no space left"):
            export_path(moved, tmp_path / "walk.npy")
        assert [file.name for file in tmp_path.iterdir()] == ["walk.npy"]
        assert (tmp_path / "walk.npy").read_bytes() == old
    else:
        assert len(export_path(moved, tmp_path / "walk.npy")) == len(list(tmp_path.iterdir())) == 2
        assert (tmp_path / "walk.npy").read_bytes() != old


@pytest.mark.parametrize("fails_at", range(3))
def test_a_failure_in_a_new_folder_leaves_no_file_there(tmp_path, path, monkeypatch, fails_at):
    monkeypatch.setattr(os, "replace", failing(fails_at))
    with pytest.raises(StorageError, match="no space left"):
        export_path(path, tmp_path / "model", format="colmap-text")
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(("there", "name"), [("colmap-text", "colmap-binary"), ("colmap-binary", "colmap-text")])
def test_a_model_is_not_written_over_another_or_over_its_points(there, name, tmp_path, path):
    folder = WRITERS[there](tmp_path)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    points = "points3D.txt" if there == "colmap-text" else "points3D.bin"
    for one in (there, name):
        with pytest.raises(CameraError, match=f"another COLMAP model .*{points}.*choose a new folder"):
            export_path(path, folder, format=one)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
