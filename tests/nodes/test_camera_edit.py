"""Nodes that change a path: untouched widgets change nothing, set ones do what they say in their order."""

import numpy as np
import pytest
import torch
from test_conditioning import call, from_actions, nodes, picture  # noqa: F401


def edited(nodes, camera, **set_to):  # noqa: F811
    return call(nodes.camera_edit.SanaWMCameraEdit, camera, **set_to)[0]


def test_untouched_widgets_change_nothing(nodes):  # noqa: F811
    camera = from_actions(nodes)
    inputs = nodes.camera_edit.SanaWMCameraEdit.define_schema().inputs[1:]
    assert edited(nodes, camera, **{widget.id: widget.default for widget in inputs}) is camera


@pytest.mark.parametrize(
    ("set_to", "frames", "noted"),
    [
        ({"first_frame": 8, "last_frame": 24}, 17, "frames 8 to 24"),
        ({"backwards": True}, 33, "backwards"),
        ({"timing": "constant speed"}, 33, "constant speed"),
        ({"timing": "smooth"}, 33, "eased smooth"),
        ({"frames": 65}, 65, "stretched from 33 to 65"),
        ({"smooth": 0.5}, 33, "smoothed over 0.5 s"),
        ({"speed": 0.4}, 33, "distances times 0.5"),
        ({"scale": 2.0}, 33, "distances times 2"),
        ({"mirror": True}, 33, "mirrored"),
        ({"on_ground": True}, 33, "height"),
        ({"look_at": "0, 0, 9"}, 33, "looking at (0, 0, 9)"),
        ({"hold_start": 8}, 41, "held at frame 0"),
        ({"hold_end": 8}, 41, "held at frame 32"),
        ({"close": 16}, 49, "closed to a loop"),
        ({"shake": 0.5}, 33, "handheld, seed 0"),
    ],
)
def test_each_widget_does_its_step_and_notes_it(nodes, set_to, frames, noted):  # noqa: F811
    camera = edited(nodes, from_actions(nodes, "w-32"), **set_to)
    assert camera.frames == frames and noted in camera.provenance.conversions[-1]


def test_steps_are_done_from_top_to_bottom(nodes):  # noqa: F811
    camera = edited(nodes, from_actions(nodes, "w-32"), last_frame=16, frames=33, scale=0.5, hold_end=4, close=8)
    words = ("frames 0 to 16", "stretched from 17 to 33", "times 0.5", "held at frame 32", "closed to a loop in 8")
    assert all(word in step for word, step in zip(words, camera.provenance.conversions, strict=True))
    assert camera.frames == 45
    np.testing.assert_array_equal(camera.c2w[-1], np.eye(4))
    assert camera.c2w[32, 2, 3] == pytest.approx(0.05 * 16 / 2, abs=1e-6)


def test_a_point_that_is_none_says_what_one_is(nodes):  # noqa: F811
    from sana_wm_pack.wm_core.errors import CameraError

    with pytest.raises(CameraError, match="x, y, z in metres, such as 0, 0, 3, got '1, 2'"):
        edited(nodes, from_actions(nodes), look_at="1, 2")


def test_joined_cameras_go_on_from_where_the_one_before_stopped(nodes):  # noqa: F811
    parts = [from_actions(nodes, text) for text in ("w-8", "d-8", "s-8", "w-4")]
    (joined,) = call(nodes.camera_edit.SanaWMCameraJoin, *parts)
    np.testing.assert_allclose(joined.c2w, from_actions(nodes, "w-8,d-8,s-8,w-4").c2w, rtol=0, atol=1e-6)
    (two,) = call(nodes.camera_edit.SanaWMCameraJoin, *parts[:2])
    assert two.frames == 17


def test_preflight_passes_the_camera_on_and_counts_its_warnings(nodes):  # noqa: F811
    camera = from_actions(nodes, "w-32", fov=70.0, image=picture(64, 96))
    same, report, card, warnings = call(nodes.camera_preview.SanaWMCameraPreflight, camera, picture(64, 96))
    assert same is camera and warnings == 0 and "first second: forward" in report
    assert card.shape == (1, 576, 1024, 3) and 0 <= card.min() < card.max() <= 1
    _, report, _, warnings = call(
        nodes.camera_preview.SanaWMCameraPreflight, from_actions(nodes, translation_speed=0.5)
    )
    assert warnings == 2 and "0.5 m a frame" in report and "is a guess" in report


def test_preflight_finds_a_wall_in_a_depth_map_of_either_kind(nodes):  # noqa: F811
    node, camera = nodes.camera_preview.SanaWMCameraPreflight, from_actions(nodes, "w-32", fov=70.0)  # 1.6 m ahead
    metres = torch.full((1, 44, 80, 3), 9.0)
    metres[:, :, 30:50] = 1.0
    assert "1.0 m ahead" in call(node, camera, depth=metres, depth_values="metres")[1]
    shown = torch.zeros(1, 44, 80, 3)
    shown[:, :, 30:50] = 1.0
    found = call(node, camera, depth=shown, nearest=1.2, farthest=40.0)
    assert "1.2 m ahead" in found[1] and found[3] == 1
    assert call(node, camera, depth=torch.zeros(1, 44, 80, 3))[3] == 0
    with pytest.raises(ValueError, match="nearest must be below farthest"):
        call(node, camera, depth=shown, nearest=9.0, farthest=3.0)
