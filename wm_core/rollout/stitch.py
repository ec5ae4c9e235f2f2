"""Clips that were generated apart, joined in time: colours matched and the overlap blended, both as light.

The first `overlap` frames of the later clip show the same moments as the last of the earlier one. There, per channel,
`before = gain * after + offset` is fitted in linear light; the blend's weights are a raised cosine over time,
`w[k] = (1 - cos(pi * (k + 1) / (overlap + 1))) / 2` for the later clip and `1 - w[k]` for the earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..camera import CameraPath, rigid_inverse
from ..errors import CameraError, ConfigError, ShapeError

Rule = Literal["blend", "cut"]
RULES: tuple[Rule, ...] = ("blend", "cut")
GAIN_LIMITS = (0.5, 2.0)  # one stop either way; beyond that the clips show different things
OFFSET_LIMIT = 0.1  # of full linear light
_RIDGE = 1e-6  # draws the gain of a picture without contrast to 1
_BLOCK = 8  # pixels; means of blocks forgive details that do not lie in exactly the same place


@dataclass(frozen=True)
class ColourMatch:
    """What is done to the later clip's linear light, (r, g, b): gain * light + offset."""

    gain: tuple[float, float, float]
    offset: tuple[float, float, float]
    limited: bool = False  # more than the limits allow was needed, so the colours still differ

    def apply(self, light: Tensor) -> Tensor:
        """light and result: (3, h, w), linear, not clamped."""
        return light * light.new_tensor(self.gain)[:, None, None] + light.new_tensor(self.offset)[:, None, None]

    def faded(self, strength: float) -> ColourMatch:
        """The same match in part: 1 is all of it, 0 changes nothing."""
        gain = tuple(1 + (gain - 1) * strength for gain in self.gain)
        return replace(self, gain=gain, offset=tuple(offset * strength for offset in self.offset))


@dataclass(frozen=True, eq=False)
class Joined:
    """Two clips as one. frames: (f, h, w, 3), of the clips' dtype.

    seam: the blended frames, or slice(n, n) for a hard cut before frame n. label: how they were joined, in words.
    """

    frames: Tensor
    seam: slice
    label: str
    match: ColourMatch | None = None

    @property
    def is_cut(self) -> bool:
        return self.seam.start == self.seam.stop


def join_clips(
    before: Tensor,
    after: Tensor,
    *,
    overlap: int,
    match_colour: bool = True,
    rule: Rule = "blend",
    return_over: int | None = None,
) -> Joined:
    """`before`, then what `after` adds to it: frames of both less `overlap`; none is shown twice, none is lost.

    before, after: (f, h, w, 3), uint8 or floating point in [0, 1] (clamped, not checked).
    overlap: frames that both clips have. 0, or rule "cut", is a hard cut; "cut" keeps the earlier clip's overlap.
    return_over: frames behind the overlap in which `after` goes back to its own colours; None keeps them matched.
    ShapeError if the clips do not fit together, ConfigError for an overlap or rule that cannot be.
    """
    _check_clips(before, after)
    _check_options(before, after, overlap, rule, return_over)
    end = len(before)
    start = end - overlap if rule == "blend" else end
    match = measure_match(before[end - overlap :], after[:overlap]) if match_colour and overlap else None
    joined = torch.cat([before, after[overlap:]])
    for k, weight in enumerate(blend_weights(end - start).tolist()):
        joined[start + k] = _blended(before[start + k], after[k], weight, match)
    if match is not None:
        _recolour(joined[end:], match, return_over)
    return Joined(joined, slice(start, end), _label(end - start, end, match), match)


def blend_weights(overlap: int) -> Tensor:
    """Share of the later clip in each frame of an overlap, (overlap,), rising inside (0, 1). Raised cosine."""
    phase = torch.arange(1, overlap + 1, dtype=torch.float64) * torch.pi / (overlap + 1)
    return (1 - torch.cos(phase)) / 2


def measure_match(before: Tensor, after: Tensor) -> ColourMatch:
    """The gain and offset that bring `after` to `before`, within limits; least squares over frames of one moment.

    before, after: (f, h, w, 3) as join_clips takes them. Pixels that are black or blown out in either do not count.
    """
    moments = [_moments(*pair) for pair in zip(before, after, strict=True)]
    count, x, y, xx, xy = torch.stack(moments).sum(0)
    count = count.clamp(min=1e-9)
    x, y = x / count, y / count
    fitted = (xy / count - x * y + _RIDGE) / (xx / count - x * x + _RIDGE)
    gain = fitted.clamp(*GAIN_LIMITS)
    shift = y - gain * x
    offset = shift.clamp(-OFFSET_LIMIT, OFFSET_LIMIT)
    limited = bool((gain != fitted).any() or (offset != shift).any())
    return ColourMatch(tuple(gain.tolist()), tuple(offset.tolist()), limited)


def join_paths(before: CameraPath, after: CameraPath, overlap: int) -> CameraPath:
    """The cameras of two joined clips: `after` is moved so that its frame overlap - 1 stands on the last of `before`.

    In the overlap the cameras of `before` are kept. Without one, `before` goes on for a frame as it moved last, and
    `after` begins there. Result: frames of both less `overlap`. Intrinsics are not blended.
    """
    if not 0 <= overlap <= min(before.frames, after.frames):
        raise CameraError(
            f"the overlap of paths of {before.frames} and {after.frames} frames must be 0 to "
            f"{min(before.frames, after.frames)}, got {overlap}; give the overlap that the clips were joined with"
        )
    if overlap:
        return before.then(after.slice(overlap - 1, after.frames))
    last, previous = before.c2w[-1].astype(np.float64), before.c2w[max(0, before.frames - 2)]
    following = last @ (rigid_inverse(previous) @ last)
    longer = replace(
        before,
        c2w=np.concatenate([before.c2w, following[None]]),
        intrinsics=np.concatenate([before.intrinsics, after.intrinsics[:1]]),
    )
    return longer.then(after)


def _moments(before: Tensor, after: Tensor) -> Tensor:
    """Sums of 1, x, y, xx, xy over the blocks of a frame, x of `after` and y of `before`: (5, 3) float64."""
    pool = torch.nn.functional.avg_pool2d
    size = max(1, min(_BLOCK, min(before.shape[:2]) // 16))
    counts = (_inside(before) & _inside(after)).float()
    weight = pool(counts, size)
    y, x = (pool(_light(frame) * counts, size) / weight.clamp(min=1e-9) for frame in (before, after))
    # fp64: variances are differences of large sums
    return torch.stack([(weight * value).double().sum((1, 2)) for value in (torch.ones_like(x), x, y, x * x, x * y)])


def _inside(frame: Tensor) -> Tensor:
    """Which values of a frame are neither black nor blown out: (3, h, w) bool."""
    low, high = (0, 255) if frame.dtype == torch.uint8 else (0.5 / 255, 1 - 0.5 / 255)
    return rearrange((frame > low) & (frame < high), "h w c -> c h w")


def _blended(before: Tensor, after: Tensor, weight: float, match: ColourMatch | None) -> Tensor:
    light = _light(after) if match is None else match.apply(_light(after))
    return _from_light(torch.lerp(_light(before), light.clamp(0, 1), weight), before.dtype)


def _recolour(frames: Tensor, match: ColourMatch, return_over: int | None) -> None:
    """Match frames (f, h, w, 3) in place, one at a time, fading out over `return_over` of them."""
    strengths = torch.ones(len(frames)) if return_over is None else 1 - blend_weights(return_over)
    for frame, strength in zip(frames, strengths.tolist(), strict=False):
        frame.copy_(_recoloured(frame, match.faded(strength)))


def _recoloured(frame: Tensor, match: ColourMatch) -> Tensor:
    if frame.dtype != torch.uint8:
        return _from_light(match.apply(_light(frame)), frame.dtype)
    # 256 values can be looked up, which is many times faster than two powers for every pixel
    levels = torch.arange(256, dtype=torch.uint8, device=frame.device)[None, :, None].expand(1, 256, 3)
    table = _from_light(match.apply(_light(levels)), torch.uint8)[0]
    return table.gather(0, frame.reshape(-1, 3).long()).reshape(frame.shape)


def _light(frame: Tensor) -> Tensor:
    """(h, w, 3) as linear light (3, h, w)."""
    from kornia.color import rgb_to_linear_rgb

    # fp32: eight bits of sRGB need sixteen of linear light
    pixels = frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()
    return rgb_to_linear_rgb(rearrange(pixels, "h w c -> c h w"))


def _from_light(light: Tensor, dtype: torch.dtype) -> Tensor:
    """Linear light (3, h, w) as (h, w, 3) pixels, clamped; uint8 is rounded."""
    from kornia.color import linear_rgb_to_rgb

    pixels = rearrange(linear_rgb_to_rgb(light.clamp(0, 1)), "c h w -> h w c").clamp(0, 1)
    return (pixels * 255).round().to(dtype) if dtype == torch.uint8 else pixels.to(dtype)


def _label(overlap: int, end: int, match: ColourMatch | None) -> str:
    words = f"blended over {overlap} frames" if overlap > 1 else "blended over 1 frame"
    words = words if overlap else f"hard cut before frame {end}"
    if match is None:
        return words
    return f"{words}, colours matched" + (" as far as the limits allow" if match.limited else "")


def _check_clips(before: Tensor, after: Tensor) -> None:
    for name, clip in (("before", before), ("after", after)):
        if clip.ndim != 4 or clip.shape[-1] != 3 or not clip.numel():
            raise ShapeError(f"{name} must be (f, h, w, 3), got {tuple(clip.shape)}; give a clip of RGB frames")
        if clip.dtype != torch.uint8 and not clip.is_floating_point():
            raise ShapeError(f"{name} must be uint8 or floating point in [0, 1], got {clip.dtype}; convert it")
    if before.shape[1:] != after.shape[1:]:
        (h, w), (other_h, other_w) = before.shape[1:3], after.shape[1:3]
        raise ShapeError(
            f"both clips must have one picture size, got {w} x {h} and {other_w} x {other_h}; resize or crop one of them"
        )
    if before.dtype != after.dtype:
        raise ShapeError(f"both clips must have one dtype, got {before.dtype} and {after.dtype}; convert one of them")


def _check_options(before: Tensor, after: Tensor, overlap: int, rule: str, return_over: int | None) -> None:
    most = min(len(before), len(after))
    if not 0 <= overlap <= most:
        raise ConfigError(
            f"overlap must be 0 to {most} frames for clips of {len(before)} and {len(after)} frames, got {overlap}; "
            "give the number of frames that both clips show"
        )
    if rule not in RULES:
        raise ConfigError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if return_over is not None and return_over < 0:
        raise ConfigError(f"return_over must be 0 or more frames, or None to keep the match, got {return_over}")
