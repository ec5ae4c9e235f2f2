"""Continue Video: the earlier clip's end is kept, its camera goes on, and the tiny world continues what it saw."""

import logging

import numpy as np
import pytest
import torch
from cases import assert_close
from tiny_clips import SIZE, call, path_of, tiny_world

ANCHORS = (0, 1, 2, 4)


@pytest.fixture(scope="module")
def nodes(pack):
    from sana_wm_pack import nodes

    return nodes


@pytest.fixture(scope="module")
def world(pack):
    return tiny_world()


@pytest.fixture(scope="module")
def first(nodes, world):
    """(LATENT, camera) of 33 frames that walk, drift and begin to turn."""
    return world.start(nodes, actions="w-12,wd-12,wl-8")


def continued(nodes, world, first, camera=None, length=33, anchor=2, **given):
    inputs = {"previous": first[0], "previous_camera": first[1], "camera": camera or path_of("wl-40"), **given}
    return call(
        nodes.continue_clip.SanaWMContinueVideo,
        world.prompt(),
        world.prompt(),
        world.vae,
        length=length,
        anchor=anchor,
        **inputs,
    )


@pytest.mark.parametrize("anchor", ANCHORS)
def test_the_end_of_the_earlier_clip_is_known_and_the_rest_is_not(nodes, world, first, anchor):
    _, _, latent, camera, overlap = continued(nodes, world, first, anchor=anchor, length=41)
    assert tuple(latent["samples"].shape) == (1, 24, 6, 16, 28) and overlap == 8 * anchor + 1 and camera.frames == 41
    old = first[0]["samples"]
    assert torch.equal(latent["samples"][:, :, 1 : anchor + 1], old[:, :, old.shape[2] - anchor :])
    assert not latent["samples"][:, :, anchor + 1 :].any()
    mask = latent["noise_mask"]
    assert mask.dtype == torch.float32 and not mask[:, :, : anchor + 1].any() and mask[:, :, anchor + 1 :].all()
    picture = world.frames(first[0])[33 - overlap]
    encoded = world.vae.encode(torch.from_numpy(picture.astype(np.float32) / 255)[None])
    assert_close(latent["samples"][:, :, :1], encoded, 0.02)


def test_one_frame_is_decoded_from_a_window(nodes, world):
    """The frame of a long clip is what the whole decode has there, though only the latents around it are decoded."""
    latent, _ = world.start(nodes, actions="w-40,wl-80,w-40", length=161)
    whole = world.frames(latent)
    for at in (0, 1, 10, 19, 20):
        frame = nodes.continue_clip.last_frame_of(world.vae, latent["samples"], at)
        assert np.abs(frame.astype(int) - whole[8 * at]).max() <= 2, at


@pytest.mark.parametrize("anchor", ANCHORS)
def test_the_camera_goes_on_where_it_was(nodes, world, first, anchor):
    from sana_wm_pack.wm_core.rollout import compare_paths, pose_jump

    following = path_of("wl-40")
    positive, negative, _, camera, overlap = continued(nodes, world, first, following, anchor=anchor, length=41)
    np.testing.assert_array_equal(camera.c2w[:overlap], first[1].c2w[33 - overlap :])
    moved = first[1].c2w[-1] @ following.c2w
    np.testing.assert_allclose(camera.c2w[overlap - 1 :], moved[: 42 - overlap], atol=1e-5)
    assert max(pose_jump(camera, max(1, overlap - 1))) < 1e-3
    meeting = compare_paths(first[1], camera, overlap)
    assert meeting.in_one_world and not meeting.is_visible
    assert positive[0][1]["sana_wm_camera"] is negative[0][1]["sana_wm_camera"]
    raymap = positive[0][1]["sana_wm_camera"].raymap[0, :, :16].reshape(-1, 4, 4)
    np.testing.assert_allclose(raymap[-1], np.linalg.inv(camera.c2w[0]) @ camera.c2w[40], atol=1e-5)


def test_cameras_of_other_pictures_get_the_video_s_cut(nodes, world, first):
    (wide,) = call(
        nodes.camera.SanaWMCameraFromActions, "w-32", "nvlabs-v1", fov=70.0, image=torch.zeros(1, 300, 900, 3)
    )
    (tall,) = call(
        nodes.camera.SanaWMCameraFromActions, "w-32", "nvlabs-v1", fov=70.0, image=torch.zeros(1, 640, 480, 3)
    )
    camera = continued(nodes, world, first, tall, previous_camera=wide)[3]
    assert camera.size == SIZE
    # cut to cover 224 x 128: the wide one is scaled by 128/300, the tall one by 224/480
    np.testing.assert_allclose(camera.intrinsics[0, 0], wide.intrinsics[0, 0] * 128 / 300, rtol=1e-5)
    np.testing.assert_allclose(camera.intrinsics[-1, 0], tall.intrinsics[0, 0] * 224 / 480, rtol=1e-5)


def test_a_camera_longer_or_shorter_than_its_clip_is_cut_or_held_as_it_was_there(nodes, world, first):
    longer = continued(nodes, world, first, previous_camera=first[1].then(path_of("s-9")))[3]
    np.testing.assert_array_equal(longer.c2w[:17], first[1].c2w[16:])
    shorter = continued(nodes, world, first, previous_camera=first[1].slice(0, 20))[3]
    np.testing.assert_array_equal(shorter.c2w[:4], first[1].c2w[16:20])
    np.testing.assert_array_equal(shorter.c2w[3], shorter.c2w[16])


def test_the_dialect_is_that_of_what_is_generated(nodes, world, first):
    (camera,) = call(nodes.camera.SanaWMCameraFromActions, "w-32", "sglang")
    positive, *_ = continued(nodes, world, first, camera)
    assert positive[0][1]["sana_wm_dialect"] == "sglang"


def test_lengths_that_do_not_fit_are_explained(nodes, world, first, caplog):
    with caplog.at_level(logging.INFO, "sana_wm"):
        continued(nodes, world, first, path_of("w-4"), length=36)
    assert "36 frames became 33" in caplog.text and "stands still after frame 20" in caplog.text


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"anchor": 5}, "anchor must be 0 to 4 for an earlier video of 5 latent frames, got 5; keep fewer"),
        ({"anchor": 4, "length": 33}, "length must be more than 33, the frames that anchor 4 keeps, got 33"),
        ({"anchor": 0, "length": 1}, "length must be more than 1, the frames"),
        ({"previous": {"samples": torch.zeros(1, 4, 8, 8)}}, r"previous must be a video .* got \(1, 4, 8, 8\)"),
    ],
)
def test_what_cannot_be_continued_is_refused(nodes, world, first, given, match):
    with pytest.raises(ValueError, match=match):
        continued(nodes, world, first, **given)


@pytest.mark.parametrize("anchor", (1, 2))
def test_the_tiny_world_goes_on_from_what_it_was_given(nodes, world, first, anchor):
    """Kept frames come out of the sampler as they went in and decode to the old pictures; what follows is no still."""
    latent, _, overlap = world.go_on(nodes, *first, actions="wl-16,w-16", anchor=anchor)
    old = first[0]["samples"]
    assert_close(latent["samples"][:, :, 1 : anchor + 1], old[:, :, 5 - anchor :], 1e-6)
    before, after = world.frames(first[0]).astype(float), world.frames(latent).astype(float)
    differs = np.abs(before[-overlap:] - after[:overlap]).mean((1, 2, 3))
    usual = np.abs(np.diff(before[-overlap - 1 :], axis=0)).mean((1, 2, 3))
    print(f"anchor {anchor}: kept frames differ by {differs.mean():.2f} levels, frames in a row by {usual.mean():.2f}")
    assert differs.mean() < usual.mean(), "nearer to the old frame than the frame next to it is"
    assert np.abs(before[0] - after[0]).mean() > 4 * differs.mean(), "the control: another frame of the same clip"
    assert np.abs(after[-1] - after[overlap]).mean() > 3 * usual.mean(), "the camera moves on"
