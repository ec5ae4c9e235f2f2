"""How good a result is, in numbers."""

from .clip_curves import ClipCurves, ClipMeter, PairCurves, PairMeter
from .image import psnr, ssim
from .revisit import RevisitLikeness, RevisitMeter

__all__ = [
    "ClipCurves",
    "ClipMeter",
    "PairCurves",
    "PairMeter",
    "RevisitLikeness",
    "RevisitMeter",
    "psnr",
    "ssim",
]
