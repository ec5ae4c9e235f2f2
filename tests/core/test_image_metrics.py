"""wm_core.metrics: known values."""

import math

import pytest
import torch

from wm_core.errors import ShapeError
from wm_core.metrics import psnr, ssim


def test_psnr_of_a_known_difference():
    picture = torch.zeros(1, 3, 8, 8)
    assert psnr(picture, picture + 0.1) == pytest.approx(20.0, abs=1e-4)
    assert psnr(picture, picture + 0.1, peak=2.0) == pytest.approx(20 + 20 * math.log10(2), abs=1e-4)


def test_ssim_is_one_for_the_same_and_falls_with_noise(generator):
    picture = torch.rand(1, 3, 32, 32, generator=generator)
    noise = torch.randn(picture.shape, generator=generator)
    values = [ssim(picture, picture + level * noise) for level in (0.0, 0.1, 0.5)]
    assert values[0] == pytest.approx(1.0, abs=1e-5) and values[0] > values[1] > values[2]


def test_different_shapes_are_refused():
    with pytest.raises(ShapeError, match="one shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
