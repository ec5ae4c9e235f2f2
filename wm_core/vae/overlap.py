"""A video decoded chunk by chunk, whichever way its decoder looks: latents in as they come, frames out.

A causal decoder carries its tails on (streaming.py) and equals the whole. One that looks ahead decodes each chunk in a
window with `context` latent frames more on either side. Where a window is cut, its convolutions see their own edge
padding instead of the neighbour; that error fades inwards and is gone `temporal_reach` latent frames from the cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..config import VAEConfig
from ..errors import ShapeError
from .model import VideoVAE
from .streaming import decode_chunk

CONTEXT = 3  # the least with which no frame of the tiny world's VAE is off by a grey level (RMS); see decode_in_chunks


def temporal_reach(config: VAEConfig) -> int:
    """How many latent frames before or after its own a pixel frame depends on, if the decoder looks ahead.

    Each temporal convolution reaches one frame to either side, and frame n of an upsampler by p comes from frame
    ceil(n / p). The released decoder reaches 22 latent frames, that of the tiny world's VAE 7.
    """
    first, last = 1 - config.stride.t, 0  # the frames that belong to latent frame 0
    for convolutions, factor in _levels(config):
        first, last = -((convolutions - first) // factor), -((-convolutions - last) // factor)
    return max(-first, last)


def decode_in_chunks(
    vae: VideoVAE, z: Tensor | Iterable[Tensor], *, chunk: int = 4, context: int | None = None
) -> Iterator[Tensor]:
    """Pixels (b, 3, f, H, W) of each next `chunk` of normalised latents z (b, c, t, h, w), 1 + stride * (t - 1) in all.

    z may be parts of any t that arrive over time; of those no more are taken than the next chunk needs. What is held
    beside z does not grow with the length. ShapeError for an unfit part when it arrives.

    `context` (default CONTEXT) is for a decoder that looks ahead; a causal one is exact and does not wait. Each call
    decodes at most chunk + 2 * context latents, and what is left after the last cut comes in one piece. With a context
    of `temporal_reach` or more the result is the whole decode up to rounding. With less, the frames of a chunk's first
    latent are faded linearly from the earlier window to its own, with weights 1 / stride to 1. Fading over all that
    windows share has 5 times the RMS error at the default, as the frames next to a cut are the bad ones.

    Error of the tiny world's VAE (chunks of 4, 193 frames of a held-out scene; in [-1, 1], RMS / largest):
    context 1: 2.0e-2 / 3.0e-1; 2: 1.2e-2 / 2.7e-1; 3: 1.0e-3 / 2.6e-2; 4: 1.4e-4 / 3.0e-3; 6: 1.2e-7 / 9.4e-6; 7: 0.
    A grey level of 8 bits is 7.8e-3. The released decoder, which reaches three times as far, was not measured.
    """
    if chunk < 1:
        raise ShapeError(f"a chunk must have at least 1 latent frame, got {chunk}")
    if context is not None and context < 1:
        raise ShapeError(f"context must be at least 1 latent frame, or frames between chunks are lost, got {context}")
    if isinstance(z, Tensor):
        vae.check_latents(z)
        z = z.split(chunk, dim=2)
    parts = _checked(vae, z)
    if vae.config.decoder_causal:
        return _decode_with_tails(vae, parts, chunk)
    return _decode_in_windows(vae, parts, chunk, CONTEXT if context is None else context)


def _levels(config: VAEConfig) -> Iterator[tuple[int, int]]:
    """From pixels to latents: temporal convolutions at a resolution, and how many of its frames come from one below."""
    convolutions = 1  # conv_out
    for stage in reversed(config.decoder_stages):
        convolutions += 2 * stage.layers
        if stage.factors:
            yield convolutions, stage.factors[0]
            convolutions = 1  # the upsampler's
        if stage.in_channels != stage.out_channels * stage.thinning:
            convolutions += 2  # the residual block in front
    yield convolutions + 2 * config.decoder_layers_per_block[-1] + 1, 1  # the middle block, conv_in


def _checked(vae: VideoVAE, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """The parts, each of which must fit the VAE and differ from the first in length only."""
    first = None
    for i, part in enumerate(parts):
        vae.check_latents(part)
        b, c, t, h, w = part.shape
        first = first or (b, c, h, w)
        if (b, c, h, w) != first:
            raise ShapeError(
                f"part {i} of the latents must be {(*first[:2], t, *first[2:])} like the first, got {(b, c, t, h, w)}; "
                "decode another size as another video"
            )
        yield part
    if first is None:
        raise ShapeError("there are no latents to decode; give at least one part")


@torch.no_grad()
def _decode_with_tails(vae: VideoVAE, parts: Iterator[Tensor], chunk: int) -> Iterator[Tensor]:
    tails = None
    for part in parts:
        for latents in part.split(chunk, dim=2):
            frames, tails = decode_chunk(vae, latents, tails)
            yield frames


@torch.no_grad()
def _decode_in_windows(vae: VideoVAE, parts: Iterator[Tensor], chunk: int, context: int) -> Iterator[Tensor]:
    """What is yielded and kept is copied, as a view would hold the frames of its whole window."""
    stride = vae.config.stride.t
    fades = context < temporal_reach(vae.config)
    rise = torch.arange(1, stride + 1).div(stride).view(-1, 1, 1)
    begin, before = 0, None  # the first frame not yet given, and the earlier window's frames of the seam there
    for start, latents, is_last in _windows(parts, chunk, context):
        frames = vae.decode(latents)[:, :, begin - stride * start :]
        if fades and before is not None:
            seam = frames[:, :, :stride]
            seam.copy_(before.lerp(seam, rise.to(seam)))
        if is_last:
            yield frames.clone()
            return
        count = stride * chunk - (0 if begin else stride - 1)
        yield frames[:, :, :count].clone()
        before = frames[:, :, count : count + stride].clone()
        begin += count


def _windows(parts: Iterator[Tensor], chunk: int, context: int) -> Iterator[tuple[int, Tensor, bool]]:
    """First latent frame, latents, and whether they reach the true end: chunks with what there is of their context.

    One latent frame more is awaited, to know if a window is cut at its end; so the way z is parted changes nothing.
    """
    start, stop = 0, chunk  # of the window that begins with `held`, and of its chunk
    held = next(parts)
    while True:
        while held.shape[2] <= stop + context - start:
            part = next(parts, None)
            if part is None:
                yield start, held, True
                return
            held = torch.cat([held, part], dim=2)
        yield start, held[:, :, : stop + context - start], False
        cut = max(0, stop - context)
        held, start, stop = held[:, :, cut - start :], cut, stop + chunk
