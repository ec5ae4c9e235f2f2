"""Raymap and Pluecker volume: recorded values, the grouping of pixel frames, and independence of the world."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from wm_core.camera import CameraPath, actions_to_path, build_conditions
from wm_core.camera.rotation import pitch_rotation, yaw_rotation
from wm_core.errors import CameraError, ShapeError
from wm_core.shapes import Stride, latent_frames

CASES = json.loads((GOLDEN / "camera_prepare.json").read_text())["cases"]


@pytest.fixture
def path() -> CameraPath:
    return actions_to_path("wl-12,di-12,aw-16", size=(96, 160), fov_deg=75)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_conditions_equal_the_reference(golden, number):
    case = golden("camera_prepare")
    size, frames = tuple(CASES[number]["target_size_hw"]), CASES[number]["num_frames"]
    c2w, intrinsics = (case.inputs[f"{name}.{number}"].numpy() for name in ("c2w", "intrinsics"))
    grid = (latent_frames(frames), size[0] // 32, size[1] // 32)
    conditions = build_conditions(CameraPath(c2w, intrinsics, size, 16), grid)
    case.check(conditions.raymap[0], f"raymap.{number}")
    case.check(conditions.plucker[0], f"chunk_plucker.{number}")
    assert conditions.raymap.dtype == conditions.plucker.dtype == torch.float32


def test_first_row_is_exactly_the_identity_and_latent_intrinsics(path):
    moved = replace(path, c2w=path.c2w[20].astype(np.float64) @ path.c2w)
    row = build_conditions(moved, (6, 3, 5)).raymap[0, 0].numpy()
    np.testing.assert_array_equal(row[:16], np.eye(4).ravel())
    np.testing.assert_allclose(row[16:], path.intrinsics[0] / 32, rtol=1e-6)


def test_each_latent_frame_sees_its_own_eight_pixel_frames(path):
    want = {0: range(8), **{i: range(8 * i - 7, 8 * i + 1) for i in range(1, 6)}}
    plain = build_conditions(path, (6, 3, 5)).plucker[0]
    for frame in range(1, 41):
        c2w = path.c2w.copy()
        c2w[frame, 0, 3] += 1
        differs = (build_conditions(replace(path, c2w=c2w), (6, 3, 5)).plucker[0] != plain).any(-1).any(-1)
        channels, latents = differs.nonzero(as_tuple=True)
        got = {(int(i), int(c) // 6) for c, i in zip(channels, latents, strict=True)}
        assert got == {(i, frame - frames[0]) for i, frames in want.items() if frame in frames}


def test_channels_are_direction_then_moment_of_each_frame(path):
    rays = build_conditions(path, (6, 3, 5)).plucker[0].double().unflatten(0, (8, 2, 3))
    direction, moment = rays[:, 0], rays[:, 1]
    torch.testing.assert_close(direction.norm(dim=1), torch.ones_like(direction[:, 0]), atol=1e-6, rtol=0)
    assert (direction * moment).sum(1).abs().max() < 1e-6
    centre = torch.tensor(path.c2w[33:41, :3, 3]).double()[:, :, None, None]
    want = torch.linalg.cross(centre.expand_as(direction[:, :, 5]), direction[:, :, 5], dim=1)
    torch.testing.assert_close(moment[:, :, 5], want, atol=1e-6, rtol=0)


def test_a_single_latent_repeats_its_only_frame(path):
    plucker = build_conditions(path, (1, 3, 5)).plucker[0].unflatten(0, (8, 6))
    assert torch.equal(plucker, plucker[:1].expand_as(plucker))


def test_a_longer_path_is_cut_and_a_shorter_one_refused(path):
    longer = build_conditions(path, (4, 3, 5))
    exact = build_conditions(path.with_length(25), (4, 3, 5))
    assert torch.equal(longer.raymap, exact.raymap) and torch.equal(longer.plucker, exact.plucker)
    with pytest.raises(CameraError, match=r"25 pixel frames, the camera path has 24; .*with_length"):
        build_conditions(path.with_length(24), (4, 3, 5))


def test_intrinsics_of_another_size_are_refused(path):
    with pytest.raises(ShapeError, match=r"\(96, 160\).*\(128, 160\); crop"):
        build_conditions(path, (6, 4, 5))


def test_other_strides_set_the_channels(path):
    conditions = build_conditions(path, (11, 6, 10), Stride(4, 16, 16))
    assert conditions.plucker.shape == (1, 24, 11, 6, 10)
    torch.testing.assert_close(
        conditions.raymap[0, :, 16:], torch.from_numpy(path.intrinsics[::4] / 16), atol=1e-6, rtol=0
    )


def test_chunks_put_together_equal_the_whole(path):
    whole = build_conditions(path, (6, 3, 5))
    parts = [whole.frames(0, 4), whole.frames(4, 6)]
    assert torch.equal(torch.cat([part.raymap for part in parts], 1), whole.raymap)
    assert torch.equal(torch.cat([part.plucker for part in parts], 2), whole.plucker)
    for start, stop in ((0, 7), (2, 2), (-1, 3)):
        with pytest.raises(CameraError, match="6 conditioned"):
            whole.frames(start, stop)


def test_to_moves_both_tensors(path):
    moved = build_conditions(path, (6, 3, 5)).to("meta")
    assert moved.raymap.is_meta and moved.plucker.is_meta


@settings(deadline=None, max_examples=25)
@given(st.floats(-3, 3), st.floats(-1.5, 1.5), st.tuples(*[st.floats(-10, 10)] * 3))
def test_conditions_do_not_depend_on_the_world(yaw, pitch, origin):
    path = actions_to_path("wl-12,di-12,aw-16", size=(96, 160), fov_deg=75)
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = yaw_rotation(yaw) @ pitch_rotation(pitch), origin
    here, there = (build_conditions(replace(path, c2w=move @ path.c2w), (6, 3, 5)) for move in (np.eye(4), world))
    torch.testing.assert_close(there.raymap, here.raymap, atol=1e-5, rtol=0)
    torch.testing.assert_close(there.plucker, here.plucker, atol=1e-5, rtol=0)


@pytest.mark.parametrize("start", [1, 2, 4])
def test_a_chunk_s_conditions_are_those_of_the_whole(start):
    path = actions_to_path("wd-20,jl-20", size=(64, 96), fov_deg=70)
    whole = build_conditions(path, (6, 2, 3))
    part = build_conditions(path, (6, 2, 3), start=start)
    assert torch.equal(part.raymap, whole.raymap[:, start:])
    assert torch.equal(part.plucker, whole.plucker[:, :, start:])
