"""Camera Overlay: frames in, as many frames out, drawn on; a film of another camera is refused."""

import pytest
import torch
from test_conditioning import call, from_actions, nodes  # noqa: F401


def test_the_camera_is_drawn_on_every_frame(nodes):  # noqa: F811
    film, camera = torch.full((5, 96, 160, 3), 51 / 255), from_actions(nodes, "w-8")
    (drawn,) = call(nodes.camera_overlay.SanaWMCameraOverlay, film, camera)
    assert drawn.shape == film.shape and all((frame - film[0]).abs().max() > 0.2 for frame in drawn)
    (plain,) = call(nodes.camera_overlay.SanaWMCameraOverlay, film, camera, way=False, keys=False, horizon=False)
    assert (plain - film).abs().max() < 1e-6


def test_a_longer_film_is_refused(nodes):  # noqa: F811
    from sana_wm_pack.wm_core.errors import ShapeError

    with pytest.raises(ShapeError, match="the film has 10 frames, its camera 9"):
        call(nodes.camera_overlay.SanaWMCameraOverlay, torch.zeros(10, 64, 64, 3), from_actions(nodes, "w-8"))
