"""How pixels become latents: strides, frame counts, chunk lengths. SANA-WM (arXiv 2605.15178) sec. 3.1 and 3.4."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from .errors import ShapeError


@dataclass(frozen=True)
class Stride:
    """How many pixel frames, rows and columns one latent covers."""

    t: int = 8
    h: int = 32
    w: int = 32


RELEASED_STRIDE = Stride(8, 32, 32)


def latent_frames(frames: int, stride: Stride = RELEASED_STRIDE) -> int:
    """Latent frames of a video: the first frame stands alone, each further latent covers `stride.t` frames."""
    if frames < 1:
        raise ShapeError(f"a video has at least 1 frame, got {frames}")
    return (frames - 1) // stride.t + 1


def pixel_frames(latents: int, stride: Stride = RELEASED_STRIDE) -> int:
    """Pixel frames that `latents` latent frames decode to."""
    if latents < 1:
        raise ShapeError(f"a video has at least 1 latent frame, got {latents}")
    return (latents - 1) * stride.t + 1


def snap_frames(frames: int, *, multiple: int = 8, at_most: int | None = None) -> int:
    """Nearest frame count of the form multiple * k + 1, k >= 0; a tie goes up unless that exceeds `at_most`."""
    snapped = max(0, (2 * (frames - 1) + multiple) // (2 * multiple)) * multiple + 1
    if at_most is not None and snapped > at_most:
        snapped -= multiple
    return max(1, snapped)


def latent_size(height: int, width: int, stride: Stride = RELEASED_STRIDE) -> tuple[int, int]:
    """Latent (h, w) of a picture of (height, width) pixels; ShapeError unless both are multiples of the stride."""
    if height < stride.h or width < stride.w or height % stride.h or width % stride.w:
        near = tuple(max(s, round(n / s) * s) for n, s in ((width, stride.w), (height, stride.h)))
        raise ShapeError(
            f"picture size must be a multiple of {stride.w} x {stride.h} (width x height), "
            f"got {width} x {height}; the nearest is {near[0]} x {near[1]}"
        )
    return height // stride.h, width // stride.w


def chunk_lengths(latents: int, base: int = 3) -> tuple[int, ...]:
    """Chunk layout of the released samplers: chunks of `base` latent frames, the first also takes the remainder.

    13 -> (4, 3, 3, 3); 12 -> (3, 3, 3, 3); fewer than 2 * base frames -> one chunk.
    """
    if latents < 1 or base < 1:
        raise ShapeError(f"chunks need at least 1 latent frame and a base of at least 1, got {latents} and {base}")
    count = max(1, latents // base)
    return (latents - base * (count - 1),) + (base,) * (count - 1)


def check_chunks(chunks: tuple[int, ...], latents: int) -> None:
    """ShapeError unless `chunks` are positive lengths that sum to `latents`."""
    if not chunks or any(c < 1 for c in chunks) or sum(chunks) != latents:
        raise ShapeError(f"chunks must be positive and sum to {latents} latent frames, got {chunks}")


def check_keep(chunks: tuple[int, ...], keep: int) -> None:
    """ShapeError unless the state after `keep` latent frames is that between two chunks, or behind the last."""
    ends = list(accumulate(chunks))
    if keep not in ends:
        raise ShapeError(f"the state is kept at the end of a chunk, at one of {ends} latent frames, got {keep}")
