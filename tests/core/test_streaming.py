"""The streaming student and the chunk-causal teacher against the golden rollouts: every call, every state."""

from dataclasses import replace

import pytest
import torch
from cases import assert_close
from einops import rearrange
from tiny import golden_world

from wm_core.config import NVLABS, NVLABS_STREAMING
from wm_core.dit import WorldConditions
from wm_core.errors import ConfigError
from wm_core.kv_window import KVWindow
from wm_core.sampling import chunk_flow_euler, guided, released_schedule, staggered_levels, stream_chunk
from wm_core.shapes import chunk_lengths

CLAMPED = replace(NVLABS_STREAMING, clamp_gdn_camera=True, clamp_softmax_camera=True)
VARIANTS = {  # output -> reference, window, sink
    "final_latents": (NVLABS, 2, True),
    "allcached.final_latents": (NVLABS, -1, True),
    "nosink.final_latents": (NVLABS, 2, False),
    "release.final_latents": (NVLABS_STREAMING, 2, True),
    "clamped.final_latents": (CLAMPED, 2, True),
}
CASES = ("stream_dit_a", "stream_dit_b")


def conditions(case, prompt="cond"):
    i = case.inputs
    mask = i["neg_mask"] if prompt == "neg" else i.get("mask", i.get("cond_mask"))
    return WorldConditions(i[prompt][:, 0], mask.bool(), i["camera_conditions"], i["chunk_plucker"])


def frames_of(cond, a, b):
    return replace(cond, raymap=cond.raymap[:, a:b], plucker=cond.plucker[:, :, a:b])


def branch(world, cond, **options):
    """The model on one prompt, as a velocity."""
    return lambda x, sigma, past: world(x, sigma, cond, past=past, **options)


@torch.no_grad()
def roll(case, reference, window=2, keeps_sink=True, cfg=1.0, on_call=None, on_chunk=None):
    """The whole streamed rollout of a fixture; on_call(chunk, call, x, v) and on_chunk(chunk, state, window) watch it."""
    world, noise = golden_world(case, reference), case.inputs["latents_init"]
    cond, neg = conditions(case), conditions(case, "neg")
    state, parts, start = world.begin(window=window, keeps_sink=keeps_sink), [], 0
    state = state if cfg == 1.0 else (state, state)
    for index, length in enumerate(chunk_lengths(noise.shape[2])):
        branches = [branch(world, frames_of(c, start, start + length)) for c in (cond, neg)]
        calls = []

        def velocity(x, sigma, past, branches=branches, calls=calls, index=index):
            v, after = guided(*branches, cfg)(x, sigma, past)
            if on_call:
                on_call(index, len(calls), x, v)
            calls.append(sigma)
            return v, after

        given = torch.arange(length)[None] == 0 if start == 0 else None
        part, state = stream_chunk(velocity, noise[:, :, start : start + length], state, given=given)
        assert len(calls) == 5, "four steps and the clean pass"
        assert not calls[-1].any(), "the clean pass is at level 0"
        if on_chunk:
            on_chunk(index, state)
        parts.append(part)
        start += length
    return torch.cat(parts, 2)


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_streamed_rollout_matches_golden(golden, name, key):
    case = golden(name)
    case.check(roll(case, *VARIANTS[key]), key)


def test_variants_differ(golden):
    """On three chunks (stream_dit_b) every window sees all of the past, so only the clamp shows there."""
    compared = [("stream_dit_a", key) for key in ("allcached", "nosink", "release", "clamped")]
    for name, key in [*compared, ("stream_dit_b", "clamped")]:
        outputs = golden(name).outputs
        assert (outputs[f"{key}.final_latents"] - outputs["final_latents"]).abs().max() > 1e-3, key


@pytest.mark.parametrize("name", CASES)
def test_rounded_softmax_matches_golden(golden, name):
    case = golden(name)
    got = roll(case, replace(NVLABS, softmax_bf16=True))
    case.check(got, "bf16sdpa.final_latents", atol=case.meta["tolerance"]["bf16sdpa_atol"])


@pytest.mark.parametrize("name", CASES)
def test_guidance_carries_a_state_for_each_branch(golden, name):
    case = golden(name)
    case.check(roll(case, NVLABS, cfg=2.5), "cfg2p5.final_latents")


@pytest.mark.parametrize("name", CASES)
def test_every_call_and_every_state_match_golden(golden, name):
    case = golden(name)
    seen = []

    def on_call(chunk, call, x, v):
        label = f"chunk{chunk}.step{call}" if call < 4 else f"chunk{chunk}.cachepass"
        if f"{label}.x" in case.outputs:
            case.check(x, f"{label}.x")
            case.check(v, f"{label}.pred")
            seen.append(label)

    def on_chunk(chunk, state):
        for index, block in enumerate(state.blocks):
            for slot, got in _slots(block).items():
                key = f"chunk{chunk}.cache.block{index}.slot{slot}"
                if key in case.outputs:
                    case.check(got, key)
                    seen.append(key)

    roll(case, NVLABS, on_call=on_call, on_chunk=on_chunk)
    recorded = [k for k in case.outputs if k.startswith("chunk") and (k.endswith(".x") or ".cache." in k)]
    assert len(seen) == len(recorded), f"{len(recorded) - len(seen)} recorded values were not compared"


def _slots(block):
    """Our state in the fixture's numbering and layouts; of a window only the newest chunk."""
    rows = "b t n c -> (b n) t c"
    slots = {9: rearrange(block.ffn_tail, "b t n c -> b c t n")}
    if isinstance(block.mixer, KVWindow):
        return slots | dict(enumerate(block.mixer.chunks[-1]))
    m = block.mixer
    return slots | {
        0: m.kv,
        1: m.z.mT,
        2: m.camera.mT,
        3: rearrange(m.camera_k_tail, rows),
        4: rearrange(m.k_tail, rows),
    }


@torch.no_grad()
@pytest.mark.parametrize(
    "key, reference",
    [("fwd.sample", NVLABS), ("fwd.sample_padded_scale", NVLABS_STREAMING), ("fwd.sample_clamped", CLAMPED)],
)
def test_teacher_forward_matches_golden(golden, key, reference):
    case = golden("chunk_teacher")
    i = case.inputs
    sigma = i["fwd.timestep"][:, 0] / 1000
    got, _ = golden_world(case, reference)(i["latents_init"], sigma, conditions(case), chunks=(4, 3, 3))
    case.check(got, key)


@torch.no_grad()
def test_staggered_sampler_matches_golden(golden):
    case = golden("chunk_teacher")
    settings, world = case.meta["sampler"], golden_world(case, NVLABS)
    seen = []

    def velocity(x, sigma, chunks):
        branches = [
            branch(world, frames_of(conditions(case, prompt), 0, x.shape[2]), chunks=chunks)
            for prompt in ("cond", "neg")
        ]
        return guided(*branches, settings["cfg_scale"])(x, sigma, None)[0]

    def watched(x, sigma, chunks):
        label = f"call{len(seen)}.latents_in"
        if label in case.outputs:
            case.check(x, label)
        wanted = torch.tensor(case.meta["model_calls"][len(seen)]["frame_timesteps"]) / 1000
        assert_close(sigma[0], wanted, 1e-6)
        seen.append(label)
        return velocity(x, sigma, chunks)

    given = torch.arange(10)[None] == 0
    sigmas = released_schedule(settings["steps"], settings["shift"])
    final = chunk_flow_euler(watched, case.inputs["latents_init"], sigmas, (4, 3, 3), given=given)
    case.check(final, "final_latents")
    assert len(seen) == len(case.meta["model_calls"])
    assert torch.equal(final[:, :, 0], case.inputs["latents_init"][:, :, 0])


def test_staggering():
    assert list(staggered_levels(1, 3)) == [(0,), (1,), (2,)]
    assert list(staggered_levels(2, 4)) == [(0,), (1,), (2, 0), (3, 1), (4, 2), (4, 3)]
    assert list(staggered_levels(3, 2, 0.0)) == [(0, 0, 0), (1, 1, 1)], "interval 0: all chunks together"
    with pytest.raises(ConfigError, match="interval"):
        list(staggered_levels(2, 4, 1.5))
