"""Clips joined as they come: the same as joined whole, bit for bit, while little more than the overlap is held."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stitch import exposed, levels, moments, numbered

from wm_core.errors import ConfigError, ShapeError
from wm_core.rollout import (
    Join,
    SeamMeter,
    draw_seam,
    in_pieces,
    join_clips,
    join_pieces,
    seam_picture,
    seam_report,
)
from wm_core.rollout.stitch import RULES


def parted(clip, sizes):
    """A clip in pieces of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(clip):
        yield clip[at : at + sizes[turn % len(sizes)]]
        at, turn = at + sizes[turn % len(sizes)], turn + 1


def streamed(before, after, join, sizes=((7,), (5,))):
    parts = list(join_pieces(parted(before, sizes[0]), parted(after, sizes[1]), join))
    return torch.cat([part.frames for part in parts]), parts[-1]


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    overlap=st.integers(0, 12),
    rule=st.sampled_from(RULES),
    match=st.booleans(),
    back=st.sampled_from([None, 0, 1, 5, 40]),
    sizes=st.tuples(SIZES, SIZES),
    convert=st.sampled_from([levels, torch.Tensor.float]),
)
def test_joined_in_pieces_is_joined_whole_bit_for_bit(overlap, rule, match, back, sizes, convert):
    before, after = convert(moments(0, 20, (16, 24))), convert(exposed(moments(8, 25, (16, 24))))
    whole = join_clips(before, after, overlap=overlap, rule=rule, match_colour=match, return_over=back)
    join = Join(20, 17, overlap, rule, match, back)
    frames, last = streamed(before, after, join, sizes)
    assert torch.equal(frames, whole.frames) and len(frames) == join.frames
    assert (last.label, last.match, last.seam, last.is_cut) == (whole.label, whole.match, whole.seam, whole.is_cut)


def test_arrays_are_taken_as_tensors_are():
    before, after = levels(moments(0, 9)), levels(moments(5, 14))
    frames, _ = streamed(before.numpy(), after.numpy(), Join(9, 9, 4))
    assert torch.equal(frames, join_clips(before, after, overlap=4).frames)


@settings(max_examples=30, deadline=None)
@given(SIZES, st.integers(1, 11), st.integers(0, 30))
def test_regrouped_pieces_hold_the_same_frames(sizes, count, frames):
    clip = numbered(0, frames)
    pieces = list(in_pieces(parted(clip, sizes), count))
    assert all(len(piece) == count for piece in pieces[:-1]) and all(0 < len(piece) <= count for piece in pieces)
    assert torch.equal(torch.cat([clip[:0], *pieces]), clip)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("overlap", [0, 1, 9])
def test_a_seam_that_passes_by_is_measured_and_drawn_as_in_the_whole(rule, overlap):
    before, after = levels(moments(0, 90)), levels(exposed(moments(70, 150)))
    whole = join_clips(before, after, overlap=overlap, rule=rule)
    meter = SeamMeter(whole.seam, len(whole.frames))
    for piece in parted(whole.frames, (3, 16, 1)):
        meter.add(piece)
    got, want = meter.report(), seam_report(whole.frames, whole.seam)
    assert got.first == want.first and got.jump == want.jump
    for name in ("difference", "colour", "sharpness", "frames"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    np.testing.assert_array_equal(draw_seam(got, meter.strip), seam_picture(want, whole.frames))
    assert want.frames[0] == whole.seam.start - 24 and len(meter.strip) == 8


class Held:
    """Pieces of two clips, and how many frames of them are alive at once."""

    def __init__(self):
        self.alive, self.most = 0, 0

    def pieces(self, frames, size):
        generator = torch.Generator().manual_seed(0)
        for start in range(0, frames, size):
            count = min(size, frames - start)
            piece = torch.randint(1, 255, (count, 8, 12, 3), dtype=torch.uint8, generator=generator)
            self.alive += count
            self.most = max(self.most, self.alive)
            weakref.finalize(piece.untyped_storage(), self._gone, count)
            yield piece
            del piece

    def _gone(self, count):
        self.alive -= count


@pytest.mark.parametrize("frames", [100, 800])
def test_of_long_clips_no_more_than_two_pieces_are_alive(frames):
    """The overlap is copied, so that the piece it came in can go."""
    held = Held()
    join = Join(frames, frames, 9)
    meter = SeamMeter(join.seam, join.frames)
    total = 0
    for part in join_pieces(held.pieces(frames, 10), held.pieces(frames, 10), join):
        meter.add(part.frames)
        total += len(part.frames)
    del part
    gc.collect()
    assert total == 2 * frames - 9
    assert held.most <= 30, f"{held.most} frames of {2 * frames} were alive at once"
    assert sum(picture.nbytes for picture in meter.strip.values()) <= 8 * 8 * 12 * 3


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        ((12, 9), "`before` must have 12 frames as was said, got 10; count them again"),
        ((8, 9), "`before` must have 8 frames as was said, got more"),
        ((10, 12), "`after` must have 12 frames as was said, got 9"),
        ((10, 7), "`after` must have 7 frames as was said, got more"),
    ],
)
def test_clips_of_another_length_than_said_are_refused(counts, match):
    with pytest.raises(ConfigError, match=match):
        streamed(numbered(0, 10), numbered(0, 9), Join(*counts, 3))


def test_pieces_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="one picture size, got 6 x 4 and 5 x 4"):
        streamed(numbered(0, 10), numbered(0, 9)[:, :, :5], Join(10, 9, 3))
    with pytest.raises(ShapeError, match="one dtype"):
        streamed(numbered(0, 10), numbered(0, 9).float() / 255, Join(10, 9, 3))


def test_an_unfinished_seam_has_no_report():
    meter = SeamMeter(slice(20, 25), 60)
    meter.add(torch.zeros(30, 4, 4, 3))
    with pytest.raises(ConfigError, match="frames 0 to 48, got frames up to 29; add the rest"):
        meter.report()
