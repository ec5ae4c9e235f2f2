"""Colours of one clip brought to another's: a gain and an offset per channel, fitted and applied to linear light.

Over frames that show the same moments, `before = gain * after + offset`, least squares over means of small blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

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


def measure_match(before: Iterable[Tensor], after: Iterable[Tensor]) -> ColourMatch:
    """The gain and offset that bring `after` to `before`, within limits; least squares over frames of one moment.

    before, after: (f, h, w, 3) or frames (h, w, 3), uint8 or floating point in [0, 1]. Pixels that are black or blown
    out in either do not count.
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


def blended(before: Tensor, after: Tensor, weight: float, match: ColourMatch | None) -> Tensor:
    """A frame between two (h, w, 3), mixed as light: `weight` of it from `after`, which is matched first."""
    light = _light(after) if match is None else match.apply(_light(after))
    return _from_light(torch.lerp(_light(before), light.clamp(0, 1), weight), before.dtype)


def recoloured(frame: Tensor, match: ColourMatch) -> Tensor:
    """A frame (h, w, 3) with the match applied to its light; uint8 stays uint8."""
    if frame.dtype != torch.uint8:
        return _from_light(match.apply(_light(frame)), frame.dtype)
    # 256 values can be looked up, which is many times faster than two powers for every pixel
    levels = torch.arange(256, dtype=torch.uint8, device=frame.device)[None, :, None].expand(1, 256, 3)
    table = _from_light(match.apply(_light(levels)), torch.uint8)[0]
    return table.gather(0, frame.reshape(-1, 3).long()).reshape(frame.shape)


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
