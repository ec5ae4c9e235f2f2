"""wm_core.rollout stitch and seam: nothing is lost or shown twice, known colours come back, and a bad join is seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from wm_core.camera import actions_to_path
from wm_core.camera.canvas import WARNING
from wm_core.errors import CameraError, ConfigError, ShapeError
from wm_core.rollout import compare_paths, join_clips, join_paths, pose_jump, seam_picture, seam_report
from wm_core.rollout.colour_match import GAIN_LIMITS, ColourMatch
from wm_core.rollout.stitch import RULES, blend_weights

GAIN, OFFSET = (0.75, 0.9, 1.15), (0.01, 0.0, -0.004)
LEVEL = 1 / 255


def moments(start, stop, size=(32, 48)):
    """Frames [start, stop) of one moving scene without black or white, (f, h, w, 3) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(size[0]) / 9.0, torch.arange(size[1]) / 9.0, indexing="ij")
    t = torch.arange(start, stop)[:, None, None] / 15.0
    waves = [torch.sin(x + t + y / 3), torch.cos(x - t), torch.sin(y + t) * torch.cos(x)]
    return 0.5 + 0.22 * torch.stack(waves, -1)


def levels(clip):
    return (clip * 255).round().to(torch.uint8)


def exposed(clip, gain=GAIN, offset=OFFSET):
    """A clip under other light; sRGB written out, so that it does not rest on what is tested."""
    light = torch.where(clip > 0.04045, ((clip + 0.055) / 1.055) ** 2.4, clip / 12.92)
    light = (light * torch.tensor(gain) + torch.tensor(offset)).clamp(0, 1)
    return torch.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, light * 12.92)


def numbered(start, stop):
    """One-colour frames whose level is their number."""
    return torch.arange(start, stop, dtype=torch.uint8)[:, None, None, None].expand(-1, 4, 6, 3).contiguous()


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_moment_is_shown_once(rule, data):
    f, g = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    overlap = data.draw(st.integers(0, min(f, g)))
    before, after = numbered(30, 30 + f), numbered(30 + f - overlap, 30 + f - overlap + g)
    joined = join_clips(before, after, overlap=overlap, rule=rule)
    assert joined.frames.dtype == torch.uint8
    assert joined.frames[:, 0, 0, 0].tolist() == list(range(30, 30 + f + g - overlap))
    assert joined.is_cut == (rule == "cut" or not overlap) == ("hard cut" in joined.label)
    assert joined.seam == (slice(f, f) if joined.is_cut else slice(f - overlap, f))


@given(st.integers(0, 200))
def test_weights_rise_and_those_of_both_clips_sum_to_one(overlap):
    weights = blend_weights(overlap)
    assert weights.shape == (overlap,)
    assert ((weights > 0) & (weights < 1)).all() and (weights.diff() > 0).all()
    # the later clip's share at k is the earlier one's as far from the other end
    assert torch.allclose(weights + weights.flip(0), torch.ones(overlap, dtype=torch.float64), atol=1e-12)


def test_a_blend_stays_between_its_clips_and_moves_one_way():
    dark, bright = torch.full((9, 4, 4, 3), 0.2), torch.full((9, 4, 4, 3), 0.8)
    frames = join_clips(dark, bright, overlap=5, match_colour=False).frames[:, 0, 0, 0]
    assert (frames.diff() >= 0).all() and (frames[3:10].diff() > 0.01).all()
    assert torch.equal(frames[:4], dark[:4, 0, 0, 0]) and torch.equal(frames[9:], bright[5:, 0, 0, 0])


@pytest.mark.parametrize("convert", [levels, torch.Tensor.float, torch.Tensor.double, torch.Tensor.half])
def test_another_exposure_is_matched_back(convert):
    whole = moments(0, 30)
    joined = join_clips(convert(whole[:20]), convert(exposed(whole[12:])), overlap=8)
    got, want = joined.frames.float(), convert(whole).float()
    error = (got - want).abs() / (255 if joined.frames.dtype == torch.uint8 else 1)
    assert joined.frames.dtype == convert(whole).dtype
    assert error.mean() < 0.5 * LEVEL and error.max() < 2.1 * LEVEL, f"{error.max() * 255:.2f} levels"
    np.testing.assert_allclose(joined.match.gain, 1 / np.array(GAIN), rtol=0.01)
    np.testing.assert_allclose(joined.match.offset, -np.array(OFFSET) / GAIN, atol=0.002)
    assert not joined.match.limited and joined.label == "blended over 8 frames, colours matched"


def test_blown_out_pixels_do_not_spoil_the_match():
    whole = moments(0, 12)
    whole[:, :12] = whole[:, :12] * 1.6  # part of it is white once it is brighter
    brighter = exposed(whole.clamp(0, 1), (1.4,) * 3, (0.0,) * 3)
    assert (levels(brighter) == 255).float().mean() > 0.05
    match = join_clips(levels(whole.clamp(0, 1)[:8]), levels(brighter[4:]), overlap=4).match
    np.testing.assert_allclose(match.gain, 1 / 1.4, rtol=0.01)


def test_unlike_details_do_not_take_contrast_away():
    """Two generations of one moment differ pixel by pixel; plain least squares would draw the gain below 1."""
    whole = moments(0, 12, size=(128, 192))
    noise = [0.1 * torch.randn(whole[:8].shape, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    match = join_clips(whole[:8] + noise[0], whole[:8] + noise[1], overlap=8).match
    np.testing.assert_allclose(match.gain, 1, atol=0.08)


@pytest.mark.parametrize("factor", [0.2, 4.0])
def test_a_match_that_would_need_too_much_is_limited_and_says_so(factor):
    dim = exposed(moments(0, 8), (0.2,) * 3, (0.0,) * 3)
    pair = (dim, exposed(dim, (factor,) * 3, (0.0,) * 3))
    joined = join_clips(*pair, overlap=8)
    assert joined.match.limited and "limits" in joined.label
    assert all(GAIN_LIMITS[0] <= gain <= GAIN_LIMITS[1] for gain in joined.match.gain)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_without_contrast_are_not_amplified(level):
    flat = torch.full((6, 8, 8, 3), level, dtype=torch.uint8)
    joined = join_clips(flat, flat, overlap=3)
    assert torch.equal(joined.frames, flat[:1].expand(9, -1, -1, -1))
    np.testing.assert_allclose(joined.match.gain, 1, atol=1e-6)


def test_without_a_match_the_later_clip_is_untouched_behind_the_overlap():
    before, after = levels(moments(0, 20)), levels(exposed(moments(12, 30)))
    joined = join_clips(before, after, overlap=8, match_colour=False)
    assert joined.match is None and "matched" not in joined.label
    assert torch.equal(joined.frames[:12], before[:12]) and torch.equal(joined.frames[20:], after[8:])


def test_a_cut_keeps_both_clips_as_they_are_and_may_match_colours():
    before, after = levels(moments(0, 20)), levels(exposed(moments(12, 30)))
    plain = join_clips(before, after, overlap=8, match_colour=False, rule="cut")
    assert torch.equal(plain.frames, torch.cat([before, after[8:]])) and plain.label == "hard cut before frame 20"
    matched = join_clips(before, after, overlap=8, rule="cut")
    assert torch.equal(matched.frames[:20], before) and matched.label == "hard cut before frame 20, colours matched"
    assert (matched.frames.int() - levels(moments(0, 30)).int()).abs().max() <= 2


@pytest.mark.parametrize("return_over", [0, 1, 6, 50])
def test_the_later_clip_returns_to_its_own_colours(return_over):
    before, after = moments(0, 20), exposed(moments(12, 40))
    joined = join_clips(before, after, overlap=8, return_over=return_over).frames
    kept = join_clips(before, after, overlap=8).frames
    assert torch.equal(joined[20 + return_over :], after[8 + return_over :])
    away = (joined[20:] - kept[20:]).abs().mean((1, 2, 3))[: return_over + 1]
    assert (away.diff() > -1e-4).all(), "further from the match with every frame"


def test_matching_is_the_identity_for_clips_that_agree():
    whole = levels(moments(0, 30))
    assert torch.equal(join_clips(whole[:20], whole[12:], overlap=8).frames, whole)
    assert ColourMatch(GAIN, OFFSET).faded(0) == ColourMatch((1.0,) * 3, (0.0,) * 3)


class LargestTensors(TorchDispatchMode):
    """Counts values: of the largest tensor wider than 8 bits, and of all 8-bit ones that clips are put together in."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.element_size() > 1:
            self.wide = max(self.wide, result.numel())
        elif func is torch.ops.aten.cat.default:
            self.narrow += result.numel()
        return result


def test_a_long_clip_is_never_held_as_floats():
    before, after = (torch.randint(1, 255, (400, 16, 24, 3), dtype=torch.uint8) for _ in range(2))
    after[:8] = before[-8:]
    with LargestTensors() as count:
        joined = join_clips(before, after, overlap=8)
    assert joined.frames.dtype == torch.uint8 and len(joined.frames) == 792
    assert count.wide <= 5 * before[0].numel(), "wide tensors are a few frames at most"
    assert count.narrow == joined.frames.numel(), "the clips are copied once, into the result"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"overlap": -1}, ConfigError, "overlap must be 0 to 5 frames for clips of 6 and 5 frames, got -1"),
        ({"overlap": 6}, ConfigError, "got 6; give the number of frames"),
        ({"rule": "wipe"}, ConfigError, "rule must be one of blend, cut, got 'wipe'"),
        ({"return_over": -2}, ConfigError, "return_over must be 0 or more"),
        ({"after": numbered(0, 5)[:, :2]}, ShapeError, "one picture size, got 6 x 4 and 6 x 2; resize"),
        ({"after": numbered(0, 5).float() / 255}, ShapeError, "one dtype, got torch.uint8 and torch.float32"),
        ({"before": numbered(0, 5).int()}, ShapeError, "before must be uint8 or floating point"),
        ({"before": numbered(0, 5)[..., :1]}, ShapeError, r"before must be \(f, h, w, 3\), got \(5, 4, 6, 1\)"),
        ({"after": numbered(0, 0)}, ShapeError, r"after must be \(f, h, w, 3\), got \(0, 4, 6, 3\)"),
    ],
)
def test_clips_that_cannot_be_joined_are_refused(change, error, match):
    given = {"before": numbered(0, 6), "after": numbered(0, 5), "overlap": 2, **change}
    with pytest.raises(error, match=match):
        join_clips(given.pop("before"), given.pop("after"), **given)


@pytest.fixture(scope="module")
def path():
    return actions_to_path("w-30,dw-30,wl-30", size=(704, 1280), fov_deg=80)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 20))
def test_a_path_cut_in_two_is_joined_exactly(path, overlap, more):
    before, after = path.slice(0, 45), path.slice(45 - overlap, 46 + more).relative_to_first()
    joined = join_paths(before, after, overlap)
    assert joined.frames == before.frames + after.frames - overlap
    np.testing.assert_array_equal(joined.c2w[:45], path.c2w[:45])
    np.testing.assert_allclose(joined.c2w, path.c2w[: joined.frames], atol=2e-5)
    np.testing.assert_array_equal(joined.intrinsics, path.intrinsics[: joined.frames])
    metres, degrees = pose_jump(joined, 45)
    assert metres < 0.01 and degrees < 0.2


def test_paths_without_an_overlap_go_on_as_they_moved(path):
    before, after = path.slice(0, 40), path.slice(20, 30).relative_to_first()
    joined = join_paths(before, after, 0)
    assert joined.frames == 50
    metres, degrees = pose_jump(joined, 40)
    assert metres < 1e-5 and degrees < 1e-3
    still = join_paths(path.slice(7, 8), after, 0)
    np.testing.assert_array_equal(still.c2w[0], still.c2w[1])


@pytest.mark.parametrize("size", [0.05, 1.0, 20.0])
def test_a_jump_of_the_camera_is_measured(path, size):
    c2w = path.c2w.copy()
    turn = np.radians(size)
    c2w[50:, :3, 3] += np.array((0, size, 0))
    c2w[50:, :3, :3] = (
        np.array([(np.cos(turn), -np.sin(turn), 0), (np.sin(turn), np.cos(turn), 0), (0, 0, 1)]) @ (c2w[50:, :3, :3])
    )
    broken = type(path)(c2w, path.intrinsics, path.size, path.fps)
    metres, degrees = pose_jump(broken, 50)
    assert abs(metres - size) < 0.02 + 0.01 * size and abs(degrees - size) < 0.3
    assert max(pose_jump(broken, 30)) < 0.1


def test_starting_and_stopping_is_no_jump():
    walk = np.tile(np.eye(4), (9, 1, 1))
    walk[3:6, 2, 3], walk[6:, 2, 3] = (0.1, 0.2, 0.3), 0.3
    one = actions_to_path("w-8", size=(64, 64), fov_deg=80)
    path = type(one)(walk, one.intrinsics[:9], one.size, one.fps)
    assert all(max(pose_jump(path, frame)) < 1e-6 for frame in range(1, 9))


def test_paths_that_cannot_be_joined_or_measured_are_refused(path):
    with pytest.raises(CameraError, match="must be 0 to 10, got 11"):
        join_paths(path, path.slice(0, 10), 11)
    for frame in (0, path.frames):
        with pytest.raises(CameraError, match=f"got {frame}"):
            pose_jump(path, frame)


def joins():
    """A good join and a bad one of the same moments."""
    before, after = levels(moments(0, 40)), levels(exposed(moments(32, 80)))
    return (
        join_clips(before, after, overlap=8),
        join_clips(before, after, overlap=8, match_colour=False, rule="cut"),
    )


def test_the_report_sees_a_bad_join_and_none_in_a_good_one():
    good, bad = (seam_report(joined.frames, joined.seam) for joined in joins())
    assert good.jump < 1.3 and bad.jump > 2
    assert bad.frames[bad.difference.argmax()] == 40
    assert np.abs(np.diff(bad.colour, axis=0)).max() > 5 * np.abs(np.diff(good.colour, axis=0)).max()


def test_the_report_of_a_worse_join_is_worse():
    whole = moments(0, 60)
    jumps = []
    for gain in (1.0, 0.95, 0.9, 0.8, 0.6):
        joined = join_clips(whole[:30], exposed(whole[30:], (gain,) * 3, (0.0,) * 3), overlap=0)
        jumps.append(seam_report(joined.frames, joined.seam).jump)
    assert jumps == sorted(jumps) and jumps[-1] > 2 * jumps[0]


def test_the_report_has_known_numbers():
    frames = numbered(10, 20)
    frames[5:] += 100
    report = seam_report(frames, slice(5, 5), around=3)
    assert report.frames.tolist() == [2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(report.difference * 255, [1, 1, 1, 101, 1, 1], rtol=1e-4)
    np.testing.assert_allclose(report.colour[:, 1] * 255, [12, 13, 14, 115, 116, 117], rtol=1e-4)
    np.testing.assert_allclose(report.sharpness, 0, atol=1e-9)
    assert abs(report.jump - 101) < 0.1
    assert seam_report(frames, slice(0, 3)).difference[0] == 0


def test_going_from_slow_to_fast_is_no_jump():
    """What is usual is looked up on either side: the step across the seam is as great as those behind it."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(36.0), indexing="ij")
    at = torch.cat([torch.arange(30) * 0.2, 29 * 0.2 + torch.arange(1, 31) * 2.0])
    frames = 0.5 + 0.3 * torch.sin((x + y / 3)[None] / 4 + at[:, None, None] / 4)[..., None].expand(-1, -1, -1, 3)
    assert seam_report(frames, slice(30, 30)).jump < 1.3
    assert seam_report(torch.cat([frames[:30], frames[45:]]), slice(30, 30)).jump > 2


def test_two_pictures_at_once_are_less_sharp_than_either():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(1, 32, 32, 3, generator=generator).expand(20, -1, -1, -1) for _ in range(2))
    mixed = join_clips(one, other, overlap=9, match_colour=False)
    assert seam_report(mixed.frames, mixed.seam).sharpness_kept < 0.7
    same = join_clips(one, one, overlap=9)
    assert abs(seam_report(same.frames, same.seam).sharpness_kept - 1) < 0.01
    assert seam_report(one, slice(9, 9)).sharpness_kept == 1


def test_a_blurred_clip_is_less_sharp():
    sharp = torch.rand(6, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    soft = (sharp + sharp.roll(1, 1) + sharp.roll(1, 2)) / 3
    report = seam_report(torch.cat([sharp, soft]), slice(6, 6))
    assert report.sharpness[6:].max() < 0.5 * report.sharpness[:6].min()


@pytest.mark.parametrize("size", [(32, 48), (48, 32), (2, 90), (90, 2)])
@pytest.mark.parametrize("seam", [slice(0, 0), slice(2, 5), slice(5, 5), slice(9, 9), slice(0, 9)])
def test_any_seam_can_be_drawn_and_is_marked(size, seam):
    clip = moments(0, 9, size)
    for frames in (clip, levels(clip)):
        picture = seam_picture(seam_report(frames, seam), frames)
        assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
        assert (np.abs(picture.astype(int) - WARNING).max(-1) < 24).any(), "the seam is marked"


def test_reports_that_cannot_be_made_are_refused():
    clip = moments(0, 9)
    for seam in (slice(3, 10), slice(5, 2), slice(-3, 2), slice(0, 4, 2)):
        with pytest.raises(ConfigError, match="must lie in a clip of 9 frames"):
            seam_report(clip, seam)
    with pytest.raises(ConfigError, match="around must be 1 or more"):
        seam_report(clip, slice(3, 3), around=0)
    with pytest.raises(ShapeError, match=r"\(f, h, w, 3\)"):
        seam_report(clip[..., :2], slice(3, 3))
    with pytest.raises(ShapeError, match="give the same clip"):
        seam_picture(seam_report(clip, slice(3, 3)), clip[:4])


@pytest.mark.parametrize("overlap", [0, 1, 9])
def test_paths_that_go_on_meet(path, overlap):
    before = path.slice(0, 45)
    after = path.slice(45 - overlap, 70)
    meeting = compare_paths(before, after, overlap)
    assert meeting.in_one_world and not meeting.is_visible, meeting
    assert meeting.moves[0] < 1e-5 and meeting.jump[0] < 0.01
    elsewhere = compare_paths(before, after.relative_to_first(), overlap)
    assert not elsewhere.in_one_world and elsewhere.offset[0] > 0.3
    moved, met = (np.array([found.moves, found.jump]) for found in (elsewhere, meeting))
    np.testing.assert_allclose(moved[:, 0], met[:, 0], atol=1e-4)  # metres
    np.testing.assert_allclose(moved[:, 1], met[:, 1], atol=2e-2)  # degrees, as float32 matrices tell them


def test_paths_that_move_differently_over_the_overlap_do_not_meet(path):
    before, after = path.slice(0, 30), actions_to_path("s-30", size=(704, 1280), fov_deg=80)
    meeting = compare_paths(before, after, 9)
    back, ahead = after.c2w[0, 2, 3] - after.c2w[8, 2, 3], before.c2w[29, 2, 3] - before.c2w[21, 2, 3]
    assert meeting.is_visible and abs(meeting.moves[0] - (back + ahead)) < 1e-4
    assert compare_paths(before, after, 1).moves == (0, 0), "one frame shows no movement"


def test_a_jump_inside_the_later_path_is_seen_at_the_seam(path):
    c2w = path.c2w.copy()
    c2w[31:, :3, 3] += (0, 0, 0.5)
    after = type(path)(c2w[30:60], path.intrinsics[30:60], path.size, path.fps)
    meeting = compare_paths(path.slice(0, 31), after, 1)
    assert meeting.is_visible and abs(meeting.jump[0] - 0.5) < 0.05
