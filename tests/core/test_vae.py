"""wm_core/vae: blocks and model against golden cases and diffusers' class, config reading, the shipped VAE."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from cases import GOLDEN, assert_close, needs_diffusers
from safetensors import safe_open
from safetensors.torch import load_file

from tools.tiny_world.files import MODELS, VAES
from wm_core.checkpoint import load_video_vae
from wm_core.config import RELEASED_VAE, VAEConfig
from wm_core.errors import ConfigError, ShapeError
from wm_core.vae import VideoVAE, blocks, vae_config_from_dict
from wm_core.vae.blocks import LayerSpec, VideoConv

TINY = VAEConfig(
    latent_channels=4,
    block_out_channels=(8, 8, 16, 32),
    layers_per_block=(1, 1, 1, 1, 1),
    decoder_block_out_channels=(8, 16, 32),
    decoder_layers_per_block=(1, 1, 1, 1),
)
TEMPORAL = VAEConfig(
    latent_channels=4,
    block_out_channels=(8, 8, 16),
    layers_per_block=(1, 0, 2, 1),
    downsample_type=("temporal",) * 3,
    spatio_temporal_scaling=(True,) * 3,
    decoder_block_out_channels=(8, 8, 16),
    decoder_layers_per_block=(1, 1, 2, 2),
    upsample_type=("temporal",) * 3,
    upsample_factor=(1, 1, 2),
    decoder_spatial_padding_mode="zeros",
)
WIDENED = VAEConfig(  # widths change in residual blocks, kinds differ by side, one block keeps the size
    latent_channels=4,
    block_out_channels=(8, 8, 16),
    layers_per_block=(1, 1, 1, 2),
    downsample_type=("spatiotemporal", "spatial", "temporal"),
    spatio_temporal_scaling=(True, False, True),
    decoder_block_out_channels=(4, 8, 16, 16),
    decoder_layers_per_block=(1, 0, 1, 1, 2),
    decoder_spatio_temporal_scaling=(False, True, True, True),
    upsample_type=("temporal", "spatial", "temporal", "spatial"),
    upsample_residual=(True, False, True, True),
    upsample_factor=(1, 1, 1, 2),
    patch_size=2,
    scaling_factor=0.7,
    encoder_spatial_padding_mode="reflect",
)
SHIPPED = [file for path in VAES.values() if (file := MODELS / path).is_file()]
CONFIGS = {
    "released-like": TINY,
    "causal": replace(TINY, decoder_causal=True, patch_size=2, decoder_layers_per_block=(2, 0, 1, 1)),
    "temporal": TEMPORAL,
    "widened": WIDENED,
}


def as_dict(config: VAEConfig) -> dict:
    """What diffusers would have in config.json for this config."""
    ratios = {"spatial_compression_ratio": config.stride.h, "temporal_compression_ratio": config.stride.t}
    kinds = ("LTX2VideoDownBlock3D",) * len(config.block_out_channels)
    blocks_of_decoder = (False,) * len(config.decoder_layers_per_block)
    return asdict(config) | ratios | {"down_block_types": kinds, "decoder_inject_noise": blocks_of_decoder}


def build(config: VAEConfig, seed: int = 0) -> VideoVAE:
    """A VAE with random weights and latent statistics."""
    torch.manual_seed(seed)
    vae = VideoVAE(config)
    vae.latents_mean.normal_()
    vae.latents_std.uniform_(0.5, 2)
    return vae


def golden_vae(case) -> VideoVAE:
    vae = VideoVAE(vae_config_from_dict(case.meta["config"]))
    vae.load_state_dict(case.weights)
    return vae


@pytest.mark.parametrize("name", ["vae_dense", "vae_tiled", "vae_causal"])
def test_golden_image_encodes_to_the_recorded_latent(golden, name):
    case = golden(name)
    case.check(golden_vae(case).encode(case.inputs["image"]), "image_latent")


def test_golden_video_encodes_to_the_recorded_latent(golden):
    case = golden("vae_dense")
    case.check(golden_vae(case).encode(case.inputs["video"]), "video_latent")


@pytest.mark.parametrize("name", ["vae_dense", "vae_tiled"])
def test_golden_latents_decode_to_the_recorded_video(golden, name):
    case = golden(name)
    case.check(golden_vae(case).decode(case.inputs["latents"]), "decoded")


@needs_diffusers
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_diffusers_class_agrees(config, generator):
    from diffusers import AutoencoderKLLTX2Video

    vae, reference = build(config), AutoencoderKLLTX2Video(**as_dict(config)).eval()
    assert shapes(vae) == shapes(reference)
    reference.load_state_dict(vae.state_dict())
    check_agreement(vae, reference, 1e-4, generator)


@needs_diffusers
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_diffusers_class_agrees_on_shipped_weights(file, generator):
    """Built from what the file states; every tensor of the file is used."""
    from diffusers import AutoencoderKLLTX2Video

    with safe_open(file, "pt") as opened:
        reference = AutoencoderKLLTX2Video.from_config(json.loads(opened.metadata()["sana_wm.vae_config"])).eval()
    reference.load_state_dict(load_file(file))
    check_agreement(load_video_vae(file), reference, 2e-4, generator)


def check_agreement(vae, reference, atol, generator):
    config, stride = vae.config, vae.config.stride
    x = torch.randn(2, 3, 2 * stride.t + 1, 2 * stride.h, 3 * stride.w, generator=generator)
    z = torch.randn(2, config.latent_channels, 3, 2, 3, generator=generator)
    mean, std = (s.view(1, -1, 1, 1, 1) for s in (vae.latents_mean, vae.latents_std))
    with torch.no_grad():
        latents = (reference.encode(x).latent_dist.mode() - mean) * config.scaling_factor / std
        frames = reference.decode(z * std / config.scaling_factor + mean).sample
    assert_close(vae.encode(x), latents, atol)
    assert_close(vae.decode(z), frames, atol)


@needs_diffusers
def test_released_names_and_shapes_equal_the_diffusers_class():
    from diffusers import AutoencoderKLLTX2Video

    with torch.device("meta"):
        reference = AutoencoderKLLTX2Video(**as_dict(RELEASED_VAE))
    ours = shapes(VideoVAE(RELEASED_VAE, device="meta"))
    listed = json.loads((GOLDEN / "names" / "vae.json").read_text())
    assert ours == shapes(reference) == {name: tuple(shape) for name, shape in listed.items()}
    assert len(ours) == 184
    assert ours["decoder.conv_out.conv.weight"] == (48, 128, 3, 3, 3)


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_all_weights_are_in_layers_of_the_given_operations():
    class Conv3d(torch.nn.Conv3d):
        pass

    class LayerNorm(torch.nn.LayerNorm):
        pass

    vae = VideoVAE(CONFIGS["widened"], operations=SimpleNamespace(Conv3d=Conv3d, LayerNorm=LayerNorm))
    owners = [module for module in vae.modules() if list(module.parameters(recurse=False))]
    assert {type(module) for module in owners} == {Conv3d, LayerNorm}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_convolving_in_runs_of_frames_equals_all_at_once(config, generator, monkeypatch):
    vae = build(config)
    z = torch.randn(1, config.latent_channels, 3, 2, 2, generator=generator)
    x = torch.randn(1, 3, config.stride.t + 1, config.stride.h, config.stride.w, generator=generator)
    frames, latents = vae.decode(z), vae.encode(x)
    for elements in (1, 4096):
        monkeypatch.setattr(blocks, "BUFFER_ELEMENTS", elements)
        assert_close(vae.decode(z), frames, atol=1e-5)
        assert_close(vae.encode(x), latents, atol=1e-5)


def test_later_frames_do_not_change_earlier_latents(generator):
    vae = build(TINY)
    x = torch.randn(1, 3, 17, 32, 32, generator=generator)
    assert_close(vae.encode(x)[:, :, :2], vae.encode(x[:, :, :9]), atol=1e-5)


def test_single_latent_decodes_to_one_picture():
    vae = build(TINY)
    assert vae.decode(torch.ones(1, 4, 1, 1, 1)).shape == (1, 3, 1, 32, 32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float(dtype, generator):
    vae = build(TINY)
    z = torch.randn(1, 4, 2, 2, 2, generator=generator)
    exact = vae.decode(z)
    half = vae.to(dtype).decode(z.to(dtype))
    assert half.dtype == dtype
    assert (half.float() - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()


@pytest.mark.parametrize(
    "shape, text",
    [
        ((3, 9, 32, 32), "pixels must be"),
        ((1, 4, 9, 32, 32), "pixels must be"),
        ((1, 3, 0, 32, 32), "got 0"),
        ((1, 3, 12, 32, 32), "8 \\* k \\+ 1 frames, got 12; cut it to 9 or lengthen it to 17"),
        ((1, 3, 9, 32, 48), "multiple of 32 x 32"),
    ],
)
def test_pixels_of_a_wrong_shape_are_refused(shape, text):
    with pytest.raises(ShapeError, match=text):
        VideoVAE(TINY, device="meta").encode(torch.empty(shape, device="meta"))


@pytest.mark.parametrize("shape", [(1, 5, 3, 2, 2), (4, 3, 2, 2), (1, 4, 0, 2, 2)])
def test_latents_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ShapeError, match="latents must be"):
        VideoVAE(TINY, device="meta").decode(torch.empty(shape, device="meta"))


@pytest.mark.parametrize("config", [RELEASED_VAE, *CONFIGS.values()], ids=["released", *CONFIGS])
def test_config_survives_its_json(config):
    assert vae_config_from_dict(json.loads(json.dumps(as_dict(config)))) == config


def test_config_derives_null_ratios_and_skips_underscored_fields():
    data = as_dict(RELEASED_VAE) | {"spatial_compression_ratio": None, "_class_name": "x", "_name_or_path": "y"}
    config = vae_config_from_dict(data)
    assert (config.stride.t, config.stride.h, config.stride.w) == (8, 32, 32)


def test_config_takes_the_defaults_and_shorthands_of_the_format():
    assert vae_config_from_dict({}) == replace(RELEASED_VAE, decoder_causal=True)
    assert vae_config_from_dict({"upsample_residual": False}).upsample_residual == (False,) * 3


@pytest.mark.parametrize(
    "change, text",
    [
        ({"timestep_conditioning": True}, "timestep_conditioning must be False, got True"),
        ({"decoder_inject_noise": [False, True, False, False]}, "decoder_inject_noise"),
        ({"patch_size_t": 2}, "patch_size_t must be 1"),
        ({"down_block_types": ["LTXVideo095DownBlock3D"] * 4}, "LTXVideo095DownBlock3D"),
        ({"use_quant_conv": True}, "unknown fields use_quant_conv"),
        ({"downsample_type": ["conv"] * 4}, "downsample_type must be made of"),
        ({"latent_channels": "128"}, "latent_channels must be int, got '128'"),
        ({"upsample_factor": []}, "upsample_factor must be tuple"),
        ({"layers_per_block": [4, 6, 6, 2]}, "layers_per_block must have 5 entries"),
        ({"spatial_compression_ratio": 64}, "spatial_compression_ratio must be 32"),
        ({"temporal_compression_ratio": 16}, "temporal_compression_ratio must be 8"),
        ({"decoder_spatial_padding_mode": "circular"}, "must be zeros or reflect"),
        ({"upsample_type": ["temporal"] * 3}, "they must be equal"),
        ({"block_out_channels": [256, 512, 1024, 1536]}, "encoder block 3"),
        ({"upsample_factor": [2, 2, 1]}, "decoder block 1"),
    ],
)
def test_config_refuses_what_this_vae_does_not_have(change, text):
    with pytest.raises(ConfigError, match=text):
        vae_config_from_dict(as_dict(RELEASED_VAE) | change)


def test_shipped_vae_keeps_a_picture_it_never_saw():
    vae = load_video_vae(MODELS / VAES["decoder"])
    video = boxes_under_a_sky(frames=9, height=128, width=192)
    again = vae.decode(vae.encode(video * 2 - 1)).add(1).div(2).clamp(0, 1)
    psnr = -10 * torch.log10((again - video).square().mean())
    assert psnr > 27.0, f"PSNR {psnr:.2f} dB; 28.12 when this was written"


def boxes_under_a_sky(*, frames: int, height: int, width: int) -> torch.Tensor:
    """(1, 3, f, h, w) in [0, 1]: a fading sky, a fading ground and two boxes that drift to the right."""
    y, x = torch.linspace(0, 1, height).view(-1, 1), torch.linspace(0, 1, width)
    sky, ground, red, blue = (
        torch.tensor(c).view(3, 1, 1) for c in ((0.45, 0.65, 0.95), (0.35, 0.45, 0.3), (0.85, 0.2, 0.15), (0.15, 0.55, 0.85))
    )  # fmt: skip
    pictures = []
    for frame in range(frames):
        picture = torch.where(y < 0.5, sky + (1 - sky) * 1.2 * y, ground * (0.2 + 0.8 * y)).expand(3, height, width)
        for centre, wide, top, bottom, colour in ((0.3, 0.15, 0.35, 0.7, red), (0.7, 0.2, 0.25, 0.65, blue)):
            inside = ((x - centre - 0.004 * frame).abs() < wide / 2) & (y > top) & (y < bottom)
            picture = torch.where(inside, colour, picture)
        pictures.append(picture)
    return torch.stack(pictures, dim=1).unsqueeze(0)


@pytest.mark.parametrize("size", [(4, 6), (5, 8), (8, 5), (5, 7), (2, 3), (1, 2)])
@pytest.mark.parametrize("frames", [3, 5])
def test_a_small_convolution_in_two_halves_equals_the_whole(size, frames):
    """Small inputs go through in halves on a CPU; sizes whose height, width or neither can be halved."""
    torch.manual_seed(0)
    conv = VideoConv(6, 4, LayerSpec(torch.nn, causal=True, padding_mode="zeros", norm_eps=1e-6, dtype=torch.float64))
    padded = torch.randn(1, 6, frames, size[0] + 2, size[1] + 2, dtype=torch.float64)
    with torch.no_grad():
        assert_close(conv._convolved(padded), conv.conv(padded), 1e-12)
