"""wm_core/vae/overlap.py: chunks equal the whole where the decoder's reach allows, and come near it where not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cases import ROOT, assert_close
from test_vae import TEMPORAL, TINY, WIDENED, build

from tools.tiny_world.camera_scores import acted
from wm_core.checkpoint import load_video_vae
from wm_core.config import RELEASED_VAE
from wm_core.errors import ShapeError
from wm_core.tiny_world import HELD_OUT, make_scene, render
from wm_core.vae import decode_in_chunks, temporal_reach
from wm_core.vae.overlap import CONTEXT

SHALLOW = replace(TINY, decoder_layers_per_block=(0, 0, 0, 0))
CONFIGS = {"shallow": SHALLOW, "released-like": TINY, "temporal": TEMPORAL, "widened": WIDENED}
CAUSAL = replace(TINY, decoder_causal=True)
TINY_WORLD_VAE = ROOT / "assets" / "models" / "vae" / "sana_wm_tiny_world_vae.safetensors"


def test_reach_of_the_known_decoders():
    assert temporal_reach(RELEASED_VAE) == 22
    assert temporal_reach(load_video_vae(TINY_WORLD_VAE).config) == 7


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_frame_depends_on_latents_as_far_as_the_reach_and_no_further(config, generator):
    vae, reach = build(config).double(), temporal_reach(config)
    z = torch.randn(1, 4, 2 * reach + 5, 1, 1, generator=generator, dtype=torch.float64)
    at, stride = reach + 2, config.stride.t
    other = z.clone()
    other[:, :, at] += 1
    changed = (vae.decode(other) != vae.decode(z)).amax((0, 1, 3, 4)).nonzero()
    latents = -(-changed // stride)  # whose frames they are
    assert max(at - latents.min(), latents.max() - at) == reach


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_context_of_the_reach_gives_the_whole(config, chunk, generator):
    vae, reach = build(config), temporal_reach(config)
    for t in (1, 2, reach + chunk, reach + chunk + 1, 2 * reach + 3 * chunk + 1):
        z = torch.randn(1, 4, t, 1, 2, generator=generator)
        assert_close(join(vae, z, chunk=chunk, context=reach), vae.decode(z), atol=1e-5)


def test_one_frame_less_than_the_reach_is_not_enough(generator):
    vae, reach = build(SHALLOW), temporal_reach(SHALLOW)
    z = torch.randn(1, 4, 20, 1, 2, generator=generator)
    assert rms(join(vae, z, context=reach - 1) - vae.decode(z)) > 1e-4


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_error_falls_with_context(config, generator):
    vae = build(config)
    z = torch.randn(1, 4, 21, 2, 2, generator=generator)
    whole = vae.decode(z)
    errors = [rms(join(vae, z, context=context) - whole) for context in range(1, temporal_reach(config) + 1)]
    assert all(more > less for more, less in pairwise(errors) if more > 1e-6), errors


def test_no_frame_of_the_shipped_vae_is_off_by_a_grey_level_with_the_default_context():
    """Nor does the error grow by one from a frame to the next, which is what shows at a seam."""
    vae = load_video_vae(TINY_WORLD_VAE)
    z = vae.encode(walk_and_turn(frames=73, size=(64, 112)))
    whole, errors = vae.decode(z), {}
    for context in (1, CONTEXT - 1, CONTEXT):
        errors[context] = (join(vae, z, context=context) - whole) * 127.5
    worst = {context: frame_rms(error).max().item() for context, error in errors.items()}
    assert worst[1] > worst[CONTEXT - 1] > 1 > worst[CONTEXT], worst
    assert errors[CONTEXT].abs().max() < 4, "a single value of a pixel"
    assert frame_rms(errors[CONTEXT].diff(dim=2)).max() < 1 < frame_rms(errors[CONTEXT - 1].diff(dim=2)).max()
    assert torch.equal(join(vae, z), join(vae, z, context=CONTEXT))


def test_seam_fades_over_the_frames_of_the_chunks_first_latent(generator):
    vae, stride = build(TINY), TINY.stride.t
    z = torch.randn(1, 4, 6, 1, 2, generator=generator)
    first, second = vae.decode(z[:, :, :4]), vae.decode(z)  # the second window has as much context as there is
    got = join(vae, z, chunk=2, context=2)
    begin = stride + 1
    weight = (torch.arange(1, stride + 1) / stride).view(-1, 1, 1)
    seam = first[:, :, begin : begin + stride].lerp(second[:, :, begin : begin + stride], weight)
    assert_close(got[:, :, :begin], first[:, :, :begin], atol=1e-6)
    assert_close(got[:, :, begin : begin + stride], seam, atol=1e-6)
    assert_close(got[:, :, begin + stride :], second[:, :, begin + stride :], atol=1e-6)


def test_each_piece_has_the_frames_of_its_chunk(generator):
    z = torch.randn(2, 4, 14, 1, 2, generator=generator)
    for config, rest in ((TINY, [5]), (CAUSAL, [3, 2])):
        pieces = list(decode_in_chunks(build(config), z, chunk=3, context=2))
        assert [piece.shape[2] for piece in pieces] == [17, 24, 24, *(8 * chunk for chunk in rest)]
        assert all(piece.untyped_storage().nbytes() == 4 * piece.numel() for piece in pieces)


@pytest.mark.parametrize("sizes", [(1,) * 13, (5, 8), (13,), (2, 1, 6, 4)], ids=str)
@pytest.mark.parametrize("config", [TINY, CAUSAL], ids=["looks-ahead", "causal"])
def test_parts_that_arrive_over_time_give_the_same(config, sizes, generator):
    vae = build(config)
    z = torch.randn(1, 4, 13, 1, 2, generator=generator)
    got = join(vae, iter(z.split(sizes, dim=2)), chunk=2, context=1)
    assert_close(got, join(vae, z, chunk=2, context=1), atol=1e-5 if config.decoder_causal else 0)


@pytest.mark.parametrize("config, ahead", [(TINY, 2 + 1), (CAUSAL, 0)], ids=["looks-ahead", "causal"])
def test_no_more_latents_are_taken_than_a_chunk_needs(config, ahead, generator):
    taken = 0

    def arriving():
        nonlocal taken
        for part in torch.randn(1, 4, 15, 1, 1, generator=generator).split(1, dim=2):
            taken += 1
            yield part

    given = 0
    for frames in decode_in_chunks(build(config), arriving(), chunk=1 if config is CAUSAL else 4, context=2):
        given += frames.shape[2]
        assert taken <= min(15, (given - 1) // config.stride.t + 1 + ahead)
    assert taken == 15


def test_latents_in_one_decoder_call_do_not_grow_with_the_length():
    vae, calls = build(SHALLOW), []
    vae.decoder.register_forward_hook(lambda module, inputs, frames: calls.append(inputs[0].shape[2]))
    longest = {}
    for t in (12, 24, 96):
        calls.clear()
        assert sum(frames.shape[2] for frames in decode_in_chunks(vae, torch.zeros(1, 4, t, 1, 1))) == 8 * t - 7
        longest[t] = max(calls)
    assert set(longest.values()) == {4 + 2 * CONTEXT}, longest


@pytest.mark.parametrize("context", [None, 1])
def test_causal_decoder_gives_the_whole_whatever_the_context(context, generator):
    vae = build(CAUSAL)
    z = torch.randn(1, 4, 11, 2, 2, generator=generator)
    assert_close(join(vae, z, context=context), vae.decode(z), atol=1e-5)


@pytest.mark.parametrize("config", [TINY, CAUSAL], ids=["looks-ahead", "causal"])
def test_what_cannot_be_decoded_is_refused(config):
    vae, z = build(config), torch.zeros(1, 4, 3, 1, 1)
    with pytest.raises(ShapeError, match="at least 1 latent frame, got 0"):
        decode_in_chunks(vae, z, chunk=0)
    with pytest.raises(ShapeError, match="context must be at least 1"):
        decode_in_chunks(vae, z, context=0)
    with pytest.raises(ShapeError, match="latents must be"):
        decode_in_chunks(vae, z[:, :3])
    with pytest.raises(ShapeError, match="no latents"):
        join(vae, [])
    with pytest.raises(ShapeError, match=r"part 1 of the latents must be \(1, 4, 2, 1, 1\) like the first"):
        join(vae, [z, torch.zeros(1, 4, 2, 1, 2)])


def join(vae, z, **options) -> torch.Tensor:
    return torch.cat(list(decode_in_chunks(vae, z, **options)), dim=2)


def rms(x: torch.Tensor) -> float:
    return x.square().mean().sqrt().item()


def frame_rms(x: torch.Tensor) -> torch.Tensor:
    """Of each frame, (f,)."""
    return x.square().mean((0, 1, 3, 4)).sqrt()


def walk_and_turn(frames: int, size: tuple[int, int]) -> torch.Tensor:
    """What a camera sees in a held-out scene of the tiny world, (1, 3, f, h, w) in [-1, 1]."""
    path = acted("w-40,l-40", size)
    pictures = torch.from_numpy(render(make_scene(HELD_OUT), path.c2w[:frames], path.intrinsics[:frames], size))
    return pictures.movedim(-1, 0)[None] / 127.5 - 1
