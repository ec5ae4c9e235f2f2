"""A comparison of two clips in words: each number with what it means, and no verdict that it does not bear."""

from __future__ import annotations

import math

from ..metrics import ClipCurves, PairCurves, RevisitLikeness
from .pair_views import PAIR_NAMES, Names

NO_REVISITS = "no revisits in this camera path"
NO_CAMERA = "no camera is connected, so revisits were not looked for"
_LEVELS = 255
_END_S = 1.0  # the stretch that stands for a clip's end


def report_pair(
    curves: PairCurves, fps: float, revisits: RevisitLikeness | None, names: Names = PAIR_NAMES
) -> list[str]:
    """Lines on sharpness, change, drift, the difference between the clips, and revisits; None: there is no camera."""
    return [
        _sharpness_line(curves, names),
        _change_line(curves, names),
        *_drift_lines(curves, fps, names),
        _revisit_line(revisits, names),
        f"PSNR between the two: {psnr_words(curves)}. How far they lie apart, not how good either is.",
    ]


def psnr_words(curves: PairCurves) -> str:
    """Such as "31.4 dB"."""
    return "infinite, they are the same" if math.isinf(curves.psnr) else f"{curves.psnr:.1f} dB"


def _both(names: Names, first: float, second: float, form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(names, (first, second)))


def _sharpness_line(curves: PairCurves, names: Names) -> str:
    first, second = (_LEVELS**2 * float(clip.sharpness.mean()) for clip in (curves.first, curves.second))
    ratio = f", ratio {second / first:.2f}" if first > 0 else ""
    return (
        f"mean sharpness (variance of the Laplacian, levels squared): {_both(names, first, second, '.1f')}{ratio}. Detail raises "
        "it, and so do noise and false edges: alone it does not say which looks better."
    )


def _change_line(curves: PairCurves, names: Names) -> str:
    first, second = (_LEVELS * clip.mean_difference for clip in (curves.first, curves.second))
    return (
        f"mean change to the frame before (levels of 255): {_both(names, first, second, '.2f')}. Movement and detail raise it, and "
        "so does flicker."
    )


def _drift_lines(curves: PairCurves, fps: float, names: Names) -> list[str]:
    tail = slice(-max(1, round(_END_S * fps)), None)
    clips: tuple[ClipCurves, ClipCurves] = (curves.first, curves.second)
    light = _both(names, *(_LEVELS * float(clip.brightness_drift()[tail].mean()) for clip in clips), "+.1f")
    chroma = _both(names, *(_LEVELS * float(clip.chroma_drift()[tail].mean()) for clip in clips), ".1f")
    brightness, between = _LEVELS * curves.brightness_apart.mean(), _LEVELS * curves.chroma_apart.mean()
    drift = (
        f"colour drift, the last second against the clip's own first frame (levels of 255): brightness {light}; chroma "
        f"{chroma}. What the camera turns to changes it too, as much in both clips."
    )
    apart = (
        f"{names[1]} against {names[0]}, mean over all frames (levels of 255): brightness {brightness:+.1f}, "
        f"chroma {between:.1f}."
    )
    return [drift, apart]


def _revisit_line(revisits: RevisitLikeness | None, names: Names) -> str:
    if revisits is None or not revisits.pairs:
        return f"revisit SSIM: {NO_CAMERA if revisits is None else NO_REVISITS}."
    frames = ", ".join(f"{pair.first} and {pair.later}" for pair in revisits.pairs)
    return (
        f"revisit SSIM, each clip with itself where its camera comes back (frames {frames}), mean: "
        f"{_both(names, *revisits.means, '.3f')}. 1 is the same picture again; blur tends to raise it, fine detail to lower it."
    )
