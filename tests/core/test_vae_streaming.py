"""wm_core/vae/streaming.py: a causal VAE in parts equals the whole, and its state is a value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cases import assert_close
from test_vae import TEMPORAL, TINY, build, golden_vae

from wm_core.errors import ConfigError, ShapeError
from wm_core.vae import decode_chunk, encode_chunk, streaming

CAUSAL = {"released-like": replace(TINY, decoder_causal=True), "temporal": replace(TEMPORAL, decoder_causal=True)}
CONVOLUTIONS_BEFORE = {0: 0, 8: 6, 15: 12}  # the fixture's cache also holds three flags, which we do not need


@pytest.mark.parametrize("elements", [1, 2**23], ids=["frame by frame", "together"])
def test_golden_chunks_and_tails(golden, monkeypatch, elements):
    monkeypatch.setattr(streaming, "STEP_ELEMENTS", elements)
    case = golden("vae_causal")
    vae, tails = golden_vae(case), None
    for i, z in enumerate(case.inputs["latents"].split(case.meta["chunks"], dim=2)):
        frames, tails = decode_chunk(vae, z, tails)
        case.check(frames, f"chunk{i}")
    assert len(tails) == 13
    for slot, index in CONVOLUTIONS_BEFORE.items():
        case.check(tails[index], f"final_cache.{slot}")


@pytest.mark.parametrize("config", CAUSAL.values(), ids=CAUSAL)
@pytest.mark.parametrize("chunks", [(1, 1, 1, 1, 1), (4, 1), (2, 3)])
def test_chunks_decode_to_the_whole(config, chunks, generator):
    vae = build(config)
    z = torch.randn(2, 4, 5, 2, 3, generator=generator)
    frames, tails = [], None
    for part in z.split(chunks, dim=2):
        piece, tails = decode_chunk(vae, part, tails)
        frames.append(piece)
    assert_close(torch.cat(frames, dim=2), vae.decode(z), atol=1e-5)


@pytest.mark.parametrize("config", CAUSAL.values(), ids=CAUSAL)
@pytest.mark.parametrize("chunks", [(1, 8, 8, 8), (9, 16)])
def test_chunks_encode_to_the_whole(config, chunks, generator):
    vae = build(config)
    x = torch.randn(1, 3, 25, 2 * config.stride.h, config.stride.w, generator=generator)
    latents, tails = [], None
    for part in x.split(chunks, dim=2):
        piece, tails = encode_chunk(vae, part, tails)
        latents.append(piece)
    assert_close(torch.cat(latents, dim=2), vae.encode(x), atol=1e-5)


def test_tails_are_left_as_they_were_given(generator):
    vae = build(CAUSAL["released-like"])
    first, second = torch.randn(2, 1, 4, 2, 2, 2, generator=generator)
    _, tails = decode_chunk(vae, first)
    copies = [tail.clone() for tail in tails]
    once, _ = decode_chunk(vae, second, tails)
    assert all(torch.equal(tail, copy) for tail, copy in zip(tails, copies))
    assert torch.equal(once, decode_chunk(vae, second, tails)[0])


def test_tails_hold_no_more_than_their_two_frames(generator):
    _, tails = decode_chunk(build(CAUSAL["released-like"]), torch.randn(1, 4, 3, 2, 2, generator=generator))
    for tail in tails:
        assert tail.shape[2] == 2
        assert tail.untyped_storage().nbytes() == tail.numel() * tail.element_size()


def test_decoder_that_looks_ahead_cannot_stream():
    with pytest.raises(ConfigError, match="looks ahead"):
        decode_chunk(build(TINY), torch.zeros(1, 4, 1, 1, 1))


def test_chunk_of_a_wrong_length_is_refused():
    vae = build(TINY)
    _, tails = encode_chunk(vae, torch.zeros(1, 3, 1, 32, 32))
    with pytest.raises(ShapeError, match="8 \\* k \\+ 0 frames, got 9"):
        encode_chunk(vae, torch.zeros(1, 3, 9, 32, 32), tails)
