"""wm_core.metrics clip curves: what was done to a clip is what the curves show, however it is parted."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.filters import gaussian_blur2d
from test_stitch import levels, moments
from test_stitch_streaming import parted

from wm_core.errors import ShapeError
from wm_core.metrics import ClipMeter, PairMeter, psnr

FIELDS = ("sharpness", "difference", "colour")


def curves_of(clip):
    meter = ClipMeter()
    meter.add(clip)
    return meter.curves()


def pair_of(first, second):
    meter = PairMeter()
    meter.add(first, second)
    return meter.curves()


def blurred(clip):
    return gaussian_blur2d(clip.movedim(-1, 1), (5, 5), (1.2, 1.2)).movedim(1, -1)


@pytest.mark.parametrize("convert", [levels, torch.Tensor.float])
def test_identical_clips_have_identical_curves_and_nothing_between_them(convert):
    clip = convert(moments(0, 9))
    pair = pair_of(clip, clip.clone())
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(pair.first, name), getattr(pair.second, name))
    assert pair.first.frames == 9 and (pair.first.sharpness > 0).all() and (pair.first.difference[1:] > 0).all()
    assert pair.psnr == math.inf and not pair.squared_error.any()
    assert not pair.brightness_apart.any() and not pair.chroma_apart.any()


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_in_pieces_is_the_same_as_whole_bit_for_bit(sizes):
    first, second = levels(moments(0, 17, (16, 24))), levels(moments(3, 20, (16, 24)))
    whole, meter = pair_of(first, second), PairMeter()
    for pieces in zip(parted(first, sizes), parted(second, sizes)):
        meter.add(*pieces)
    got = meter.curves()
    np.testing.assert_array_equal(got.squared_error, whole.squared_error)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got.second, name), getattr(whole.second, name))


def test_a_blurred_clip_is_less_sharp_and_a_noisy_one_more():
    clip = moments(0, 6)
    noisy = clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    plain, soft, rough = (curves_of(each).sharpness for each in (clip, blurred(clip), noisy))
    assert (soft < 0.9 * plain).all() and (rough > 2 * plain).all()


def test_sharpness_of_a_known_picture():
    """One white pixel on black: the 3 x 3 Laplacian is -8 there and 1 in the eight around it."""
    picture = torch.zeros(1, 9, 9, 3)
    picture[0, 4, 4] = 1
    values = np.array([-8.0, *[1.0] * 8, *[0.0] * 72])
    assert curves_of(picture).sharpness[0] == pytest.approx(values.var(ddof=1), rel=1e-5)


def test_the_difference_is_that_to_the_frame_before():
    clip = torch.stack([torch.full((4, 6, 3), value) for value in (0.2, 0.5, 0.4)])
    curves = curves_of(clip)
    np.testing.assert_allclose(curves.difference, [0, 0.3, 0.1], atol=1e-6)
    assert curves.mean_difference == pytest.approx(0.2, abs=1e-6)
    assert curves_of(clip[:1]).mean_difference == 0


def test_a_brightened_clip_shows_in_brightness_alone():
    clip = moments(0, 6)
    pair = pair_of(clip, clip + 0.1)
    np.testing.assert_allclose(pair.second.colour - pair.first.colour, 0.1, atol=1e-5)
    np.testing.assert_allclose(pair.brightness_apart, 0.1, atol=1e-5)
    np.testing.assert_allclose(pair.chroma_apart, 0, atol=1e-5)
    start = pair.first.colour[0]
    np.testing.assert_allclose(pair.second.brightness_drift(start), pair.first.brightness_drift(start) + 0.1, atol=1e-5)
    np.testing.assert_allclose(pair.second.brightness_drift(), pair.first.brightness_drift(), atol=1e-5)
    assert pair.psnr == pytest.approx(20, abs=1e-3)


def test_a_tint_shows_in_chroma_and_drift_grows_as_it_does():
    grey = torch.full((5, 8, 8, 3), 0.5)
    tinted = grey.clone()
    tinted[..., 0] += torch.linspace(0, 0.2, 5)[:, None, None]
    curves = curves_of(tinted)
    assert (np.diff(curves.chroma_drift()) > 0.01).all() and curves.chroma_drift()[0] == 0
    np.testing.assert_allclose(curves.brightness_drift(), 0.299 * np.linspace(0, 0.2, 5), atol=1e-5)
    assert not curves_of(grey).chroma_drift().any()


def test_psnr_between_clips_is_that_of_all_their_values():
    first, second = moments(0, 7), moments(1, 8)
    assert pair_of(first, second).psnr == pytest.approx(psnr(first, second), abs=1e-4)


def test_what_cannot_be_measured_is_refused():
    clip = moments(0, 3)
    with pytest.raises(ShapeError, match="got none; add its frames first"):
        ClipMeter().curves()
    with pytest.raises(ShapeError, match=r"\(f, h, w, 3\), at least 2 x 2 pixels, got \(3, 32, 48, 2\)"):
        curves_of(clip[..., :2])
    with pytest.raises(ShapeError, match="got torch.int64; convert them"):
        curves_of(clip.long())
    with pytest.raises(ShapeError, match="both clips must have one shape"):
        pair_of(clip, clip[:2])
    meter = ClipMeter()
    meter.add(clip)
    with pytest.raises(ShapeError, match="got 48 x 32 and then 24 x 16"):
        meter.add(moments(0, 1, (16, 24)))
