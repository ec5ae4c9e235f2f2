"""Animated cameras of glTF scenes: where they stand at any second, through parents, all interpolations and both containers."""

import base64
import json
import struct

import numpy as np
import pytest
from test_exchange_damage import DAMAGES, at_most

from wm_core.camera import CameraPath, field_of_view_deg, gltf_path
from wm_core.errors import CameraError

SIZE = (400, 800)
HALF = float(np.sqrt(0.5))


def scene(channels=(), *, nodes=None, lens=None) -> dict:
    """A document with its numbers in one buffer of base64. channels: (node, path, interpolation, times, values)."""
    data, views, accessors, samplers, targets = b"", [], [], [], []

    def accessor(values):
        nonlocal data
        values = np.asarray(values, "<f4")
        kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[values.shape[1] if values.ndim > 1 else 1]
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": values.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": len(values), "type": kind})
        data += values.tobytes()
        return len(accessors) - 1

    for node, path, way, times, values in channels:
        samplers.append({"input": accessor(times), "output": accessor(values), "interpolation": way})
        targets.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})
    document = {
        "asset": {"version": "2.0"},
        "nodes": nodes or [{"name": "Camera", "camera": 0}],
        "cameras": [{"type": "perspective", "perspective": lens or {"yfov": 0.8, "znear": 0.1}}],
    }
    if targets:
        document |= {
            "animations": [{"channels": targets, "samplers": samplers}],
            "accessors": accessors,
            "bufferViews": views,
        }
        uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        document["buffers"] = [{"byteLength": len(data), "uri": uri}]
    return document


def saved(folder, document, name="scene.gltf"):
    (folder / name).write_text(json.dumps(document))
    return folder / name


def path_of(folder, channels=(), **options):
    keys = ("camera", "fps", "size")
    asked = {key: options.pop(key) for key in keys if key in options}
    return gltf_path(saved(folder, scene(channels, **options)), **asked)


def as_glb(document: dict) -> bytes:
    """The same in one binary file: its parts are filled up to four bytes, the text with blanks."""
    uri = document["buffers"][0].pop("uri")
    parts = [(b"JSON", json.dumps(document).encode(), b" "), (b"BIN\0", base64.b64decode(uri.partition(",")[2]), b"\0")]
    body = b""
    for kind, data, filling in parts:
        data += filling * (-len(data) % 4)
        body += struct.pack("<I4s", len(data), kind) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


DOLLY = (0, "translation", "LINEAR", [0, 2], [(0, 0, 0), (0, 0, -4)])
TURN = (0, "rotation", "LINEAR", [0, 1], [(0, 0, 0, 1), (0, HALF, 0, HALF)])  # a quarter to the left


def test_a_move_along_its_view_is_forward_and_time_is_sampled(tmp_path):
    path = path_of(tmp_path, [DOLLY], fps=8.0)
    assert path.frames == 17 and path.fps == 8
    np.testing.assert_allclose(path.c2w[:, :3, 3], np.linspace((0, 0, 0), (0, 0, 4), 17), atol=1e-6)
    np.testing.assert_allclose(path.c2w[:, :3, :3], np.eye(3)[None].repeat(17, 0), atol=1e-6)
    assert path.provenance.source == "file:scene.gltf as gltf" and path.size == (704, 1280)


def test_a_turn_to_the_left_is_even_and_up_is_up(tmp_path):
    path = path_of(tmp_path, [TURN], fps=2.0)
    ahead = path.c2w[:, :3, 2]
    np.testing.assert_allclose(ahead, [(0, 0, 1), (-HALF, 0, HALF), (-1, 0, 0)], atol=1e-6)
    up = path_of(tmp_path, [(0, "translation", "LINEAR", [0, 1], [(0, 0, 0), (0, 1, 0)])])
    np.testing.assert_allclose(up.c2w[-1, :3, 3], (0, -1, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("way", "values", "half"),
    [
        ("LINEAR", [(0, 0, 0), (2, 0, 0)], 1.0),
        ("STEP", [(0, 0, 0), (2, 0, 0)], 0.0),
        ("CUBICSPLINE", [(9, 9, 9), (0, 0, 0), (0, 0, 0), (0, 0, 0), (2, 0, 0), (9, 9, 9)], 1.0),
        ("CUBICSPLINE", [(9, 9, 9), (0, 0, 0), (4, 0, 0), (0, 0, 0), (2, 0, 0), (9, 9, 9)], 1.5),
    ],
)
def test_each_interpolation_is_where_it_should_be_half_way(tmp_path, way, values, half):
    path = path_of(tmp_path, [(0, "translation", way, [0, 1], values)], fps=2.0)
    np.testing.assert_allclose(path.c2w[:, 0, 3], (0, half, 2), atol=1e-6)


def test_nodes_above_move_the_camera_and_their_size_does_not_change_it(tmp_path):
    nodes = [
        {"translation": [1, 0, 0], "children": [1]},
        {"scale": [0.01, 0.01, 0.01], "children": [2]},
        {"matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, -50, 1], "children": [3]},
        {"name": "Camera", "camera": 0, "translation": [0, 100, 0]},
    ]
    lift = (0, "translation", "LINEAR", [0, 1], [(1, 0, 0), (2, 0, 0)])
    path = path_of(tmp_path, [lift], nodes=nodes, fps=1.0)
    np.testing.assert_allclose(path.c2w[:, :3, 3], [(1, -1, 0.5), (2, -1, 0.5)], atol=1e-6)
    np.testing.assert_allclose(path.c2w[:, :3, :3], np.eye(3)[None].repeat(2, 0), atol=1e-6)


def test_the_vertical_field_of_view_is_the_pictures(tmp_path):
    path = path_of(tmp_path, lens={"yfov": 0.5}, size=SIZE)
    assert path.frames == 1 and np.radians(field_of_view_deg(path.intrinsics[0], SIZE)[1]) == pytest.approx(
        0.5, abs=1e-6
    )
    assert path.intrinsics[0, 0] == path.intrinsics[0, 1] and path.provenance.intrinsics_source == "file"


def test_a_camera_is_taken_by_its_name(tmp_path):
    nodes = [{"name": "A", "camera": 0}, {"name": "B", "camera": 0, "translation": [3, 0, 0]}]
    assert path_of(tmp_path, nodes=nodes, camera="B").c2w[0, 0, 3] == 3
    assert path_of(tmp_path, nodes=nodes).c2w[0, 0, 3] == 0
    with pytest.raises(CameraError, match="has no camera 'C', its cameras: 'A', 'B'"):
        path_of(tmp_path, nodes=nodes, camera="C")


def test_one_file_two_files_and_base64_are_the_same(tmp_path):
    document = scene([DOLLY, TURN])
    wanted = gltf_path(saved(tmp_path, document)).c2w
    binary = base64.b64decode(document["buffers"][0]["uri"].partition(",")[2])
    (tmp_path / "scene.glb").write_bytes(as_glb(scene([DOLLY, TURN])))
    np.testing.assert_array_equal(gltf_path(tmp_path / "scene.glb").c2w, wanted)
    (tmp_path / "scene.bin").write_bytes(binary)
    document["buffers"][0]["uri"] = "scene.bin"
    np.testing.assert_array_equal(gltf_path(saved(tmp_path, document)).c2w, wanted)
    (tmp_path.parent / "secret.bin").write_bytes(binary)
    document["buffers"][0]["uri"] = "../secret.bin"
    with pytest.raises(CameraError, match="lies in another folder"):
        gltf_path(saved(tmp_path, document))


def changed(**changes):
    return scene([DOLLY]) | changes


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must be a JSON object, got list"),
        ({}, "has no camera, its cameras: none"),
        (changed(nodes=3), "nodes must be a list of objects"),
        (changed(cameras=[]), r"there is no cameras\[0\]"),
        (changed(cameras=[{"type": "orthographic"}]), "is 'orthographic', wanted perspective"),
        (changed(cameras=[{"type": "perspective", "perspective": {"yfov": 9}}]), "yfov of 9 radians"),
        (changed(nodes=[{"camera": 0, "children": [0]}]), "hang in a circle"),
        (changed(nodes=[{"camera": 0, "rotation": [0, 0, 0, 0]}]), "rotation has length 0"),
        (changed(nodes=[{"camera": 0}, {"children": 3}]), "children must be a list, got 3"),
        (changed(nodes=[{"camera": 0, "scale": [1, "x", 1]}]), "scale must be 3 finite numbers"),
        (changed(nodes=[{"camera": 0}, {}], accessors=[]), r"there is no accessors\[0\]"),
        (changed(buffers=[{"byteLength": 4}]), "buffer 0 has no content"),
        (changed(buffers=[{"uri": "data:;base64,!!"}]), "buffer 0 is not base64"),
        (changed(buffers=[{"uri": "data:;base64,AAAA"}]), "beyond what its buffer holds"),
        (scene([(0, "translation", "LINEAR", [1, 1], [(0, 0, 0), (1, 0, 0)])]), "times of an animation must rise"),
        (scene([(0, "translation", "LINEAR", [0, 1], [(0, 0, 0)])]), "2 times and 1 values"),
        (scene([(0, "translation", "LINEAR", [0, 1e8], [(0, 0, 0), (1, 0, 0)])]), "wanted at most 100000; cut it"),
        (scene([(0, "translation", "LINEAR", [0, 1], [(0, 0, 0), (np.nan, 0, 0)])]), "not finite, or absurd"),
        (scene([(0, "scale", "LINEAR", [0, 1], [(1, 1, 1), (-1, 1, 1)])]), "must not mirror|orthonormal"),
    ],
)
def test_what_is_wrong_with_a_scene_is_said_with_its_file(tmp_path, document, words):
    with pytest.raises(CameraError, match=words) as caught:
        gltf_path(saved(tmp_path, document))
    assert "scene.gltf" in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["scene.gltf", "scene.glb"])
def test_damaged_scenes_give_a_path_or_an_error_that_names_them(tmp_path, name):
    document = scene([DOLLY, TURN])
    whole = as_glb(document) if name.endswith("glb") else json.dumps(document).encode()
    random, refused = np.random.default_rng(0), 0
    with at_most(64):
        for trial in range(400):
            (tmp_path / name).write_bytes(DAMAGES[trial % len(DAMAGES)](whole, random))
            try:
                path = gltf_path(tmp_path / name)
                assert isinstance(path, CameraPath) and np.isfinite(path.c2w).all()
            except CameraError as error:
                assert str(tmp_path) in str(error)
                refused += 1
    assert 100 < refused < 400
