"""Layers of the LTX-2 video VAE: 3x3x3 convolutions, residual blocks, and resampling by moving pixels into channels.

Two time rules. Causal: an output frame sees itself and the two frames before it; before the first frame stands its copy.
Non-causal: it sees one frame on each side; the first and the last frame are repeated once. Only a causal pass can be cut
in time: then each convolution is handed the last two frames it saw (its tail) and hands out the next ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import VAEStage

BUFFER_ELEMENTS = 2**26  # a convolution pads its input in runs of frames of about this many elements
SLOW_ELEMENTS = 20480  # torch's limit: b * c * t * h of an input that it convolves in three dimensions without oneDNN
NORM_EPS = 1e-8

Tails = tuple[Tensor, ...]


class TailExchange:
    """One causal pass over the convolutions: each takes the tail it left in the previous pass and leaves a new one.

    Lives for one call. What enters and leaves that call is the value `Tails`, in the order of computation.
    """

    def __init__(self, past: Tails | None) -> None:
        self.starts_stream = past is None
        self._past = iter(past or ())
        self._left: list[Tensor] = []

    def take(self) -> Tensor | None:
        return None if self.starts_stream else next(self._past)

    def leave(self, tail: Tensor) -> None:
        self._left.append(tail.clone())

    @property
    def tails(self) -> Tails:
        return tuple(self._left)


@dataclass(frozen=True)
class LayerSpec:
    """What all layers of an encoder or of a decoder have in common."""

    operations: Any  # namespace with Conv3d and LayerNorm
    causal: bool
    padding_mode: str  # a key of MARGINS
    norm_eps: float  # of the LayerNorm in front of a shortcut; the weightless norms use NORM_EPS
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None

    @property
    def placed(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "device": self.device}


def _zero_margin(padded: Tensor) -> None:
    for edge in (padded[..., 0, :], padded[..., -1, :], padded[..., 0], padded[..., -1]):
        edge.zero_()


def _mirror_margin(padded: Tensor) -> None:
    """Reflect about the border pixel; a picture one pixel wide, which has nothing to reflect, repeats it."""
    h, w = padded.shape[-2:]
    padded[..., 0, :], padded[..., -1, :] = padded[..., min(2, h - 2), :], padded[..., max(h - 3, 1), :]
    padded[..., 0], padded[..., -1] = padded[..., min(2, w - 2)], padded[..., max(w - 3, 1)]


MARGINS = {"zeros": _zero_margin, "reflect": _mirror_margin}


class VideoConv(nn.Module):
    """3x3x3 convolution that keeps the size (b, c, t, h, w), with the padding written here.

    Padding in time and space costs one copy instead of three, and the host's Conv3d never sees a padding mode (its
    half-precision work-around for Nvidia cards pads with zeros whatever the mode).
    """

    def __init__(self, in_channels: int, out_channels: int, spec: LayerSpec) -> None:
        super().__init__()
        self.conv = spec.operations.Conv3d(in_channels, out_channels, 3, **spec.placed)
        self._before, self._after = (2, 0) if spec.causal else (1, 1)
        self._padding_mode = spec.padding_mode

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        """Long inputs go through in runs of frames, so that only the result is held beside the input."""
        if torch.is_grad_enabled() and exchange is None:
            return self.conv(self._padded_apart(x))
        frames = x.shape[2]
        past = exchange.take() if exchange else None
        run = max(1, BUFFER_ELEMENTS // x[:, :, 0].numel())
        result = None
        for start in range(0, frames, run):
            stop = min(start + run, frames)
            padded = self._padded(x, start - self._before, stop + self._after, past)
            y = self._convolved(padded)
            if run >= frames:
                result = y
                break
            if result is None:
                result = y.new_empty(*y.shape[:2], frames, *y.shape[3:])
            result[:, :, start:stop] = y
        if exchange:
            exchange.leave(padded[:, :, -self._before :, 1:-1, 1:-1])
        return result

    def _convolved(self, padded: Tensor) -> Tensor:
        """On a CPU torch gives a small input that stands alone in its batch to a kernel up to six times slower.

        So its two halves go through as a batch of two, which share the rows or columns at the cut.
        """
        b, c, t, h, w = padded.shape
        if b > 1 or padded.device.type != "cpu" or c * t * h > SLOW_ELEMENTS or (h % 2 and w % 2):
            return self.conv(padded)
        if h % 2 == 0:
            halves = rearrange(padded.unfold(3, h // 2 + 1, h // 2 - 1), "1 c t n w h -> n c t h w")
            return rearrange(self.conv(halves), "n c t h w -> 1 c t (n h) w")
        halves = rearrange(padded.unfold(4, w // 2 + 1, w // 2 - 1), "1 c t h n w -> n c t h w")
        return rearrange(self.conv(halves), "n c t h w -> 1 c t h (n w)")

    def _padded(self, x: Tensor, start: int, stop: int, past: Tensor | None) -> Tensor:
        """Frames start to stop of the input, which may reach beyond both ends, with a margin of one pixel."""
        b, c, frames, h, w = x.shape
        padded = x.new_empty(b, c, stop - start, h + 2, w + 2)
        inner = padded[..., 1:-1, 1:-1]
        self._enter(x[:, :, max(start, 0) : stop], inner[:, :, max(-start, 0) : frames - start])
        if start < 0:
            inner[:, :, :-start] = inner[:, :, -start : 1 - start] if past is None else past[:, :, start:]
        if stop > frames:
            inner[:, :, frames - start :] = inner[:, :, frames - start - 1 : frames - start]
        MARGINS[self._padding_mode](padded)
        return padded

    def _padded_apart(self, x: Tensor) -> Tensor:
        """All frames padded out of place: what autograd can follow, at the price of the copies that `_padded` saves."""
        x = self._entered(x)
        before, after = (x.narrow(2, i, 1).expand(-1, -1, n, -1, -1) for i, n in ((0, self._before), (-1, self._after)))
        x = torch.cat([before, x, after] if self._after else [before, x], 2)
        if self._padding_mode == "zeros":
            return F.pad(x, (1, 1, 1, 1))
        return F.pad(x, (1, 1, 1, 1, 0, 0), mode=self._padding_mode)

    def _enter(self, x: Tensor, out: Tensor) -> None:
        out.copy_(x)

    def _entered(self, x: Tensor) -> Tensor:
        return x


class NormedConv(VideoConv):
    """Pixel norm, SiLU, convolution: each pixel's channels are first divided by their RMS (no weights)."""

    def _enter(self, x: Tensor, out: Tensor) -> None:
        squares = torch.mul(x, x, out=out)  # the buffer serves as scratch; vector_norm is six times slower on a CPU
        # fp32: a half-precision sum over a thousand channels loses the small ones
        scale = squares.mean(1, keepdim=True, dtype=torch.float32).add_(NORM_EPS).rsqrt_()
        F.silu(torch.mul(x, scale, out=out), inplace=True)

    def _entered(self, x: Tensor) -> Tensor:
        scale = x.square().mean(1, keepdim=True, dtype=torch.float32).add(NORM_EPS).rsqrt()
        return F.silu(x * scale.to(x.dtype))


class ResidualBlock(nn.Module):
    """Two normed convolutions beside a shortcut, which is projected where the channel count changes."""

    def __init__(self, in_channels: int, out_channels: int, spec: LayerSpec) -> None:
        super().__init__()
        self.conv1 = NormedConv(in_channels, out_channels, spec)
        self.conv2 = NormedConv(out_channels, out_channels, spec)
        self.norm3 = self.conv_shortcut = None
        if in_channels != out_channels:
            self.norm3 = spec.operations.LayerNorm(in_channels, eps=spec.norm_eps, **spec.placed)
            self.conv_shortcut = spec.operations.Conv3d(in_channels, out_channels, 1, **spec.placed)

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        y = self.conv2(self.conv1(x, exchange), exchange)
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(self.norm3(x.movedim(1, -1)).movedim(-1, 1))
        return y.add_(x)


class Downsampler(nn.Module):
    """Fold pixels into channels after a convolution, plus the folded input averaged to as many channels.

    The first frame is doubled where time is halved, so 2k + 1 frames become k + 1.
    """

    def __init__(self, in_channels: int, out_channels: int, factors: tuple[int, int, int], spec: LayerSpec) -> None:
        super().__init__()
        cells = factors[0] * factors[1] * factors[2]
        self.conv = VideoConv(in_channels, out_channels // cells, spec)
        self._factors = dict(zip("pqr", factors))

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        if exchange is None or exchange.starts_stream:
            x = torch.cat([x[:, :, : self._factors["p"] - 1], x], dim=2)
        y = self._fold(self.conv(x, exchange))
        return y.add_(self._fold(x).unflatten(1, (y.shape[1], -1)).mean(2))

    def _fold(self, x: Tensor) -> Tensor:
        return rearrange(x, "b c (t p) (h q) (w r) -> b (c p q r) t h w", **self._factors)


class Upsampler(nn.Module):
    """Unfold channels into pixels after a convolution, to which the input is added as often as its channels fit.

    The first frame of the result is dropped where time is doubled, so k + 1 frames become 2k + 1.
    """

    def __init__(self, channels: int, stage: VAEStage, spec: LayerSpec) -> None:
        super().__init__()
        p, q, r = stage.factors
        self.conv = VideoConv(channels, channels * p * q * r // stage.thinning, spec)
        self._residual = stage.residual
        self._factors = {"p": p, "q": q, "r": r}

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        y = self.conv(x, exchange)
        if self._residual:
            # Input and convolution have the same order of folded channels, so they are added before unfolding.
            y.unflatten(1, (-1, x.shape[1])).add_(x.unsqueeze(1))
        y = rearrange(y, "b (c p q r) t h w -> b c (t p) (h q) (w r)", **self._factors)
        return y[:, :, self._factors["p"] - 1 :] if exchange is None or exchange.starts_stream else y


class Block(nn.Module):
    """What one stage of the encoder or decoder does, in the order of its children."""

    def forward(self, x: Tensor, exchange: TailExchange | None = None) -> Tensor:
        for part in self.children():
            for layer in part if isinstance(part, nn.ModuleList) else (part,):
                x = layer(x, exchange)
        return x


class MidBlock(Block):
    """Residual blocks at the lowest resolution."""

    def __init__(self, channels: int, layers: int, spec: LayerSpec) -> None:
        super().__init__()
        self.resnets = _residual_blocks(channels, layers, spec)


class DownBlock(Block):
    """Residual blocks, then a downsampler."""

    def __init__(self, stage: VAEStage, spec: LayerSpec) -> None:
        super().__init__()
        self.resnets = _residual_blocks(stage.in_channels, stage.layers, spec)
        if stage.factors:
            down = Downsampler(stage.in_channels, stage.out_channels, stage.factors, spec)
            self.downsamplers = nn.ModuleList([down])


class UpBlock(Block):
    """A residual block if the width changes, an upsampler, then residual blocks."""

    def __init__(self, stage: VAEStage, spec: LayerSpec) -> None:
        super().__init__()
        width = stage.out_channels * stage.thinning
        if stage.in_channels != width:
            self.conv_in = ResidualBlock(stage.in_channels, width, spec)
        if stage.factors:
            self.upsamplers = nn.ModuleList([Upsampler(width, stage, spec)])
        self.resnets = _residual_blocks(stage.out_channels, stage.layers, spec)


def _residual_blocks(channels: int, layers: int, spec: LayerSpec) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(channels, channels, spec) for _ in range(layers))
