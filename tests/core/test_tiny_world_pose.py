"""The camera of a clip is found again from its pictures alone, and is not found where it did not go."""

import numpy as np
import pytest

from tools.tiny_world.camera_scores import acted
from tools.tiny_world.pose import pose_error
from wm_core.tiny_world import HELD_OUT, make_scene, render

SIZE = (128, 224)
SCENE = make_scene(HELD_OUT)


def seen(actions: str) -> np.ndarray:
    path = acted(actions, SIZE)
    return render(SCENE, path.c2w, path.intrinsics, SIZE) / np.float32(255)


@pytest.mark.parametrize("actions", ["wl-8", "d-8", "k-4,sj-4"])
def test_poses_of_exact_renders_are_found(actions):
    error = pose_error(SCENE, seen(actions), acted(actions, SIZE))
    assert error.degrees.max() < 1 and (error.metres.max() < 0.05)


def test_soft_pictures_do_not_draw_the_pose_away():
    """The tiny world's clips are as soft as this after a second; the first frame is given and sharp."""
    import kornia.filters
    import torch

    sharp = torch.from_numpy(seen("wl-8")).permute(0, 3, 1, 2)
    soft = kornia.filters.gaussian_blur2d(sharp, (25, 25), (4.0, 4.0)).permute(0, 2, 3, 1).numpy()
    soft[0] = seen("wl-8")[0]
    error = pose_error(SCENE, soft, acted("wl-8", SIZE))
    assert error.degrees.max() < 1 and error.metres.max() < 0.05


def test_another_path_is_told_from_the_wanted_one():
    error = pose_error(SCENE, seen("a-8"), acted("d-8", SIZE))
    assert error.worst_share == pytest.approx(2, abs=0.15), "it went as far to the other side"
