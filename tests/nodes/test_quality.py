"""The Quality node through the host's own sampling: how often the model runs, and that each half is what it is said to be."""

import pytest
import torch
from cases import assert_close
from test_conditioning import call
from test_native import GivenNoise, conditioning, host_model, loop, loop_file, masked_start, native  # noqa: F401
from test_stream import CASES, roll, stream_file  # noqa: F401
from test_stream import conditioning as stream_conditioning


@pytest.fixture(scope="module")
def world(native, loop_file):  # noqa: F811
    return host_model(native, loop_file, "nvlabs")


@pytest.fixture(scope="module")
def prompts(native, loop):  # noqa: F811
    """Positive and negative as Image to Video leaves them: one camera, shared."""
    positive, negative = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")
    negative[0][1][native.CAMERA_KEY] = positive[0][1][native.CAMERA_KEY]
    return positive, negative


@pytest.fixture(scope="module")
def streaming_file(golden, stream_file):  # noqa: F811
    return stream_file(CASES[0])


def node(pack):
    from sana_wm_pack.nodes.quality import SanaWMQuality

    return SanaWMQuality


def choose(pack, *args, **kwargs):
    """(guider, sampler, sigmas, cost) of the node."""
    return call(node(pack), *args, **kwargs)


def counted(model):
    """(a copy of the model, what it computes): for each model call, the branches in it, 0 positive and 1 negative."""
    calls, copy = [], model.clone()

    def count(apply, arguments):
        calls.append(sorted(arguments["cond_or_uncond"]))
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    copy.set_model_unet_function_wrapper(count)
    return copy, calls


def run(case, guider, sampler, sigmas, start=None, noise=None):
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    noise = GivenNoise(case.inputs["latents_init"] if noise is None else noise)
    out = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, masked_start(case) if start is None else start)
    return (out.args[0] if hasattr(out, "args") else out[0])["samples"]


def core_guider(model, positive, negative, cfg):
    from comfy_extras.nodes_custom_sampler import CFGGuider

    out = CFGGuider.execute(model, positive, negative, cfg)
    return out.args[0] if hasattr(out, "args") else out[0]


def branches(calls):
    """How many times (the positive, the negative) branch was computed."""
    return tuple(sum(call.count(branch) for call in calls) for branch in (0, 1))


@pytest.mark.parametrize("quality, positive, negative", [("full", 60, 60), ("balanced", 40, 20)])
def test_the_model_runs_as_often_as_the_cost_says(pack, loop, world, prompts, quality, positive, negative):  # noqa: F811
    model, calls = counted(world)
    guider, sampler, sigmas, cost = choose(pack, model, prompts[0], quality, prompts[1])
    out = run(loop, guider, sampler, sigmas)
    assert out.isfinite().all()
    assert branches(calls) == (positive, negative)
    assert f"{positive + negative} model calls" in cost
    alone = positive - negative
    assert calls[len(calls) - alone :] == [[0]] * alone, "the late steps have one branch"


def test_full_is_core_s_guider_and_the_scheduler_bit_for_bit(pack, loop, world, prompts):  # noqa: F811
    from comfy.samplers import sampler_object
    from sana_wm_pack.nodes.sampling import SanaWMScheduler

    sigmas = SanaWMScheduler.execute(60, 0.0, world).args[0]
    want = run(loop, core_guider(world, *prompts, 5.0), sampler_object("euler"), sigmas)
    assert torch.equal(run(loop, *choose(pack, world, prompts[0], "full", prompts[1])[:3]), want)


def test_balanced_is_guided_for_half_its_steps_and_not_after(pack, loop, world, prompts):  # noqa: F811
    guider, sampler, sigmas, _ = choose(pack, world, prompts[0], "balanced", prompts[1])
    early, late = sigmas[:21], sigmas[20:]
    guided, plain = (core_guider(world, *prompts, cfg) for cfg in (5.0, 1.0))
    half = run(loop, guider, sampler, early)
    assert torch.equal(half, run(loop, guided, sampler, early))
    assert not torch.equal(half, run(loop, plain, sampler, early))
    start = {**masked_start(loop), "samples": half}
    nothing = torch.zeros_like(half)
    rest = run(loop, guider, sampler, late, start, nothing)
    assert torch.equal(rest, run(loop, plain, sampler, late, start, nothing))
    assert not torch.equal(rest, run(loop, guided, sampler, late, start, nothing))
    assert_close(run(loop, guider, sampler, sigmas), rest, 1e-4)


@pytest.mark.parametrize("first, last, negative", [(0, 40, 20), (15, 40, 5), (19, 22, 1), (20, 40, 0)])
def test_a_run_that_starts_late_is_guided_to_the_same_level(
    pack,
    loop,  # noqa: F811
    world,
    prompts,
    first,
    last,
    negative,
):
    model, calls = counted(world)
    guider, sampler, sigmas, _ = choose(pack, model, prompts[0], "balanced", prompts[1])
    run(loop, guider, sampler, sigmas[first : last + 1])
    assert branches(calls) == (last - first, negative)


def test_preview_is_the_streaming_sampler_without_guidance(pack, native, golden, streaming_file):  # noqa: F811
    from sana_wm_pack.wm_core.camera import CameraConditions

    case = golden(CASES[0])
    world = host_model(native, streaming_file, "nvlabs")
    camera = CameraConditions(case.inputs["camera_conditions"], case.inputs["chunk_plucker"])
    model, calls = counted(world)
    *chosen, cost = choose(pack, model, stream_conditioning(native, case, "cond", camera), "preview")
    assert torch.equal(run(case, *chosen), roll(native, case, world))
    chunks = len(calls) // 4
    assert calls == [[0]] * (4 * chunks) and chunks > 1
    assert "4 model calls for each chunk of 24 frames" in cost and "none guided" in cost


def test_a_file_that_asks_for_no_guidance_gets_none(pack, loop, loop_file, native, prompts):  # noqa: F811
    from dataclasses import replace

    from sana_wm_pack.wm_core.checkpoint import open_world

    opened = open_world(loop_file)
    info = replace(opened.info, sampling=replace(opened.info.sampling, cfg=1.0, shift=4.0))
    model, calls = counted(native.world_model(replace(opened, info=info)))
    guider, sampler, sigmas, cost = choose(pack, model, prompts[0], "balanced")
    run(loop, guider, sampler, sigmas)
    assert calls == [[0]] * 40 and "none guided: 40 model calls" in cost
    assert sigmas[-2] < 0.05, "the shift is the file's"


@pytest.mark.parametrize("quality", ["full", "balanced"])
def test_guidance_without_a_negative_is_one_clear_error(pack, world, prompts, quality):
    from sana_wm_pack.wm_core.errors import ConfigError

    said = f"quality {quality} guides .cfg 5. and needs a negative conditioning, got none; connect negative of"
    with pytest.raises(ConfigError, match=said):
        choose(pack, world, prompts[0], quality)


def test_a_preset_of_another_kind_of_model_is_one_clear_error(pack, native, world, prompts, streaming_file):  # noqa: F811
    from sana_wm_pack.wm_core.errors import ConfigError

    said = "quality preview needs a streaming model, got loop, which is bidirectional; choose full or balanced, or load"
    with pytest.raises(ConfigError, match=said):
        choose(pack, world, prompts[0], "preview")
    streaming = host_model(native, streaming_file, "nvlabs")
    for quality in ("full", "balanced"):
        said = f"{quality} needs a bidirectional or chunk-causal model, got .*, which is streaming; choose preview, or load"
        with pytest.raises(ConfigError, match=said):
            choose(pack, streaming, prompts[0], quality, prompts[1])
    with pytest.raises(ConfigError, match="quality must be one of full, balanced, preview, got 'draft'"):
        choose(pack, world, prompts[0], "draft", prompts[1])


def test_chunk_causal_models_take_the_dense_presets(pack, native, loop_file, prompts):  # noqa: F811
    from sana_wm_pack.wm_core.checkpoint import open_world

    model = native.world_model(open_world(loop_file, variant="chunk-causal"))
    assert len(choose(pack, model, prompts[0], "balanced", prompts[1])[2]) == 41


def test_every_price_is_in_the_tooltip_and_says_whose_it_is(pack):
    from sana_wm_pack.wm_core.sampling import QUALITIES, describe_cost

    (combo,) = (widget for widget in node(pack).define_schema().inputs if widget.id == "quality")
    assert combo.options == list(QUALITIES) == ["full", "balanced", "preview"]
    for quality, cfg in zip(QUALITIES.values(), (5.0, 5.0, 1.0)):
        cost = describe_cost(quality, cfg)
        assert cost in combo.tooltip
        assert "Published" in cost and cost.endswith("not measured here.")
        assert cost.count(". ") == 1, "two sentences"
