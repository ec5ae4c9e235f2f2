"""The streaming sampler inside the host: the golden rollouts, and nothing left behind."""

import pytest
import torch
from cases import assert_close
from safetensors.torch import save_file
from test_native import GivenNoise, host_model, masked_start, native  # noqa: F401  native is a fixture

CASES = ("stream_dit_a", "stream_dit_b")


@pytest.fixture(scope="module")
def stream_file(golden, tmp_path_factory):
    def write(name):
        path = tmp_path_factory.mktemp("models") / f"{name}_streaming.safetensors"
        heads = golden(name).meta["config"]["num_heads"]
        save_file(golden(name).weights, path, {"sana_wm.config": f'{{"num_attention_heads": {heads}}}'})
        return path

    return write


def conditioning(native, case, prompt, camera):  # noqa: F811
    mask = case.inputs["neg_mask" if prompt == "neg" else "mask"]
    return [[case.inputs[prompt][:, 0], {"attention_mask": mask, native.CAMERA_KEY: camera}]]


def roll(native, case, model, cfg=1.0, **options):  # noqa: F811
    from comfy_extras.nodes_custom_sampler import CFGGuider, SamplerCustomAdvanced
    from sana_wm_pack.nodes.stream import SanaWMStreamingSampler
    from sana_wm_pack.wm_core.camera import CameraConditions

    camera = CameraConditions(case.inputs["camera_conditions"], case.inputs["chunk_plucker"])
    prompts = [conditioning(native, case, name, camera) for name in ("cond", "neg")]
    guider = CFGGuider.execute(model, *prompts, cfg)
    guider = guider.args[0] if hasattr(guider, "args") else guider[0]
    sampler, sigmas = SanaWMStreamingSampler.execute(**options).args
    noise = GivenNoise(case.inputs["latents_init"])
    out = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, masked_start(case))
    return (out.args[0] if hasattr(out, "args") else out[0])["samples"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "key, reference, options",
    [
        ("final_latents", "nvlabs", {}),
        ("allcached.final_latents", "nvlabs", {"window": -1}),
        ("nosink.final_latents", "nvlabs", {"sink": False}),
        ("release.final_latents", "nvlabs-streaming", {}),
        ("cfg2p5.final_latents", "nvlabs", {"cfg": 2.5}),
    ],
)
def test_streamed_through_the_host_matches_golden(native, golden, stream_file, name, key, reference, options):  # noqa: F811
    case = golden(name)
    got = roll(native, case, host_model(native, stream_file(name), reference), **options)
    case.check(got, key)
    assert_close(got[:, :, 0], case.inputs["latents_init"][:, :, 0], 1e-6)


def test_two_runs_are_alike_and_leave_no_state(native, golden, stream_file):  # noqa: F811
    case = golden("stream_dit_a")
    model = host_model(native, stream_file("stream_dit_a"), "nvlabs")
    first = roll(native, case, model)
    assert native.STREAM_KEY not in model.model_options.get("transformer_options", {})
    assert torch.equal(first, roll(native, case, model))


@pytest.mark.parametrize("text", ["", "1000", "1000, 0, 500", "1200, 0", "1000, 500", "a, 0"])
def test_impossible_levels_are_refused(native, text):  # noqa: F811
    from sana_wm_pack.nodes.stream import parse_levels
    from sana_wm_pack.wm_core.errors import ConfigError

    with pytest.raises(ConfigError, match="timesteps must"):
        parse_levels(text)


def test_a_conditioning_with_a_range_of_timesteps_is_one_clear_error(native, golden, stream_file):  # noqa: F811
    """It would be missing where a chunk's state is left, and go on from nothing, or from noise."""
    from comfy_extras.nodes_custom_sampler import CFGGuider, SamplerCustomAdvanced
    from sana_wm_pack.nodes.stream import SanaWMStreamingSampler
    from sana_wm_pack.wm_core.camera import CameraConditions
    from sana_wm_pack.wm_core.errors import ConfigError

    from nodes import ConditioningSetTimestepRange

    case = golden("stream_dit_a")
    camera = CameraConditions(case.inputs["camera_conditions"], case.inputs["chunk_plucker"])
    early, late = (
        ConditioningSetTimestepRange().set_range(conditioning(native, case, "cond", camera), *part)[0]
        for part in ((0.0, 0.1), (0.1, 1.0))
    )
    guider = CFGGuider.execute(host_model(native, stream_file("stream_dit_a"), "nvlabs"), early + late, early, 1.0)
    guider = guider.args[0] if hasattr(guider, "args") else guider[0]
    noise = GivenNoise(case.inputs["latents_init"])
    with pytest.raises(ConfigError, match="range of timesteps"):
        SamplerCustomAdvanced.execute(noise, guider, *SanaWMStreamingSampler.execute().args, masked_start(case))
