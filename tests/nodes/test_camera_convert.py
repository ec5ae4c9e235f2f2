"""Cameras for others: Wan gets what the host's own node would have made of the same poses; actions say what they became."""

import json

import numpy as np
import pytest
import torch
from cases import assert_close
from test_conditioning import call, from_actions, nodes, picture  # noqa: F401

SIZE = (72, 128)  # 16 : 9, for which the host's node leaves its focal lengths as they are


@pytest.mark.parametrize("pose", ["Static", "Zoom In", "Pan Left", "ClockWise (CW)"])
def test_wan_gets_the_embedding_of_the_hosts_own_node(nodes, pose):  # noqa: F811
    from comfy_extras import nodes_camera_trajectory as host
    from sana_wm_pack.wm_core.camera import CameraPath

    frames = 9
    (wanted, *shape) = host.WanCameraEmbedding.execute(pose, SIZE[1], SIZE[0], frames).args
    row = host.CAMERA_DICT[pose]
    poses = host.get_camera_motion(np.array(row["angle"]), np.array(row["T"]), 1.0, frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, :3] = poses
    lens = np.tile(np.array((0.5 * SIZE[1], 0.5 * SIZE[0], 0.5 * SIZE[1], 0.5 * SIZE[0])), (frames, 1))
    path = CameraPath(c2w, lens, SIZE, 16.0)
    found, *told = call(nodes.camera_convert.SanaWMCameraToWan, path, SIZE[1], SIZE[0])
    assert found.shape == (1, 24, 3, *SIZE) and told == [SIZE[1], SIZE[0], frames] == shape
    assert_close(found, wanted.float(), 2e-6)


def test_wan_is_told_of_the_cropped_picture_and_refuses_other_lengths(nodes):  # noqa: F811
    from sana_wm_pack.wm_core.errors import ShapeError

    camera = from_actions(nodes, "w-8", fov=90.0, image=picture(96, 96))
    found = call(nodes.camera_convert.SanaWMCameraToWan, camera, 64, 32)[0]
    direction = found.reshape(6, 4, 3, 32, 64)[3:, 0, 0]
    assert torch.allclose((direction[0] / direction[2])[0, [0, -1]], torch.tensor([-63 / 64, 63 / 64]), atol=1e-6)
    with pytest.raises(ShapeError, match=r"4k \+ 1 frames, the path has 11; make it 13"):
        call(nodes.camera_convert.SanaWMCameraToWan, from_actions(nodes, "w-10"), 64, 32)


def test_actions_say_what_they_became_and_what_is_left_between(nodes):  # noqa: F811
    text, told, metres, degrees = call(
        nodes.camera_convert.SanaWMActionsConvert, "wl-10,w-10", "nvlabs-v1", "nvlabs-v2"
    )
    assert text == "dw-20,w-20" and "in 41 frames for 21" in told
    assert metres > 0.01 and degrees > 1 and "beside the way" in told, "v2 turns on for a while"
    assert call(nodes.camera_convert.SanaWMActionsConvert, "w-4", "nvlabs-v1", "diffusers")[:2] == (
        "w-4",
        "the same way",
    )


def test_words_of_hy_worldplay_are_a_camera_and_become_keys(nodes):  # noqa: F811
    camera = from_actions(nodes, "w-5,right-2", dialect="hy-worldplay")
    assert camera.frames == 29 and camera.c2w[-1, 2, 3] == pytest.approx(0.4) and camera.c2w[-1, 0, 2] > 0
    text, told, metres, degrees = call(
        nodes.camera_convert.SanaWMActionsConvert, "w-5,right-2", "hy-worldplay", "nvlabs-v1"
    )
    assert (text, told) == ("w-8,l-5", "the same way, in 14 frames for 29") and metres < 1e-6 and degrees < 1e-4


def test_the_camera_of_a_frame_comes_back_from_3d_nodes(nodes):  # noqa: F811
    camera = from_actions(nodes, "w-8,dw-8", fov=70.0, image=picture(*SIZE))
    first = call(nodes.camera_convert.SanaWMCameraConvert, camera, 0, 2.0)[0]
    last = call(nodes.camera_convert.SanaWMCameraConvert, camera, -1, 2.0)[0]
    assert first["target"]["z"] == pytest.approx(-2) and json.loads(json.dumps(last)) == last
    back = nodes.camera_import.SanaWMCameraFromLoad3D
    (found,) = call(back, first, 17, "smooth", 1.0, 50.0, camera_2=last, image=picture(*SIZE))
    np.testing.assert_allclose(found.c2w[[0, -1]], camera.c2w[[0, -1]], atol=1e-5)
    np.testing.assert_allclose(found.intrinsics[-1], camera.intrinsics[-1], rtol=1e-5)


def test_the_texts_are_what_is_saved_and_are_loaded_again(nodes, host_folders, caplog):  # noqa: F811
    camera = from_actions(nodes, "w-8,dw-8", fov=70.0, image=picture(*SIZE))
    _, *texts = call(nodes.camera_convert.SanaWMCameraConvert, camera, 0, 1.0)
    assert not caplog.records, "nothing is left out of it"
    for name, text in zip(("omnicam", "nerfstudio"), texts):
        (saved,) = call(nodes.camera_files.SanaWMCameraSave, camera, format=name)
        with open(saved) as opened:
            assert opened.read() == text
        (host_folders / "input" / f"{name}.json").write_text(text)
        found = call(nodes.camera_files.SanaWMCameraLoad, f"{name}.json")[0]
        np.testing.assert_allclose(found.c2w, camera.c2w, atol=1e-5)
        np.testing.assert_allclose(found.intrinsics, camera.intrinsics, rtol=1e-5)
    with caplog.at_level("INFO", "sana_wm"):
        moved = camera.seen_through(camera.intrinsics + (0, 0, 5, 0), "given")
        call(nodes.camera_convert.SanaWMCameraConvert, moved, 0, 1.0)
    assert "the principal point is up to 5 pixels off the middle, for which OmniCam has no place" in caplog.text


def test_a_frame_beyond_the_path_is_said_and_every_widget_is_explained(nodes):  # noqa: F811
    from sana_wm_pack.wm_core.errors import CameraError

    with pytest.raises(CameraError, match="frame 17 is not part of a path of 17 frames; the last one is -1"):
        call(nodes.camera_convert.SanaWMCameraConvert, from_actions(nodes, "w-16"), 17, 1.0)
    for node in nodes.camera_convert.NODES:
        for group, inputs in node.INPUT_TYPES().items():
            for name, (_, *options) in inputs.items() if group != "hidden" else ():
                is_camera = name == "camera"
                assert is_camera or options[0].get("tooltip"), f"{node.define_schema().node_id}.{name}"
