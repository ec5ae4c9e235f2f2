"""The Preflight node: its picture shows what it warns of, and a geometry of the host's own nodes serves as depth."""

import pytest
import torch
from test_conditioning import call, from_actions, nodes, picture  # noqa: F401
from test_intrinsics import geometry


def red(card: torch.Tensor) -> int:
    return int(((card - torch.tensor((255, 62, 62)) / 255).abs().amax(-1) < 0.05).sum())


def test_warnings_are_drawn_on_the_picture(nodes):  # noqa: F811
    node = nodes.camera_preview.SanaWMCameraPreflight
    slow, fast = (from_actions(nodes, "w-32", fov=70.0, translation_speed=speed) for speed in (0.05, 0.5))
    cards = [call(node, camera)[2] for camera in (slow, fast)]
    assert red(cards[0]) == 0 and red(cards[1]) > 500 and cards[0].shape == cards[1].shape


def test_preflight_finds_what_is_in_the_way_in_a_geometry(nodes):  # noqa: F811
    node, camera = (
        nodes.camera_preview.SanaWMCameraPreflight,
        from_actions(nodes, "w-32", image=picture(200, 300), fov=60.0),
    )
    wall = torch.full((1, 200, 300), 9.0)
    wall[:, 80:120, 130:170] = 1.0  # 1.6 m is walked
    behind = torch.ones(1, 200, 300, dtype=torch.bool)
    _, report, _, warnings = call(node, camera, geometry=geometry(depth=wall))
    assert warnings == 1 and "1.0 m ahead" in report
    assert call(node, camera, geometry=geometry(depth=wall, mask=None))[3] == 1
    masked = geometry(depth=wall, mask=behind & (wall > 2))
    assert call(node, camera, geometry=masked)[3] == 0, "the mask says that there is nothing"
    infinite = geometry(depth=torch.where(wall > 2, wall, torch.inf).half())
    assert call(node, camera, geometry=infinite)[3] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"geometry": geometry(intrinsics=None)}, "a panorama looks everywhere"),
        ({"geometry": geometry(depth=None)}, r"depth must be a tensor \(b, h, w\), got NoneType"),
        ({"geometry": geometry(depth=torch.zeros(1, 200, 300, 1))}, r"got \(1, 200, 300, 1\)"),
        ({"geometry": geometry(mask=torch.ones(1, 9, 9))}, r"mask must be as its depth, \(200, 300\), got \(9, 9\)"),
        ({"geometry": geometry((100, 300))}, "which is another shape"),
        ({"geometry": geometry(), "depth": torch.zeros(1, 8, 12, 3)}, "both depth and geometry are connected"),
    ],
)
def test_preflight_refuses_a_geometry_that_it_cannot_use(nodes, options, words):  # noqa: F811
    camera = from_actions(nodes, "w-8", image=picture(200, 300), fov=60.0)
    with pytest.raises(ValueError, match=words):
        call(nodes.camera_preview.SanaWMCameraPreflight, camera, **options)
