"""Likeness of pictures. kornia does the arithmetic; it is imported on first use, which takes a second."""

from __future__ import annotations

from torch import Tensor

from ..errors import ShapeError

SSIM_WINDOW = 11  # pixels, Gaussian


def psnr(picture: Tensor, truth: Tensor, *, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB over all values of two tensors of one shape; `peak` is their value range."""
    import kornia.metrics

    _check(picture, truth)
    return kornia.metrics.psnr(picture, truth, peak).item()


def ssim(picture: Tensor, truth: Tensor, *, peak: float = 1.0) -> float:
    """Mean structural similarity of (b, c, h, w) pictures, 11-pixel Gaussian window. Wang et al. 2004."""
    import kornia.metrics

    _check(picture, truth)
    return kornia.metrics.ssim(picture, truth, SSIM_WINDOW, peak).mean().item()


def _check(picture: Tensor, truth: Tensor) -> None:
    if picture.shape != truth.shape:
        raise ShapeError(f"both pictures must have one shape, got {tuple(picture.shape)} and {tuple(truth.shape)}")
