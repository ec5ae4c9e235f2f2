"""wm_core/vae/tiling.py: the reference's tiled videos, and the laws of our own tiling."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cases import assert_close
from test_vae import TEMPORAL, TINY, build, golden_vae

from wm_core.errors import ShapeError
from wm_core.vae import Tile, decode_tiled, decode_tiled_like_diffusers, encode_tiled
from wm_core.vae.tiling import cover, fades

SIZES = [(1, 1, 1), (3, 5, 7), (5, 2, 9)]
SMALL = Tile((2, 2, 3), (1, 1, 1))
VAES = {"looks-ahead": TINY, "causal": replace(TINY, decoder_causal=True), "temporal": TEMPORAL}
WHOLE = 99


@pytest.mark.parametrize(
    "key, tile",
    [
        ("decoded_framewise", Tile((2, WHOLE, WHOLE), (1, 0, 0))),
        ("decoded_spatial_tiled", Tile((WHOLE, 3, 3), (1, 1, 1))),
        ("decoded_framewise_and_spatial", Tile((2, 3, 3), (1, 1, 1))),
    ],
)
def test_golden_tiled_videos_of_diffusers(golden, key, tile):
    case = golden("vae_tiled")
    case.check(decode_tiled_like_diffusers(golden_vae(case), case.inputs["latents"], tile), key)


@pytest.mark.parametrize("size", [(99, 3, 3), (2, 3, 3)])
def test_our_tiles_are_nearer_to_the_whole_than_those_of_diffusers(golden, size):
    case = golden("vae_tiled")
    vae, z, tile = golden_vae(case), case.inputs["latents"], Tile(size, (1, 1, 1))
    whole = case.outputs["decoded"]
    ours, theirs = (rms(decode(vae, z, tile) - whole) for decode in (decode_tiled, decode_tiled_like_diffusers))
    assert ours < theirs, f"RMS error {ours:.4f}, theirs {theirs:.4f}"


@pytest.mark.parametrize("config", VAES.values(), ids=VAES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_tile_over_all_equals_the_whole(config, size, generator):
    vae = build(config)
    z = torch.randn(1, 4, *size, generator=generator)
    assert_close(decode_tiled(vae, z), vae.decode(z), atol=1e-5)
    x = pixels(config, size, generator)
    assert_close(encode_tiled(vae, x), vae.encode(x), atol=1e-5)


@pytest.mark.parametrize("config", VAES.values(), ids=VAES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_small_tiles_work_at_any_size(config, size, generator):
    vae = build(config)
    frames = decode_tiled(vae, torch.randn(1, 4, *size, generator=generator), SMALL)
    assert frames.shape == pixels(config, size, generator).shape and frames.isfinite().all()
    assert encode_tiled(vae, pixels(config, size, generator), SMALL).shape == (1, 4, *size)


@pytest.mark.parametrize("config", VAES.values(), ids=VAES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_constant_decodes_to_a_constant(config, size):
    """A decoder whose last layer gives only its bias: every pixel must have been covered with weights that sum to 1."""
    vae = build(replace(config, patch_size=1))
    with torch.no_grad():
        for last in (vae.decoder.conv_out.conv, vae.encoder.conv_out.conv):
            last.weight.zero_()
            last.bias.fill_(0.75)
    vae.latents_mean.zero_()
    vae.latents_std.fill_(1)
    frames = decode_tiled(vae, torch.randn(1, 4, *size), SMALL)
    assert_close(frames, torch.full_like(frames, 0.75), atol=1e-6)
    latents = encode_tiled(vae, torch.randn_like(frames), SMALL)
    assert_close(latents, torch.full_like(latents, 0.75), atol=1e-6)


def test_causal_vae_is_cut_in_time_without_error(generator):
    vae = build(VAES["causal"])
    z = torch.randn(1, 4, 5, 2, 2, generator=generator)
    tile = Tile((2, WHOLE, WHOLE), (1, 0, 0))
    assert_close(decode_tiled(vae, z, tile), vae.decode(z), atol=1e-5)
    x = pixels(TINY, (5, 1, 1), generator)
    assert_close(encode_tiled(vae, x, tile), vae.encode(x), atol=1e-5)


def test_frames_of_time_tiles_stand_where_they_belong():
    """A decoder that lets a brightness step pass: in tiles the step must come at the same frame."""
    vae = build(replace(TEMPORAL, patch_size=1))
    z = torch.zeros(1, 4, 9, 2, 2)
    z[:, :, 5:] = 3.0
    whole, tiled = (f.mean((0, 1, 3, 4)) for f in (vae.decode(z), decode_tiled(vae, z, Tile((8, 9, 9), (7, 0, 0)))))
    shifted = [rms(tiled[4:-4] - whole.roll(shift)[4:-4]) for shift in (-1, 0, 1)]
    assert shifted[1] == min(shifted), f"RMS difference when shifted by -1, 0, 1 frames: {shifted}"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_error_falls_with_overlap(axis, generator):
    vae = build(TINY)
    z = torch.randn(1, 4, *(13 if i == axis else 2 for i in range(3)), generator=generator)
    whole, errors = vae.decode(z), []
    for overlap in (1, 3, 5):
        size = tuple(7 if i == axis else WHOLE for i in range(3))
        shared = tuple(overlap if i == axis else (1, 0, 0)[i] for i in range(3))
        errors.append(rms(decode_tiled(vae, z, Tile(size, shared)) - whole))
    assert errors[0] > errors[1] > errors[2], errors


def test_progress_counts_every_tile_and_may_stop():
    vae, seen = build(TINY), []
    decode_tiled(vae, torch.zeros(1, 4, 3, 3, 3), SMALL, on_tile=lambda done, total: seen.append((done, total)))
    assert seen == [(i, len(seen)) for i in range(1, len(seen) + 1)] and len(seen) == 4

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        encode_tiled(vae, torch.zeros(1, 3, 9, 64, 64), SMALL, on_tile=stop)


def test_runs_cover_the_length_and_their_weights_sum_to_one():
    for length in range(1, 24):
        for size in range(1, 12):
            for overlap in range(size):
                runs = cover(length, size, overlap)
                assert all(stop - start == min(size, length) for start, stop in runs)
                assert all(a[0] < b[0] <= a[1] - overlap for a, b in pairwise(runs))
                total = torch.zeros(length)
                for (start, stop), weight in zip(runs, fades(runs)):
                    assert weight.min() > 0
                    total[start:stop] += weight
                assert_close(total, torch.ones(length), atol=1e-6)


@pytest.mark.parametrize("size, overlap", [((2, 4, 4), (0, 1, 1)), ((2, 4, 4), (1, 4, 1)), ((1, 4, 4), (1, 1, 1))])
def test_tiles_that_cannot_cover_are_refused(size, overlap):
    with pytest.raises(ShapeError, match="overlap"):
        Tile(size, overlap)


def pixels(config, size: tuple[int, int, int], generator: torch.Generator) -> torch.Tensor:
    (t, h, w), stride = size, config.stride
    return torch.randn(1, 3, (t - 1) * stride.t + 1, h * stride.h, w * stride.w, generator=generator)


def rms(x: torch.Tensor) -> float:
    return x.square().mean().sqrt().item()
