"""Videos too large for one pass: cut into overlapping tiles, coded one by one, faded into one preallocated result.

Space: every tile has the same number of latents (the last ones move inwards instead of being cut short), and in an
overlap tiles fade linearly into each other with weights that sum to one. Time: what is causal is cut without overlap
and without error (streaming.py); a decoder that looks ahead is tiled as in space.

The latents a to b - 1 decode to the frames stride * a to stride * (b - 1) of the video, because the first latent of a
tile gives one frame, its last. So tiles of time must share a latent to leave no gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ShapeError
from ..shapes import latent_frames, pixel_frames
from .model import VideoVAE
from .streaming import decode_chunk, encode_chunk

OnTile = Callable[[int, int], None]  # (tiles done, tiles in all); may raise to stop
Run = tuple[int, int]  # start, stop


@dataclass(frozen=True)
class Tile:
    """Latents (t, h, w) per tile, and how many neighbours share at least. The default is the released recipe."""

    size: tuple[int, int, int] = (12, 16, 16)
    overlap: tuple[int, int, int] = (4, 2, 2)

    def __post_init__(self) -> None:
        if not all(least <= shared < size for least, shared, size in zip((1, 0, 0), self.overlap, self.size)):
            raise ShapeError(
                f"the overlap of tiles must be less than their size, and at least 1 in time, got size {self.size} "
                f"and overlap {self.overlap} (t, h, w)"
            )


@torch.no_grad()
def decode_tiled(vae: VideoVAE, z: Tensor, tile: Tile = Tile(), *, on_tile: OnTile | None = None) -> Tensor:
    """Pixels (b, 3, f, H, W) of normalised latents z (b, c, t, h, w); `vae.decode` where one tile covers all.

    Holds the result and what decoding one tile takes (with a causal decoder: a few of its latent frames).
    """
    vae.check_latents(z)
    stride, causal = vae.config.stride, vae.config.decoder_causal
    b, _, t, h, w = z.shape
    pixels = z.new_zeros(b, vae.config.out_channels, pixel_frames(t, stride), h * stride.h, w * stride.w)
    windows = list(itertools.product(_axis(h, tile, 1, 1, stride.h), _axis(w, tile, 2, 1, stride.w)))
    runs = _consecutive(t, tile.size[0]) if causal else cover(t, tile.size[0], tile.overlap[0])
    decode_runs = _decode_consecutive if causal else _decode_overlapping
    done = itertools.count(1)
    for rows, columns in windows:
        weight = torch.outer(rows.weight, columns.weight).to(z)
        for start, piece in decode_runs(vae, z[..., rows.source, columns.source], runs):
            target = pixels[:, :, start : start + piece.shape[2], rows.target, columns.target]
            target.addcmul_(piece, weight)
            if on_tile:
                on_tile(next(done), len(windows) * len(runs))
    return pixels


@torch.no_grad()
def encode_tiled(vae: VideoVAE, x: Tensor, tile: Tile = Tile(), *, on_tile: OnTile | None = None) -> Tensor:
    """Normalised latents (b, c, t, h, w) of pixels x (b, 3, f, H, W); `vae.encode` where one tile covers all.

    The encoder is causal in every known VAE, so time is cut exactly; one that is not gets tiles of the whole length.
    """
    vae.check_pixels(x)
    stride, causal = vae.config.stride, vae.config.encoder_causal
    t, h, w = latent_frames(x.shape[2], stride), x.shape[3] // stride.h, x.shape[4] // stride.w
    latents = x.new_zeros(x.shape[0], vae.config.latent_channels, t, h, w)
    windows = list(itertools.product(_axis(h, tile, 1, stride.h, 1), _axis(w, tile, 2, stride.w, 1)))
    runs = _consecutive(t, tile.size[0] if causal else t)
    done = itertools.count(1)
    for rows, columns in windows:
        weight = torch.outer(rows.weight, columns.weight).to(x)
        part, tails = x[..., rows.source, columns.source], None
        for start, stop in runs:
            frames = part[:, :, pixel_frames(start, stride) if start else 0 : pixel_frames(stop, stride)]
            piece, tails = encode_chunk(vae, frames, tails) if causal else (vae.encode(frames), None)
            latents[:, :, start:stop, rows.target, columns.target].addcmul_(piece, weight)
            if on_tile:
                on_tile(next(done), len(windows) * len(runs))
    return latents


def cover(length: int, size: int, overlap: int) -> list[Run]:
    """Runs of exactly min(size, length) that cover 0 to length, evenly spread, each sharing `overlap` or more."""
    if length <= size:
        return [(0, length)]
    steps = -((size - length) // (size - overlap))
    starts = [i * (length - size) // steps for i in range(steps + 1)]
    return [(start, start + size) for start in starts]


def fades(runs: list[Run]) -> list[Tensor]:
    """Weight of each position of each run: linear where neighbours overlap, and over all runs the sum is one."""
    weights = []
    for i, (start, stop) in enumerate(runs):
        at = torch.arange(start, stop) + 0.5
        rise = (at - start) / max(1, runs[i - 1][1] - start) if i else torch.ones(stop - start)
        fall = (stop - at) / max(1, stop - runs[i + 1][0]) if i + 1 < len(runs) else torch.ones(stop - start)
        weights.append(torch.minimum(rise, fall).clamp(max=1))
    total = torch.zeros(runs[-1][1])
    for (start, stop), weight in zip(runs, weights):
        total[start:stop] += weight
    return [weight / total[start:stop] for (start, stop), weight in zip(runs, weights)]


def decode_tiled_like_diffusers(vae: VideoVAE, z: Tensor, tile: Tile = Tile()) -> Tensor:
    """The tiled decode of diffusers 0.42.1, to compare with its videos; `decode_tiled` is better in each respect.

    Its ways, kept here: edge tiles are cut short and their fade is misplaced when they are shorter than it; a corner
    counts its left neighbour twice; tiles of time take one latent more than `size`, and all but the first drop their
    last frame, which shifts them by one frame against the picture they are faded into.
    """
    vae.check_latents(z)
    stride, (size, overlap) = vae.config.stride, (tile.size[0], tile.overlap[0])
    if z.shape[2] <= size:
        return _decode_space_like_diffusers(vae, z, tile)
    parts: list[Tensor] = []
    last = None
    for start in range(0, z.shape[2], size - overlap):
        piece = _decode_space_like_diffusers(vae, z[:, :, start : start + size + 1], tile)
        if last is not None:
            piece = piece[:, :, :-1]
            _fade_in(piece, last, 2, overlap * stride.t)
        parts.append(piece[:, :, : (size - overlap) * stride.t + (last is None)])
        last = piece
    return torch.cat(parts, dim=2)[:, :, : pixel_frames(z.shape[2], stride)]


@dataclass(frozen=True)
class _Stretch:
    """One tile along one axis: where it is read and written, and its weight there."""

    source: slice
    target: slice
    weight: Tensor


def _axis(length: int, tile: Tile, axis: int, read: int, written: int) -> list[_Stretch]:
    """Tiles along an axis of `length` latents, with `read` and `written` elements per latent on the two sides."""
    runs = cover(length, tile.size[axis], tile.overlap[axis])
    weights = fades([(start * written, stop * written) for start, stop in runs])
    return [
        _Stretch(slice(start * read, stop * read), slice(start * written, stop * written), weight)
        for (start, stop), weight in zip(runs, weights)
    ]


def _consecutive(length: int, size: int) -> list[Run]:
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def _decode_consecutive(vae: VideoVAE, z: Tensor, runs: list[Run]) -> Iterator[tuple[int, Tensor]]:
    """First frame and pixels of each run, with a causal decoder that goes on where it stopped."""
    tails, first = None, 0
    for start, stop in runs:
        piece, tails = decode_chunk(vae, z[:, :, start:stop], tails)
        yield first, piece
        first += piece.shape[2]


def _decode_overlapping(vae: VideoVAE, z: Tensor, runs: list[Run]) -> Iterator[tuple[int, Tensor]]:
    """First frame and weighted pixels of each run, each decoded alone."""
    step = vae.config.stride.t
    weights = fades([(start * step, (stop - 1) * step + 1) for start, stop in runs])
    for (start, stop), weight in zip(runs, weights):
        yield start * step, vae.decode(z[:, :, start:stop]).mul_(weight.to(z).view(-1, 1, 1))


def _decode_space_like_diffusers(vae: VideoVAE, z: Tensor, tile: Tile) -> Tensor:
    (_, high, wide), (_, down, across), stride = tile.size, tile.overlap, vae.config.stride
    if z.shape[3] <= high and z.shape[4] <= wide:
        return vae.decode(z)
    pixels, above = None, {}
    for i in range(0, z.shape[3], high - down):
        left = None
        for j in range(0, z.shape[4], wide - across):
            piece = vae.decode(z[..., i : i + high, j : j + wide])
            if i:
                _fade_in(piece, above[j], 3, down * stride.h)
            if j:
                _fade_in(piece, left, 4, across * stride.w)
            if pixels is None:
                pixels = piece.new_empty(*piece.shape[:3], z.shape[3] * stride.h, z.shape[4] * stride.w)
            kept = piece[..., : (high - down) * stride.h, : (wide - across) * stride.w]
            pixels[..., i * stride.h :, j * stride.w :][..., : kept.shape[3], : kept.shape[4]] = kept
            above[j] = left = piece
    return pixels


def _fade_in(piece: Tensor, before: Tensor, axis: int, length: int) -> None:
    """Replace the start of `piece` by a linear fade from the end of `before`, weight 0 on its first element."""
    length = min(length, piece.shape[axis], before.shape[axis])
    ramp = torch.arange(length).to(piece).div_(max(1, length)).view([-1] + [1] * (piece.ndim - 1 - axis))
    head = piece.narrow(axis, 0, length)
    head.copy_(torch.lerp(before.narrow(axis, before.shape[axis] - length, length), head, ramp))
