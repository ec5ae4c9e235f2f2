"""The world model inside the host's own sampling stack, on golden numbers."""

import pytest
import torch
from cases import assert_close
from safetensors.torch import save_file

LOOPS = {
    "diffusers": "final_latents",
    "nvlabs": "final_latents_upstream_head",
    "nvlabs-first": "final_latents_first_release",
    "nvlabs-streaming": "final_latents_noclamp_padded",
}


@pytest.fixture(scope="module")
def loop(golden):
    return golden("dense_loop")


@pytest.fixture(scope="module")
def loop_file(loop, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "loop.safetensors"
    save_file(loop.weights, path, {"sana_wm.config": '{"num_attention_heads": 2}'})
    return path


@pytest.fixture(scope="module")
def native(pack):
    from sana_wm_pack.nodes import native

    return native


def host_model(native, path, reference):
    from sana_wm_pack.wm_core.checkpoint import open_world

    return native.world_model(open_world(path, reference=reference))


def conditioning(native, loop, name):
    from sana_wm_pack.wm_core.camera import CameraConditions

    i = loop.inputs
    extra = {
        "attention_mask": i[f"{name}_mask"],
        native.CAMERA_KEY: CameraConditions(i["camera_conditions"], i["chunk_plucker"]),
    }
    return [[i[name][:, 0], extra]]


def masked_start(loop):
    """A latent as Image to Video leaves it."""
    samples = torch.zeros_like(loop.inputs["latents_init"])
    samples[:, :, :1] = loop.inputs["latents_init"][:, :, :1]
    mask = torch.ones(1, 1, *samples.shape[2:])
    mask[:, :, 0] = 0
    return {"samples": samples, "noise_mask": mask}


class GivenNoise:
    """The fixture's noise; the host's own would be drawn from a seed."""

    seed = 0

    def __init__(self, noise):
        self.noise = noise

    def generate_noise(self, latent):
        return self.noise


def sample(native, loop, model, cfg=None, sigmas=None):
    """SamplerCustomAdvanced with core's euler, CFGGuider and our schedule."""
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import CFGGuider, SamplerCustomAdvanced
    from sana_wm_pack.nodes.sampling import SanaWMScheduler

    settings = loop.meta["sampler"]
    sigmas = SanaWMScheduler.execute(settings["steps"], settings["shift"]).args[0] if sigmas is None else sigmas
    positive, negative = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")
    for a, b in zip(positive, negative):  # as Image to Video leaves them: one camera, shared
        b[1][native.CAMERA_KEY] = a[1][native.CAMERA_KEY]
    guider = CFGGuider.execute(model, positive, negative, cfg or settings["cfg_scale"])
    guider = guider.args[0] if hasattr(guider, "args") else guider[0]
    noise = GivenNoise(loop.inputs["latents_init"])
    out = SamplerCustomAdvanced.execute(noise, guider, sampler_object("euler"), sigmas, masked_start(loop))
    return out.args[0]["samples"] if hasattr(out, "args") else out[0]["samples"]


@pytest.mark.parametrize("reference", LOOPS)
def test_custom_sampler_reproduces_the_golden_loop(native, loop, loop_file, reference):
    got = sample(native, loop, host_model(native, loop_file, reference))
    loop.check(got, LOOPS[reference])
    assert_close(got[:, :, 0], loop.inputs["latents_init"][:, :, 0], 1e-6)


def test_ksampler_keeps_the_first_frame_and_follows_the_model_s_shift(native, loop, loop_file):
    import comfy.samplers

    from nodes import common_ksampler

    model = host_model(native, loop_file, "nvlabs")
    assert model.get_model_object("model_sampling").shift == 9.8
    positive, negative = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")
    latent = masked_start(loop)
    out = common_ksampler(model, 5, 4, 2.0, "euler", "simple", positive, negative, latent)[0]["samples"]
    assert_close(out[:, :, 0], latent["samples"][:, :, 0], 1e-6)
    assert out[:, :, 1:].isfinite().all() and out[:, :, 1:].std() > 0.1
    assert "simple" in comfy.samplers.SCHEDULER_NAMES


def test_two_samplers_in_a_row_equal_one(native, loop, loop_file):
    """The first stops half-way, and must not leave its noise on the frame that is known."""
    from nodes import KSamplerAdvanced

    model, latent = host_model(native, loop_file, "nvlabs"), masked_start(loop)
    prompts = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")

    def run(latent, start, end, add_noise, leave_noise):
        settings = (6, 2.0, "euler", "simple", *prompts, latent, start, end, leave_noise)
        return KSamplerAdvanced().sample(model, add_noise, 5, *settings)[0]

    half = run(latent, 0, 3, "enable", "enable")
    assert_close(half["samples"][:, :, 0], latent["samples"][:, :, 0], 1e-6)
    assert half["samples"][:, :, 1:].std() > 1.0, "this is to be a noisy latent"
    whole = run(latent, 0, 10000, "enable", "disable")
    assert_close(run(half, 3, 10000, "disable", "disable")["samples"], whole["samples"], 1e-4)


def test_a_batch_of_latents_starts_at_one_picture(native, loop, loop_file):
    from nodes import RepeatLatentBatch, common_ksampler

    model = host_model(native, loop_file, "nvlabs")
    (latent,) = RepeatLatentBatch().repeat(masked_start(loop), 2)
    prompts = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")
    out = common_ksampler(model, 5, 3, 2.0, "euler", "simple", *prompts, latent)[0]["samples"]
    assert_close(out[:, :, 0], latent["samples"][:, :, 0], 1e-6)
    assert (out[0, :, 1:] - out[1, :, 1:]).abs().mean() > 0.01, "each has noise of its own"


def test_core_shift_nodes_change_the_schedule_alone(native, loop, loop_file):
    """ModelSamplingSD3, AuraFlow and Flux count timesteps in different units; the model must see the same noise level."""
    from comfy_extras import nodes_model_advanced as nodes

    model = host_model(native, loop_file, "nvlabs")
    sigmas = torch.tensor([1.0, 0.8, 0.4, 0.0])
    plain = sample(native, loop, model, cfg=1.0, sigmas=sigmas)
    shifted = [
        nodes.ModelSamplingSD3().patch(model, 5.0)[0],
        nodes.ModelSamplingAuraFlow().patch_aura(model, 1.73)[0],
        nodes.ModelSamplingFlux().patch(model, 1.15, 0.5, 1280, 704)[0],
    ]
    assert len({float(m.get_model_object("model_sampling").shift) for m in (model, *shifted)}) == 4
    for other in shifted:
        assert_close(sample(native, loop, other, cfg=1.0, sigmas=sigmas), plain, 1e-5)


def test_half_precision_file_computes_in_float32_on_a_cpu(native, loop, tmp_path):
    path = tmp_path / "half.safetensors"
    halves = {k: v.bfloat16() for k, v in loop.weights.items()}
    save_file(halves, path, {"sana_wm.config": '{"num_attention_heads": 2}'})
    model = host_model(native, path, "nvlabs")
    assert model.model.manual_cast_dtype == torch.float32
    stored = {p.dtype for p in model.model.diffusion_model.parameters()}
    assert stored == {torch.bfloat16}, stored
    got = sample(native, loop, model, cfg=1.0)
    rounded = tmp_path / "rounded.safetensors"
    save_file({k: v.float() for k, v in halves.items()}, rounded, {"sana_wm.config": '{"num_attention_heads": 2}'})
    assert_close(got, sample(native, loop, host_model(native, rounded, "nvlabs"), cfg=1.0), 1e-5)


def test_core_lora_changes_the_model_and_comes_off_again(native, loop, loop_file):
    import comfy.sd

    model = host_model(native, loop_file, "nvlabs")
    before = sample(native, loop, model, cfg=1.0)
    g = torch.Generator().manual_seed(0)
    lora = {}
    for name in ("blocks.0.attn.qkv", "blocks.1.mlp.inverted_conv.conv", "blocks.2.cross_attn.proj"):
        weight = model.model.diffusion_model.get_parameter(f"{name}.weight")
        lora[f"diffusion_model.{name}.lora_A.weight"] = torch.randn(4, weight.shape[1], generator=g)
        lora[f"diffusion_model.{name}.lora_B.weight"] = torch.randn(weight.shape[0], 4, generator=g)
    adapted, _ = comfy.sd.load_lora_for_models(model, None, lora, 0.1, 0)
    assert len(adapted.patches) == 3
    changed = sample(native, loop, adapted, cfg=1.0)
    assert (changed - before).abs().max() > 1e-2
    assert_close(sample(native, loop, model, cfg=1.0), before, 1e-6)


def test_lowvram_gives_the_same_numbers(native, loop, loop_file):
    """Layers are the host's, so weights may stay where they are and be cast one by one."""

    model = host_model(native, loop_file, "nvlabs")
    whole = sample(native, loop, model, cfg=1.0)
    castable = [m for m in model.model.modules() if hasattr(m, "comfy_cast_weights")]
    assert len(castable) > 50
    for module in castable:
        module.prev_comfy_cast_weights = module.comfy_cast_weights
        module.comfy_cast_weights = True
    assert_close(sample(native, loop, model, cfg=1.0), whole, 1e-6)


def test_missing_camera_is_one_clear_error(native, loop, loop_file):
    from sana_wm_pack.wm_core.errors import ConfigError

    model = host_model(native, loop_file, "nvlabs")
    plain = [[loop.inputs["cond"][:, 0], {}]]
    from nodes import common_ksampler

    latent = {"samples": torch.zeros_like(loop.inputs["latents_init"])}
    with pytest.raises(ConfigError, match="has not got a camera; connect SANA-WM Image to Video"):
        common_ksampler(model, 5, 2, 1.0, "euler", "simple", plain, plain, latent)


def test_a_latent_of_another_length_or_without_a_picture_is_told(native, loop, loop_file, caplog):
    from sana_wm_pack.wm_core.errors import ShapeError

    from nodes import common_ksampler

    model, start = host_model(native, loop_file, "nvlabs"), masked_start(loop)["samples"]
    prompts = conditioning(native, loop, "cond"), conditioning(native, loop, "neg")
    with pytest.raises(ShapeError, match="take the latent and both conditionings from one SANA-WM Image to Video"):
        common_ksampler(model, 5, 1, 1.0, "euler", "simple", *prompts, {"samples": start[:, :, 1:]})
    common_ksampler(model, 5, 1, 1.0, "euler", "simple", *prompts, {"samples": start})
    assert "no noise mask" in caplog.text


def test_padding_of_a_prompt_costs_nothing(native, loop):
    text = torch.arange(12.0).reshape(1, 6, 2)
    mask = torch.tensor([[1, 1, 0, 0, 1, 0]])
    assert torch.equal(native.counted_tokens(text, mask), text[:, [0, 1, 4]])
    assert native.counted_tokens(text, None) is text


@torch.inference_mode()  # as in the host
def test_the_tiny_world_s_vae_is_a_whole_vae_of_the_host(native):
    from sana_wm_pack.wm_core.checkpoint import open_vae
    from tiny_clips import VAE_FILE

    vae = native.video_vae(*open_vae(VAE_FILE))
    picture = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    latent = vae.encode(picture)
    assert tuple(latent.shape) == (1, 24, 1, 8, 12)
    video = torch.randn(1, 24, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    whole = vae.decode(video)
    assert tuple(whole.shape) == (1, 17, 128, 192, 3) and whole.min() >= 0 and whole.max() <= 1
    tiled = vae.decode_tiled(video, tile_x=12, tile_y=12, overlap=6, tile_t=2, overlap_t=1)
    assert tuple(tiled.shape) == tuple(whole.shape)
    assert (tiled - whole).abs().mean() < 0.02, "tiles of half the picture should blend to nearly the whole"
    assert vae.spacial_compression_encode() == 8 and vae.temporal_compression_decode() == 8
