"""The Camera Editor node: its path is that of its state and nothing else, and the browser gets what it draws from."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import ROOT
from PIL import Image
from test_conditioning import from_actions, nodes, picture  # noqa: F401
from test_intrinsics import geometry

from wm_core.camera import (
    CameraPath,
    Key,
    Keyframes,
    field_of_view_deg,
    keyframed_path,
    read_keyframes,
    write_keyframes,
)

SIZE = (200, 300)
STATE = Keyframes(
    (
        Key(0, fov=60.0),
        Key(20, (0.5, 0.0, 1.0), yaw=30.0, easing="smooth", pivot=(0.0, 0.0, 5.0)),
        Key(40, (1.0, -0.5, 2.0), roll=10.0, fov=80.0, pivot=(0.0, 0.0, 6.0)),
        Key(60, (1.0, -0.5, 4.0), yaw=-45.0, pitch=20.0),
    ),
    frames=97,
    size=(704, 1280),
    fps=24.0,
    positions="bezier",
    turns="slerp",
)
TEXT = write_keyframes(STATE)


@pytest.fixture
def temporary(host, tmp_path):
    """The host's folder of temporary files, empty and of this test alone."""
    import folder_paths

    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path / "temp"))
    yield tmp_path / "temp"
    folder_paths.set_temp_directory(before)


@pytest.fixture
def edit(nodes, temporary):  # noqa: F811
    """edit(state, length, ...): camera, document, card, and what the browser is told."""
    node = nodes.camera_editor.SanaWMCameraEditor

    def run(*args, **options):
        clone = node.PREPARE_CLASS_CLONE(None)
        clone.hidden = type(clone.hidden).from_dict(None)
        made = clone.execute(*args, **options)
        (told,) = made.ui["sana_wm_camera"]
        assert json.loads(json.dumps(told)) == told, "the host sends it as JSON"
        return *made.args, told

    return run


def assert_same(path: CameraPath, wanted: CameraPath) -> None:
    """The pack's own classes are others than the tests'."""
    assert np.array_equal(path.c2w, wanted.c2w) and np.array_equal(path.intrinsics, wanted.intrinsics)
    assert (path.size, path.fps) == (wanted.size, wanted.fps)


def assert_within(path: CameraPath, wanted: CameraPath) -> None:
    """Not seen: a centimetre, a quarter of a degree."""
    assert (path.frames, path.fps, path.size) == (wanted.frames, wanted.fps, wanted.size)
    assert np.linalg.norm(path.c2w[:, :3, 3] - wanted.c2w[:, :3, 3], axis=1).max() <= 0.0101
    assert np.abs(path.c2w[:, :3, :3] - wanted.c2w[:, :3, :3]).max() <= np.radians(0.26)
    seen = (field_of_view_deg(each.intrinsics[0], each.size)[0] for each in (path, wanted))
    assert abs(next(seen) - next(seen)) < 0.26


def test_nothing_drawn_and_nothing_connected_is_a_camera_that_stands_still(edit):
    for state in ("", "  \n"):
        camera, text, card, told = edit(state, 33)
        assert_same(camera, keyframed_path(Keyframes((Key(0),), 33, (704, 1280))))
        assert (camera.c2w == np.eye(4)).all()
        assert read_keyframes(text) == Keyframes((Key(0),), 33, (704, 1280))
        assert card.ndim == 4 and card.shape[-1] == 3
        rest = {"seed": None, "picture": None, "depth": None}
        assert told == {"frames": 33, "fps": 16.0, "size": [704, 1280]} | rest


def test_the_state_makes_the_path_with_length_rate_and_size_of_the_inputs(edit):
    for options, size in (({}, (704, 1280)), ({"image": picture(*SIZE)}, SIZE)):
        camera, text, _, told = edit(TEXT, 81, fps=16.0, **options)
        wanted = replace(STATE, frames=81, fps=16.0, size=size)
        assert_same(camera, keyframed_path(wanted))
        assert read_keyframes(text) == wanted
        assert (told["frames"], told["fps"], told["size"], told["seed"]) == (81, 16.0, list(size), None)
    other = keyframed_path(replace(STATE, frames=81, positions="linear"))
    assert np.abs(camera.c2w - other.c2w).max() > 1e-2, "the control: another document is another path"


def test_a_path_that_comes_in_goes_through_until_there_is_a_state(edit, nodes):  # noqa: F811
    given = from_actions(nodes, "w-20,dw-20,i-20", image=picture(*SIZE), fov=60.0, fps=24.0)
    camera, text, _, told = edit("", 33, camera_in=given, fps=16.0)
    assert camera is given
    assert (told["frames"], told["fps"], told["size"]) == (61, 24.0, list(SIZE))
    assert text == told["seed"]
    assert_within(keyframed_path(read_keyframes(text)), given)
    drawn, text, _, told = edit(TEXT, 33, camera_in=given, fps=16.0)
    wanted = replace(STATE, frames=33, fps=16.0, size=SIZE)
    assert_same(drawn, keyframed_path(wanted))
    assert read_keyframes(text) == wanted
    assert_within(keyframed_path(read_keyframes(told["seed"])), given)


def test_the_size_is_the_picture_s_before_that_of_the_path_that_comes_in(edit, nodes):  # noqa: F811
    given = from_actions(nodes, "w-16", image=picture(*SIZE), fov=60.0)
    assert edit(TEXT, 33, camera_in=given)[0].size == SIZE
    camera, _, _, told = edit(TEXT, 33, camera_in=given, image=picture(64, 96))
    assert camera.size == (64, 96) and told["size"] == [64, 96]
    assert edit("", 33, camera_in=given, image=picture(64, 96))[0] is given


def test_a_path_that_takes_too_many_keys_goes_through_and_gives_no_document(edit, nodes):  # noqa: F811
    given = from_actions(nodes, "none-2999", image=picture(*SIZE), fov=60.0)
    c2w = given.c2w.copy()
    c2w[:, :3, 3] = np.random.default_rng(0).normal(size=(len(c2w), 3))
    given = replace(given, c2w=c2w)
    camera, text, _, told = edit("", 33, camera_in=given)
    assert camera is given and text == "" and told["seed"] is None and told["frames"] == 3000
    assert edit(TEXT, 33, camera_in=given)[0].frames == 33


def test_the_document_that_comes_out_gives_the_path_again(edit, nodes):  # noqa: F811
    camera, text, _, _ = edit(TEXT, 65, image=picture(*SIZE))
    again, same, _, _ = edit(text, 65, image=picture(*SIZE))
    assert_same(again, camera)
    assert same == text


def test_the_picture_is_kept_for_the_browser_as_it_is(edit, temporary):
    image = picture(*SIZE).repeat(2, 1, 1, 1)
    image[1] = 0
    _, _, _, told = edit(TEXT, 33, image=image)
    with Image.open(temporary / told["picture"]["subfolder"] / told["picture"]["filename"]) as kept:
        pixels = torch.from_numpy(np.array(kept.convert("RGB"))) / 255
    assert told["picture"]["type"] == "temp"
    assert (pixels - image[0]).abs().max() <= 1.01 / 255
    assert len(list(temporary.rglob("*.png"))) == 1, "of the first frame alone"


def kept(told: dict, temporary) -> np.ndarray:
    depth = told["depth"]
    assert (depth["subfolder"], depth["type"]) == ("", "temp")
    content = (temporary / depth["filename"]).read_bytes()
    assert len(content) == 4 * depth["height"] * depth["width"]
    return np.frombuffer(content, "<f4").reshape(depth["height"], depth["width"])


@pytest.mark.parametrize("size", [SIZE, (704, 1280), (631, 633), (40, 9000), (1, 300_000)])
def test_the_depth_map_is_kept_for_the_browser_in_few_points(edit, temporary, size):
    metres = torch.rand(1, *size, 1).expand(-1, -1, -1, 3) * 20 + 1
    told = edit("", 9, depth=metres, depth_values="metres")[3]
    found, wanted = kept(told, temporary), metres[0, ..., 0].numpy()
    assert found.size <= 100_000
    stride = -(-size[1] // found.shape[1])
    np.testing.assert_allclose(found, wanted[::stride, ::stride], rtol=1e-6)
    assert found.size > 20_000 or found.size == wanted.size or min(size) < 100


def test_a_depth_map_that_is_white_where_it_is_near_becomes_metres(edit, temporary):
    ramp = torch.linspace(0, 1, 300).expand(1, 200, 300)[..., None].expand(-1, -1, -1, 3)
    found = kept(edit("", 9, depth=ramp, nearest=2.0, farthest=50.0)[3], temporary)
    np.testing.assert_allclose(found[0, [0, -1]], [50, 2], rtol=1e-5)
    np.testing.assert_allclose(1 / found[7], np.linspace(1 / 50, 1 / 2, 300), rtol=1e-5)


def test_a_geometry_serves_as_depth_and_both_are_refused(edit, temporary):
    wall = torch.full((1, *SIZE), 9.0)
    mask = torch.ones(1, *SIZE, dtype=torch.bool)
    mask[0, 50:100] = False
    told = edit("", 9, image=picture(*SIZE), geometry=geometry(depth=wall, mask=mask))[3]
    found = kept(told, temporary)
    assert found.shape == SIZE and (found[:50] == 9).all() and np.isinf(found[50:100]).all()
    with pytest.raises(ValueError, match="both depth and geometry are connected"):
        edit("", 9, image=picture(*SIZE), geometry=geometry(depth=wall), depth=picture(*SIZE))
    with pytest.raises(ValueError, match="which is another shape"):
        edit("", 9, image=picture(64, 200), geometry=geometry(depth=wall))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "no keyframe document"),
        ("{}", "no keyframe document"),
        (TEXT.replace('"version": 1', '"version": 2'), "version 2"),
        (TEXT.replace('"frame": 20', '"frame": 0'), "each behind the one before it"),
        (TEXT.replace('"fov": 60.0', '"fov": 1.0'), "field of view of 1 degrees"),
        (TEXT.replace('"smooth"', '"bouncy"'), "must ease by"),
        (TEXT.replace('"roll"', '"rull"'), "unknown fields rull"),
        (TEXT.replace("bezier", "circle"), "positions must be one of"),
        (TEXT.replace("-45.0", "1e400"), "yaw of key 4 must be a number"),
    ],
)
def test_a_state_that_cannot_be_meant_is_one_clear_error(edit, pack, state, words):
    from sana_wm_pack.wm_core.errors import CameraError

    with pytest.raises(CameraError, match=words) as caught:
        edit(state, 33)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_length_of_nothing_is_refused(edit):
    for length in (0, 100_001):
        with pytest.raises(ValueError, match=f"1 to 100000 frames, got {length}"):
            edit("", length)


def test_every_input_says_what_it_is_for(nodes):  # noqa: F811
    schema = nodes.camera_editor.SanaWMCameraEditor.define_schema()
    assert [i.id for i in schema.inputs if not i.tooltip] == []
    assert schema.is_output_node, "it runs alone, so that a picture can be seen before anything is generated"
    defaults = {i.id: i.default for i in schema.inputs if getattr(i, "default", None) is not None}
    assert defaults == {
        "state": "", "length": 161, "fps": 16.0, "depth_values": "white is near", "nearest": 1.0, "farthest": 30.0,
    }  # fmt: skip
    assert (ROOT / "web" / "docs" / "SanaWMCameraEditor.md").is_file()
