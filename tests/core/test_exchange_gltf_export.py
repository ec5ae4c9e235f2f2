"""glTF scenes that this package writes: they give the same path again, say what glTF cannot, and are what the format asks for."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exchange_damage import DAMAGES, at_most
from test_exchange_round_trip import paths

from wm_core.camera import CameraPath, actions_to_path, field_of_view_deg, from_fov, gltf_export, gltf_path
from wm_core.errors import CameraError, StorageError

SIZE = (400, 800)
SUFFIXES = (".gltf", ".glb")


def walk(fov_deg=70.0, **more) -> CameraPath:
    return actions_to_path("w-10,dw-10,i-10", size=SIZE, fov_deg=fov_deg, **more)


def seen_by(path, rows) -> CameraPath:
    return path.seen_through(np.asarray(rows), "given")


def document_of(file) -> tuple[dict, bytes]:
    """The JSON of a written file, and the content of its buffer."""
    data = file.read_bytes()
    if file.suffix == ".gltf":
        document = json.loads(data)
        return document, base64.b64decode(document["buffers"][0]["uri"].partition(",")[2])
    length = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def without_extras(file):
    document, _ = document_of(file)
    del document["nodes"][0]["extras"]
    file.write_text(json.dumps(document))
    return file


@settings(deadline=None, max_examples=60)
@given(path=paths(), metres=st.sampled_from((1.0, 0.01)), suffix=st.sampled_from(SUFFIXES))
def test_reading_what_was_written_gives_the_same_path(tmp_path_factory, path, metres, suffix):
    file = tmp_path_factory.mktemp("there") / f"walk{suffix}"
    gltf_export(path, file, metres=metres)
    again = gltf_path(file, metres=metres)
    scale = max(1.0, float(np.abs(path.c2w[:, :3, 3]).max()))
    np.testing.assert_allclose(
        again.c2w[:, :3, 3], path.c2w[:, :3, 3], rtol=0, atol=(1e-5 if metres == 1 else 1e-6) * scale
    )
    np.testing.assert_allclose(again.c2w[:, :3, :3], path.c2w[:, :3, :3], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(again.intrinsics, path.intrinsics)
    assert (again.frames, again.size, again.fps) == (path.frames, path.size, path.fps)


@pytest.mark.parametrize("fps", [16.0, 23.976, 29.97, 59.94, 1000 / 33])
@pytest.mark.parametrize("frames", [2, 161, 7777])
def test_long_paths_at_odd_rates_keep_every_frame(tmp_path, fps, frames):
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 0, 3] = np.arange(frames) % 7  # a step of up to 6 m, which any share of a frame would show
    path = CameraPath(c2w, np.tile(from_fov(70, SIZE), (frames, 1)), SIZE, fps)
    gltf_export(path, tmp_path / "walk.glb")
    np.testing.assert_array_equal(gltf_path(tmp_path / "walk.glb").c2w, path.c2w)
    assert gltf_path(tmp_path / "walk.glb", fps=fps).frames == frames
    with pytest.raises(CameraError, match="frames, wanted at most 100000; cut it"):
        gltf_path(tmp_path / "walk.glb", fps=1e308 * 1.7)


def test_other_programs_find_the_axes_the_times_and_the_view_of_the_format(tmp_path):
    path = walk()
    gltf_export(path, tmp_path / "walk.glb")
    document, data = document_of(tmp_path / "walk.glb")
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        values = np.frombuffer(data, "<f4")[view["byteOffset"] // 4 :][: view["byteLength"] // 4]
        arrays.append(values.reshape(accessor["count"], -1))
    times, centres, turns = arrays
    np.testing.assert_allclose(times[:, 0], np.arange(path.frames) / 16)
    assert document["accessors"][0]["min"] == [0.0] and document["accessors"][0]["max"] == [float(times[-1, 0])]
    np.testing.assert_allclose(centres, path.c2w[:, :3, 3] * (1, -1, -1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-6)
    assert ((turns[1:] * turns[:-1]).sum(1) > 0).all(), "a viewer that does not look for the shorter way would spin"
    lens = document["cameras"][0]["perspective"]
    assert np.degrees(lens["yfov"]) == pytest.approx(field_of_view_deg(path.intrinsics[0], SIZE)[1], abs=1e-4)
    assert lens["aspectRatio"] == pytest.approx(2)
    first = document["nodes"][0]
    np.testing.assert_allclose(first["translation"], centres[0])
    np.testing.assert_allclose(first["rotation"], turns[0])


def test_without_our_extras_it_is_a_scene_like_any_other(tmp_path):
    path = walk(fps=8.0)
    gltf_export(path, tmp_path / "walk.gltf")
    again = gltf_path(without_extras(tmp_path / "walk.gltf"), fps=8.0, size=SIZE)
    np.testing.assert_allclose(again.c2w, path.c2w, atol=1e-6)
    np.testing.assert_allclose(again.intrinsics, path.intrinsics, rtol=1e-6)
    assert gltf_path(tmp_path / "walk.gltf").fps == 16


def test_what_glTF_cannot_hold_is_said_and_read_back(tmp_path):
    path, file = walk(), tmp_path / "walk.glb"
    assert gltf_export(path, file) == ()
    rows = np.array(path.intrinsics)
    rows[:, :2] *= np.linspace(1, 1.5, path.frames)[:, None]
    (zoomed,) = gltf_export(seen_by(path, rows), file)
    assert "changes by a factor of 1.5, which glTF cannot animate" in zoomed
    np.testing.assert_array_equal(gltf_path(file).intrinsics, rows)
    rows = np.array(path.intrinsics) + (0, 30, 12, -5)
    (moved,) = gltf_export(seen_by(path, rows), file)
    assert "the principal point is up to 12 pixels off the middle" in moved
    np.testing.assert_array_equal(gltf_path(file).intrinsics, rows.astype(np.float32))


def test_another_rate_and_another_size_are_sampled_from_the_lens_of_every_frame(tmp_path):
    path, file = walk(), tmp_path / "walk.glb"
    rows = np.array(path.intrinsics)
    rows[:, :2] *= np.linspace(1, 2, path.frames)[:, None]
    rows[:, 2] += 8
    gltf_export(seen_by(path, rows), file)
    half = gltf_path(file, fps=32.0, size=(200, 300))
    assert (half.frames, half.size) == (2 * path.frames - 1, (200, 300))
    np.testing.assert_allclose(half.intrinsics[::2, 1], rows[:, 1] / 2, rtol=1e-6)
    np.testing.assert_allclose(half.intrinsics[1, 1], (rows[0, 1] + rows[1, 1]) / 4, rtol=1e-6)
    np.testing.assert_allclose(half.intrinsics[:, 2:], np.tile((154, 100), (half.frames, 1)))


@pytest.mark.parametrize("change", ["view", "length"])
def test_extras_of_a_scene_that_somebody_changed_are_not_used(tmp_path, change):
    gltf_export(walk(), tmp_path / "walk.gltf")
    document, _ = document_of(tmp_path / "walk.gltf")
    if change == "view":
        document["cameras"][0]["perspective"]["yfov"] = 1.0
    else:
        document["nodes"][0]["extras"]["sana_wm"]["frames"] = 5
    (tmp_path / "walk.gltf").write_text(json.dumps(document))
    path = gltf_path(tmp_path / "walk.gltf")
    assert path.size == (704, 1280) and "its sana_wm extras tell of another view or length, not used" in (
        path.provenance.conversions
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fps": "16"}, "fps must be 0.01 to 10000, got '16'"),
        ({"fps": float("nan")}, "fps must be"),
        ({"frames": 10**12}, "frames must be 1 to 100000"),
        ({"frames": True}, "frames must be 1 to 100000"),
        ({"width": 0}, r"height and width must be \(height, width\)"),
        ({"height": None}, r"height and width must be \(height, width\)"),
        ({"fx": []}, "fx must be 1 or 31 numbers"),
        ({"fy": [0]}, "focal lengths must be positive"),
        ({"cx": [float("inf")]}, "cx must be 1 or 31 numbers"),
        ({"cy": {"0": 1}}, "cy must be 1 or 31 numbers"),
    ],
)
def test_what_is_wrong_with_extras_is_said(tmp_path, change, words):
    gltf_export(walk(), tmp_path / "walk.gltf")
    document, _ = document_of(tmp_path / "walk.gltf")
    document["nodes"][0]["extras"]["sana_wm"] |= change
    (tmp_path / "walk.gltf").write_text(json.dumps(document))
    with pytest.raises(CameraError, match=f"walk.gltf, extras sana_wm.*{words}"):
        gltf_path(tmp_path / "walk.gltf")


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "old.glb").write_bytes(b"old")
    tiny = seen_by(walk(), (1, 1e-3, 400, 200))
    for path, name, metres, words in (
        (walk(), "walk.obj", 1.0, "ends in .gltf or .glb, got walk.obj"),
        (tiny, "old.glb", 1.0, "sees 180 degrees from top to bottom"),
        (walk(), "old.glb", 0.0, "metres is the length of the file's unit"),
        (walk(fps=1e-3), "old.glb", 1.0, "0.01 to 10000 frames per second"),
    ):
        with pytest.raises(CameraError, match=words):
            gltf_export(path, tmp_path / name, metres=metres)
    with pytest.raises(StorageError, match="cannot be written"):
        gltf_export(walk(), tmp_path / "none" / "walk.glb")
    assert [each.name for each in tmp_path.iterdir()] == ["old.glb"] and (tmp_path / "old.glb").read_bytes() == b"old"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_scenes_of_ours_give_a_path_or_an_error_that_names_them(tmp_path, suffix):
    file = tmp_path / f"walk{suffix}"
    path = walk()
    gltf_export(seen_by(path, path.intrinsics * np.linspace(1, 2, path.frames)[:, None]), file)
    whole, random, refused = file.read_bytes(), np.random.default_rng(0), 0
    with at_most(64):
        for trial in range(300):
            file.write_bytes(DAMAGES[trial % len(DAMAGES)](whole, random))
            try:
                again = gltf_path(file)
                assert isinstance(again, CameraPath) and np.isfinite(again.c2w).all()
            except CameraError as error:
                assert str(tmp_path) in str(error)
                refused += 1
    assert 75 < refused < 300
