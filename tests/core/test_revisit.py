"""wm_core.metrics revisit: a path that comes back is found, one that does not is not, and the same picture is alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_stitch import levels, moments
from test_stitch_streaming import parted

from wm_core.camera import CameraPath, Revisit, actions_to_path, angle_between, find_revisits
from wm_core.errors import ConfigError, ShapeError
from wm_core.metrics import RevisitMeter, ssim

FPS = 16


def path_through(z, yaw_deg=0.0):
    """A camera that stands at (0, 0, z) metres in each frame, turned by yaw."""
    z = np.asarray(z, float)
    yaw = np.radians(np.broadcast_to(yaw_deg, z.shape))
    c2w = np.tile(np.eye(4), (len(z), 1, 1))
    c2w[:, 2, 3] = z
    c2w[:, 0, 0], c2w[:, 0, 2], c2w[:, 2, 0], c2w[:, 2, 2] = np.cos(yaw), np.sin(yaw), -np.sin(yaw), np.cos(yaw)
    return CameraPath(c2w, np.tile([80.0, 80, 48, 32], (len(z), 1)), (64, 96), FPS)


def there_and_back(frames, reach_m):
    return reach_m * (1 - np.abs(np.linspace(-1, 1, frames)))


def test_the_pairs_of_a_closed_path_are_found():
    """There and back over 241 frames: frame n is frame 240 - n again."""
    path = path_through(there_and_back(241, 10.0))
    pairs = find_revisits(path)
    assert len(pairs) == 5 and pairs == sorted(pairs, key=lambda pair: pair.first)
    for pair in pairs:
        assert pair.later == 240 - pair.first and pair.metres < 1e-5 and pair.degrees < 1e-3
        assert pair.later - pair.first >= 5 * FPS
    assert min(np.diff([pair.first for pair in pairs])) >= FPS, "spread, not neighbours"
    assert len(find_revisits(path, most=2)) == 2


def test_every_pair_is_within_the_limits_and_was_left():
    path = actions_to_path("w-60,ld-120,s-60,jd-30,w-90", size=(64, 96), fov_deg=80)
    pairs = find_revisits(path, most=50)
    assert len(pairs) > 1, "it crosses its own way"
    for pair in pairs:
        metres = np.linalg.norm(path.c2w[:, :3, 3] - path.c2w[pair.first, :3, 3], axis=1)
        degrees = np.degrees(angle_between(path.c2w[pair.first, :3, :3], path.c2w[:, :3, :3]))
        assert metres[pair.later] == pytest.approx(pair.metres, abs=1e-6) and pair.metres < 0.5
        assert degrees[pair.later] == pytest.approx(pair.degrees, abs=1e-4) and pair.degrees < 20
        between = slice(pair.first, pair.later)
        assert ((metres[between] >= 0.5) | (degrees[between] >= 20)).any()


@pytest.mark.parametrize("reach_m", [0.0, 0.3, 5.0, 80.0])
def test_a_straight_or_still_path_has_none(reach_m):
    """However slow: a camera that has not been away has not come back."""
    assert find_revisits(path_through(np.linspace(0, reach_m, 321))) == []


def test_a_camera_that_is_back_too_soon_or_looks_elsewhere_is_no_revisit():
    assert find_revisits(path_through(there_and_back(79, 10.0))) == []
    assert find_revisits(path_through(there_and_back(83, 10.0)))
    turned = np.where(np.arange(201) < 100, 0.0, 25.0)
    assert find_revisits(path_through(there_and_back(201, 10.0), turned)) == []
    assert find_revisits(path_through(there_and_back(201, 10.0), 0.6 * turned))


def test_a_full_turn_on_the_spot_is_a_revisit():
    (pair, *_) = find_revisits(path_through(np.zeros(161), np.linspace(0, 360, 161)))
    assert (pair.first, pair.later) == (0, 160)


def test_time_is_counted_in_the_clips_own_rate():
    path = path_through(there_and_back(100, 10.0))
    assert find_revisits(path) and not find_revisits(replace(path, fps=30.0))


def test_a_long_path_is_searched_too():
    """20000 frames, of which every tenth is taken as a first one."""
    pairs = find_revisits(path_through(there_and_back(20001, 500.0)))
    assert len(pairs) == 5 and all(abs(pair.first + pair.later - 20000) <= 10 for pair in pairs)


@pytest.fixture
def pairs():
    return [Revisit(0, 9, 0.1, 0.0), Revisit(2, 9, 0.1, 0.0), Revisit(2, 12, 0.1, 0.0), Revisit(5, 11, 0.1, 0.0)]


def test_the_same_frames_are_alike_and_others_less(pairs):
    clip = levels(moments(0, 14))
    clip[9], clip[11] = clip[0], 255 - clip[5]
    meter = RevisitMeter(pairs)
    meter.add(clip)
    likeness = meter.likeness()
    assert likeness[0] == pytest.approx(1, abs=1e-6)
    assert likeness[3] < 0 < likeness[1] < 1, "a negative, and a moment just after"


@pytest.mark.parametrize("sizes", [[1], [3], [5, 2], [14]])
def test_in_pieces_is_the_same_as_whole_and_holds_few_frames(pairs, sizes):
    clip = moments(0, 14)
    meter, most = RevisitMeter(pairs), 0
    for piece in parted(clip, sizes):
        meter.add(piece)
        most = max(most, meter.held)
    wanted = [ssim(*(clip[n].permute(2, 0, 1)[None] for n in (pair.later, pair.first))) for pair in pairs]
    assert meter.likeness() == pytest.approx(wanted, abs=1e-6)
    assert most <= 3 and meter.held == 0, "the first frames of open pairs, and in the end none"


def test_a_meter_without_pairs_holds_nothing():
    meter = RevisitMeter([])
    meter.add(torch.rand(4, 16, 16, 3))
    assert meter.likeness() == [] and meter.held == 0


def test_what_cannot_be_measured_is_refused(pairs):
    meter = RevisitMeter(pairs)
    meter.add(moments(0, 10))
    with pytest.raises(ConfigError, match="frame 12 is needed, got frames up to 9"):
        meter.likeness()
    with pytest.raises(ShapeError, match=r"at least 11 x 11 pixels, got \(2, 8, 8, 3\)"):
        meter.add(torch.rand(2, 8, 8, 3))
    with pytest.raises(ConfigError, match="got 0 and 5"):
        find_revisits(path_through([0.0, 1.0]), most=0)
