"""Cameras for others: Wan gets what the host's own node would have made of the same poses; actions say what they became."""

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
