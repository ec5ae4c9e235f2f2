"""wm_core.rollout pair views, drawing and report: every pixel from where it should be, and every number named."""

import re

import numpy as np
import pytest
import torch
from test_stitch import levels, moments
from test_stitch_streaming import parted

from wm_core.camera import Revisit
from wm_core.errors import ConfigError
from wm_core.metrics import PairMeter, RevisitLikeness
from wm_core.rollout import PairView, draw_pair, frame_pairs, report_pair
from wm_core.rollout.pair_drawing import COLOURS
from wm_core.rollout.pair_views import AMPLIFICATION, GAP, GREY, VIEWS, line_position

DARK, LIGHT = np.full((64, 96, 3), 40, np.uint8), np.full((64, 96, 3), 200, np.uint8)
REVISITS = RevisitLikeness([Revisit(0, 80, 0.1, 2.0), Revisit(16, 96, 0.2, 3.0)], (0.4, 0.6), (0.9, 0.7))


def curves(change=0.0, frames=97):
    first = levels(moments(0, frames, (16, 24)))
    meter = PairMeter()
    meter.add(first, levels(first / 255 + change))
    return meter.curves()


def has_colour(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(-1) < 12).any()


def test_side_by_side_shows_both_whole_and_labelled():
    picture = PairView("side by side", 16).draw(DARK, LIGHT, 0)
    assert picture.shape == (64, 2 * 96 + GAP, 3)
    assert (picture[24:, :96] == 40).all() and (picture[24:, 96 + GAP :] == 200).all()
    for left in (0, 96 + GAP):
        label = picture[:19, left : left + 40]
        assert label.min() < 40 and label.max() > 210, "a dark plate with light letters"
    assert (DARK == 40).all() and (LIGHT == 200).all(), "the frames that were given are as they were"


@pytest.mark.parametrize(("number", "line"), [(0, 0), (16, 48), (24, 72), (32, 96), (48, 48), (64, 0), (80, 48)])
def test_the_wipe_goes_there_and_back_in_four_seconds(number, line):
    picture = PairView("wipe", 16).draw(DARK, LIGHT, number)[40]
    assert line_position(number / 16, 96) == line and picture.shape == (96, 3)
    assert (picture[: max(0, line - 1)] == 40).all() and (picture[line + 1 :] == 200).all()
    assert (picture[max(0, line - 1) : line + 1] == 255).all(), "a thin line between them"


def test_the_wipe_names_both_sides_where_they_are_seen():
    view = PairView("wipe", 16)
    start, end = (view.draw(DARK, LIGHT, number)[:19] for number in (0, 32))
    assert (start[:, 2:40] == 200).all() and start[:, 50:].min() < 40, "only the second, and its name at the right"
    assert (end[:, 60:94] == 40).all() and end[:, :40].max() > 210, "only the first, and its name at the left"


def test_the_difference_is_amplified_around_grey():
    view = PairView("difference", 16)
    assert (view.draw(DARK, DARK, 0) == GREY).all()
    shifted = DARK.copy()
    shifted[:32, :, 0] += 10
    shifted[32:, :, 2] -= 7
    picture = view.draw(DARK, shifted, 0).astype(int) - GREY
    np.testing.assert_array_equal(np.abs(picture), AMPLIFICATION * np.abs(shifted.astype(int) - DARK))
    assert (picture[:32, :, 0] > 0).all() and (picture[32:, :, 2] < 0).all()
    assert (view.draw(DARK, LIGHT, 0) == 255).all() and (view.draw(LIGHT, DARK, 0) == 0).all()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [(63, 95), (16, 17), (704, 1280)])
def test_sizes_are_even_and_an_odd_edge_is_repeated(view, size):
    first, second = (np.full((*size, 3), value, np.uint8) for value in (40, 60))
    picture = PairView(view, 16).draw(first, second, 3)
    assert picture.shape[0] % 2 == 0 and picture.shape[1] % 2 == 0 and picture.dtype == np.uint8
    width = 2 * size[1] + GAP if view == "side by side" else size[1]
    assert picture.shape[0] - size[0] in (0, 1) and picture.shape[1] - width in (0, 1)
    np.testing.assert_array_equal(picture[-1, size[1] // 2 :], picture[-2, size[1] // 2 :])


def test_frames_are_paired_one_to_one_however_the_clips_are_parted():
    first, second = levels(moments(0, 23, (4, 6))), levels(moments(5, 28, (4, 6)))
    pieces = list(frame_pairs(parted(first.numpy(), [3, 8]), parted(second, [5]), 4))
    assert [len(a) for a, _ in pieces] == [len(b) for _, b in pieces] == [4] * 5 + [3]
    for clip, parts in zip((first, second), zip(*pieces)):
        assert torch.equal(torch.cat(parts), clip)
    view = PairView("difference", 16)
    whole = view.draw_piece(first.numpy(), second.numpy(), 0)
    np.testing.assert_array_equal(np.concatenate([view.draw_piece(*map(np.asarray, p), 0) for p in pieces]), whole)


def test_clips_of_other_lengths_are_not_paired_in_part():
    with pytest.raises(ValueError, match="shorter"):
        list(frame_pairs([torch.zeros(9, 4, 4, 3)], [torch.zeros(4, 4, 4, 3)], 4))


@pytest.mark.parametrize("frames", [1, 2, 97])
@pytest.mark.parametrize("revisits", [None, RevisitLikeness((), (), ()), REVISITS])
def test_the_drawing_has_both_clips_at_any_length(frames, revisits):
    picture = draw_pair(curves(0.1, frames), 16, revisits)
    assert picture.shape == (624, 1120, 3) and picture.dtype == np.uint8
    bars = picture[460:]
    for colour in COLOURS:
        assert has_colour(picture[:450], colour)
        assert has_colour(bars, colour) == (revisits is REVISITS), "bars where there are revisits, else words"


def test_the_report_names_every_number():
    text = "\n".join(report_pair(curves(0.2), 16, REVISITS))
    assert re.search(r"mean sharpness .*: stage 1 [\d.]+, refined [\d.]+, ratio 1\.00\.", text)
    assert "brightness +51.0, chroma 0.0" in text, text
    assert "(frames 0 and 80, 16 and 96), mean: stage 1 0.500, refined 0.800" in text
    assert "PSNR between the two: 14.0 dB" in text and "better" not in text.replace(
        "does not say which looks better", ""
    )


def test_the_report_says_why_a_number_is_missing():
    same = curves()
    assert "no revisits in this camera path" in "\n".join(report_pair(same, 16, RevisitLikeness((), (), ())))
    text = "\n".join(report_pair(same, 16, None))
    assert "no camera is connected" in text and "infinite, they are the same" in text
    meter = PairMeter()
    meter.add(torch.zeros(2, 8, 8, 3), torch.zeros(2, 8, 8, 3))
    assert "stage 1 0.0, refined 0.0. Detail" in report_pair(meter.curves(), 16, None)[0], "no ratio to nothing"


def test_an_unknown_view_is_refused():
    with pytest.raises(ConfigError, match="view must be one of side by side, wipe, difference, got 'flicker'"):
        PairView("flicker", 16)
