"""wm_core/refiner and sampling/refining.py against the recorded refiner: split and interleaved, trimming, a short last block."""

from __future__ import annotations

import pytest
import torch
from refiner_models import golden_connector, golden_recipe, golden_refiner

from wm_core.refiner import Keeps, KVRing, Part, Past, RingSize
from wm_core.sampling.refining import refine, refiner_stage
from wm_core.text import pack_hidden_states

NAMES = ["refiner_split", "refiner_interleaved"]


@pytest.fixture(params=NAMES)
def case(golden, request):
    return golden(request.param)


@pytest.fixture
def context(case):
    return case.outputs["connector_embeds"]


def test_text_is_packed_and_connected(case):
    states, mask = case.inputs["text_hidden_states"], case.inputs["text_attention_mask"].bool()
    packed = pack_hidden_states(states[:, mask[0]])
    case_packed = case.outputs["packed_text"][:, mask[0]]
    assert (packed - case_packed).abs().max() <= 1e-5
    assert not case.outputs["packed_text"][:, ~mask[0]].any(), "padding is zero in the reference"
    with torch.no_grad():
        case.check(golden_connector(case)(packed, length=mask.shape[1]), "connector_embeds")
    assert case.outputs["connector_mask"].all(), "every token of the context counts"


def test_whole_clip(case, context):
    model = golden_refiner(case)
    recipe, fps = golden_recipe(case), case.meta["sampler"]["fps"]
    latents = case.inputs["latents"]
    spans = []
    draws = iter([case.inputs[f"noise.block{i}"] for i in range(len(case.inputs) - 3)])
    refined = latents.clone()
    stage = refiner_stage(model)
    with torch.no_grad():
        prompt = model.prompt_keys(context)
    for span, part in refine(stage, latents, prompt, lambda start, shape: next(draws), fps=fps, recipe=recipe):
        refined[:, :, span.start : span.stop] = part
        spans.append(span)
    assert len(spans[-1]) < recipe.block, "the last block is a short one"
    assert next(draws, None) is None
    case.check(refined, "refined")
    assert torch.equal(refined[:, :, :1], latents[:, :, :1]), "the sink stays as stage 1 left it"


def test_every_forward_of_the_first_two_blocks(case, context):
    """Tokens, angles, velocities and the keys and values that are left, call by call and not merged."""
    model, recipe, fps = golden_refiner(case), golden_recipe(case), case.meta["sampler"]["fps"]
    latents = case.inputs["latents"]
    h, w = latents.shape[3:]
    ring = KVRing(model.config, RingSize(h * w, 1, recipe.history), dtype=torch.float32, device="cpu")
    with torch.no_grad():
        prompt = model.prompt_keys(context)
        levels = {sigma: model.level(sigma, torch.float32) for sigma in recipe.sigmas}

        def call(name, start, tokens, sigma, past, keeps):
            rotation = model.rotation(start, (tokens.shape[1] // (h * w), h, w), fps)
            x = tokens.transpose(1, 2).unflatten(2, (-1, h, w))
            part = Part(x, start, levels[sigma], rotation, past, Keeps.NOTHING)
            (velocity,) = model([part], prompt, ring)
            case.check(velocity.flatten(2).transpose(1, 2), f"{name}.velocity")
            if keeps is not Keeps.NOTHING:
                model([Part(x, start, levels[sigma], rotation, past, keeps)], prompt, ring)

        call("sink_capture", 0, case.outputs["sink_capture.tokens_in"], 0.0, None, Keeps.SINK)
        held = range(0)
        for b, start in enumerate((1, 4)):
            past = Past(held, model.rotation(start - len(held) - 1, (1, h, w), fps))
            for i, sigma in enumerate(recipe.sigmas[:-1]):
                call(
                    f"block{b}.step{i}", start, case.outputs[f"block{b}.step{i}.tokens_in"], sigma, past, Keeps.NOTHING
                )
            call(f"block{b}.capture", start, case.outputs[f"block{b}.capture.tokens_in"], 0.0, past, Keeps.HISTORY)
            held = ring.size.held_after(held, range(start, start + 3))


def test_attention_to_everything_without_a_ring(case, context):
    keys = [key for key in case.outputs if key.startswith("plain")]
    assert keys, sorted(case.outputs)
    model, fps = golden_refiner(case), case.meta["sampler"]["fps"]
    latents = case.inputs["latents"]
    with torch.no_grad():
        rotation = model.rotation(0, tuple(latents.shape[2:]), fps)
        part = Part(latents, 0, model.level(0.725, torch.float32), rotation)
        (velocity,) = model([part], model.prompt_keys(context))
    (key,) = [key for key in keys if key.endswith("velocity")]
    case.check(velocity.flatten(2).transpose(1, 2), key)
