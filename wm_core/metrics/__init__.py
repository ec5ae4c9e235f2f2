"""How good a result is, in numbers."""

from .clip_curves import ClipCurves, ClipMeter, PairCurves, PairMeter
from .image import psnr, ssim
from .revisit import Revisit, RevisitLikeness, RevisitMeter, find_revisits

__all__ = [
    "ClipCurves",
    "ClipMeter",
    "PairCurves",
    "PairMeter",
    "Revisit",
    "RevisitLikeness",
    "RevisitMeter",
    "find_revisits",
    "psnr",
    "ssim",
]
