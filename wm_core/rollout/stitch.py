"""Clips that were generated apart, joined in time: colours matched and the overlap blended, both as light.

The first `overlap` frames of the later clip show the same moments as the last of the earlier one. There the colours of
the later clip are fitted (colour_match.py); the blend's weights are a raised cosine over time,
`w[k] = (1 - cos(pi * (k + 1) / (overlap + 1))) / 2` for the later clip and `1 - w[k]` for the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError, ShapeError
from .colour_match import ColourMatch, blended, measure_match, recoloured

Rule = Literal["blend", "cut"]
RULES: tuple[Rule, ...] = ("blend", "cut")


@dataclass(frozen=True)
class Join:
    """How two clips of `before` and `after` frames become one.

    overlap: frames that both clips have. 0, or rule "cut", is a hard cut; "cut" keeps the earlier clip's overlap.
    return_over: frames behind the overlap in which the later clip goes back to its own colours; None keeps them matched.
    ConfigError for an overlap or rule that cannot be.
    """

    before: int
    after: int
    overlap: int
    rule: Rule = "blend"
    match_colour: bool = True
    return_over: int | None = None

    def __post_init__(self) -> None:
        most = min(self.before, self.after)
        if not 0 <= self.overlap <= most:
            raise ConfigError(
                f"overlap must be 0 to {most} frames for clips of {self.before} and {self.after} frames, got "
                f"{self.overlap}; give the number of frames that both clips show"
            )
        if self.rule not in RULES:
            raise ConfigError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.return_over is not None and self.return_over < 0:
            raise ConfigError(
                f"return_over must be 0 or more frames, or None to keep the match, got {self.return_over}"
            )

    @property
    def frames(self) -> int:
        """Frames of the joined clip: none is shown twice, none is lost."""
        return self.before + self.after - self.overlap

    @property
    def seam(self) -> slice:
        """The blended frames of the joined clip, or slice(n, n) for a hard cut before frame n."""
        return slice(self.before - (self.overlap if self.rule == "blend" else 0), self.before)

    def label(self, match: ColourMatch | None) -> str:
        """How the clips were joined, in words."""
        count = self.seam.stop - self.seam.start
        words = f"blended over {count} frame{'s' if count > 1 else ''}"
        words = words if count else f"hard cut before frame {self.before}"
        if match is None:
            return words
        return f"{words}, colours matched" + (" as far as the limits allow" if match.limited else "")


@dataclass(frozen=True, eq=False)
class Joined:
    """Two clips as one, or the next frames of them. frames: (f, h, w, 3), of the clips' dtype.

    seam, label: of the whole clip, see Join. match: of its colours; of parts, those before the overlap do not know it.
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

    before, after: (f, h, w, 3), uint8 or floating point in [0, 1] (clamped, not checked). The rest: see Join.
    ShapeError if the clips do not fit together.
    """
    _check_clip("before", before)
    _check_clip("after", after)
    _compare(_kind(before), _kind(after))
    join = Join(len(before), len(after), overlap, rule, match_colour, return_over)
    parts = list(join_pieces([before], [after], join))
    return Joined(torch.cat([part.frames for part in parts]), join.seam, parts[-1].label, parts[-1].match)


def join_pieces(before: Iterable[Tensor | NDArray], after: Iterable[Tensor | NDArray], join: Join) -> Iterator[Joined]:
    """The same as join_clips for clips that come in pieces (f, h, w, 3), holding the overlap and one piece at a time.

    How the clips are parted changes nothing. The last part has the join's match and label. ShapeError for a piece that
    does not fit the first, ConfigError for a clip that has not the frames that `join` says.
    """
    earlier = _checked("before", before, join.before, None)
    held, kind = [], None
    start, done = join.before - join.overlap, 0
    for piece in earlier:
        kind = _kind(piece)
        free = min(len(piece), max(0, start - done))
        if free:
            yield Joined(piece[:free], join.seam, join.label(None))
        held += piece[free:].clone()  # not views: they would hold the whole piece
        done += len(piece)
    match, done = None, 0
    opening = []  # the later clip's frames of the overlap
    for piece in _checked("after", after, join.after, kind):
        opening += piece[: max(0, join.overlap - done)].clone()
        rest = piece[max(0, join.overlap - done) :]
        if held and len(opening) == join.overlap:
            match = measure_match(held, opening) if join.match_colour else None
            yield from _overlapping(held, opening, join, match)
            held = opening = []
        if len(rest):
            behind = max(0, done - join.overlap)
            frames = rest if match is None else _recoloured(rest, match, join.return_over, behind)
            yield Joined(frames, join.seam, join.label(match), match)
        done += len(piece)


def in_pieces(parts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """The same frames (f, h, w, 3) in pieces of `count`; the last may be shorter."""
    held: list[Tensor] = []
    for part in parts:
        while len(part):
            taken = part[: count - sum(map(len, held))]
            held.append(taken)
            part = part[len(taken) :]
            if sum(map(len, held)) == count:
                yield held[0] if len(held) == 1 else torch.cat(held)
                held = []
    if held:
        yield torch.cat(held)


def blend_weights(overlap: int) -> Tensor:
    """Share of the later clip in each frame of an overlap, (overlap,), rising inside (0, 1). Raised cosine."""
    phase = torch.arange(1, overlap + 1, dtype=torch.float64) * torch.pi / (overlap + 1)
    return (1 - torch.cos(phase)) / 2


def _overlapping(before: list[Tensor], after: list[Tensor], join: Join, match: ColourMatch | None) -> Iterator[Joined]:
    """The frames of the overlap one by one, from those (h, w, 3) of both clips."""
    weights = blend_weights(join.overlap).tolist() if join.rule == "blend" else []
    for k, frame in enumerate(before):
        frame = blended(frame, after[k], weights[k], match) if weights else frame
        yield Joined(frame[None], join.seam, join.label(match), match)


def _recoloured(frames: Tensor, match: ColourMatch, return_over: int | None, behind: int) -> Tensor:
    """Frames (f, h, w, 3) that begin `behind` frames after the overlap, matched with a strength that may fade out."""
    strengths = torch.ones(len(frames)) if return_over is None else (1 - blend_weights(return_over))[behind:]
    frames = frames.clone()
    for frame, strength in zip(frames, strengths.tolist(), strict=False):
        frame.copy_(recoloured(frame, match.faded(strength)))
    return frames


def _checked(
    name: str, pieces: Iterable[Tensor | NDArray], frames: int, kind: tuple[int, int, torch.dtype] | None
) -> Iterator[Tensor]:
    """The pieces as tensors, all of one kind (the given one, or the first's) and `frames` frames together."""
    done = 0
    for piece in pieces:
        piece = torch.as_tensor(piece)
        _check_clip(name, piece)
        kind = kind or _kind(piece)
        _compare(kind, _kind(piece))
        done += len(piece)
        if done > frames:
            break
        yield piece
    if done != frames:
        count = f"{done}" if done < frames else "more"
        raise ConfigError(f"the clip `{name}` must have {frames} frames as was said, got {count}; count them again")


def _check_clip(name: str, clip: Tensor) -> None:
    if clip.ndim != 4 or clip.shape[-1] != 3 or not clip.numel():
        raise ShapeError(f"{name} must be (f, h, w, 3), got {tuple(clip.shape)}; give a clip of RGB frames")
    if clip.dtype != torch.uint8 and not clip.is_floating_point():
        raise ShapeError(f"{name} must be uint8 or floating point in [0, 1], got {clip.dtype}; convert it")


def _kind(clip: Tensor) -> tuple[int, int, torch.dtype]:
    """What two clips must have in common: (h, w, dtype)."""
    return (*clip.shape[1:3], clip.dtype)


def _compare(before: tuple[int, int, torch.dtype], after: tuple[int, int, torch.dtype]) -> None:
    (h, w, dtype), (other_h, other_w, other_dtype) = before, after
    if (h, w) != (other_h, other_w):
        raise ShapeError(
            f"both clips must have one picture size, got {w} x {h} and {other_w} x {other_h}; resize or crop one of them"
        )
    if dtype != other_dtype:
        raise ShapeError(f"both clips must have one dtype, got {dtype} and {other_dtype}; convert one of them")
