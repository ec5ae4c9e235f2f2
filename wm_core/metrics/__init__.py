"""How good a result is, in numbers."""

from .image import psnr, ssim

__all__ = ["psnr", "ssim"]
