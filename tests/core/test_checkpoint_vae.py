"""wm_core/checkpoint/vae_file: configurations inside original LTX-2 files, and which source counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from tools.make_tiny_checkpoints import TINY_VAE, VAES, original_config_json, tiny_vae, vae_config_json, write_vae
from tools.reproducible import write_safetensors
from wm_core.checkpoint import open_vae
from wm_core.checkpoint.vae_file import original_vae_config
from wm_core.config import RELEASED_VAE
from wm_core.errors import CheckpointError, ConfigError
from wm_core.vae import VideoVAE

# As in the metadata of LTX-2 files; blocks of the 2.0 release as the host has them by default.
LTX_2_0 = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "encoder_blocks": [
        ["res_x", {"num_layers": 4}],
        ["compress_space_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}],
        ["compress_time_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
    ],
    "decoder_blocks": [
        ["res_x", {"num_layers": 5, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 5, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 5, "inject_noise": False}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 5, "inject_noise": False}],
    ],
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "timestep_conditioning": False,
}
LTX_2_3 = LTX_2_0 | {
    "encoder_blocks": [
        ["res_x", {"num_layers": 4}],
        ["compress_space_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}],
        ["compress_time_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 4}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
        ["compress_all_res", {"multiplier": 1}],
        ["res_x", {"num_layers": 2}],
    ],
    "decoder_blocks": [
        ["res_x", {"num_layers": 4}],
        ["compress_space", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}],
        ["compress_time", {"multiplier": 2}],
        ["res_x", {"num_layers": 4}],
        ["compress_all", {"multiplier": 1}],
        ["res_x", {"num_layers": 2}],
        ["compress_all", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
    ],
    "normalize_latent_channels": False,
    "encoder_base_channels": 128,
    "decoder_base_channels": 128,
    "spatial_padding_mode": "zeros",
}
LTX_VIDEO_0_9 = LTX_2_0 | {"encoder_blocks": [["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3]]}


def test_original_config_of_the_release_is_the_released_config():
    assert original_vae_config(LTX_2_0) == RELEASED_VAE


def test_original_config_of_a_deeper_decoder():
    config = original_vae_config(LTX_2_3)
    assert config.block_out_channels == (256, 512, 1024, 1024)
    assert config.decoder_block_out_channels == (256, 512, 512, 1024) and config.upsample_factor == (2, 2, 1, 2)
    assert config.decoder_layers_per_block == (4, 6, 4, 2, 2)
    assert config.upsample_type == ("spatiotemporal", "spatiotemporal", "temporal", "spatial")
    assert config.upsample_residual == (False,) * 4 and config.decoder_spatial_padding_mode == "zeros"
    assert config.stride == RELEASED_VAE.stride
    shapes = {name: tuple(tensor.shape) for name, tensor in VideoVAE(config, device="meta").state_dict().items()}
    # Channels in the order of computation: 1024, 512, 512, 256, 128.
    assert shapes["decoder.up_blocks.0.upsamplers.0.conv.conv.weight"] == (1024 * 8 // 2, 1024, 3, 3, 3)
    assert shapes["decoder.up_blocks.1.upsamplers.0.conv.conv.weight"] == (512 * 8, 512, 3, 3, 3)
    assert shapes["decoder.up_blocks.2.upsamplers.0.conv.conv.weight"] == (512 * 2 // 2, 512, 3, 3, 3)
    assert shapes["decoder.up_blocks.3.upsamplers.0.conv.conv.weight"] == (256 * 4 // 2, 256, 3, 3, 3)
    assert shapes["decoder.conv_out.conv.weight"] == (48, 128, 3, 3, 3)


@pytest.mark.parametrize("name", [name for name, row in VAES.items() if row.names == "original"])
def test_tiny_original_configs_read_back(name):
    assert original_vae_config(original_config_json(VAES[name].config)) == VAES[name].config


def test_padding_of_a_side_counts_more_than_padding_of_both():
    both = {"spatial_padding_mode": "zeros", "decoder_spatial_padding_mode": "reflect"}
    assert original_vae_config(LTX_2_0 | both) == RELEASED_VAE
    assert original_vae_config(LTX_2_0 | {"causal_decoder": True}) == replace(RELEASED_VAE, decoder_causal=True)


def blocks(field: str, index: int, block) -> dict:
    return LTX_2_0 | {field: [block if i == index else b for i, b in enumerate(LTX_2_0[field])]}


BAD = {
    "unknown_block": (
        blocks("encoder_blocks", 1, ["attn_res_x", {}]),
        r"encoder_blocks\[1\] must be compress_space_res or",
    ),
    "strided_convolution": (blocks("encoder_blocks", 3, ["compress_all", {}]), r"encoder_blocks\[3\].*'compress_all'"),
    "widening": (blocks("decoder_blocks", 2, ["res_x_y", {"multiplier": 2}]), r"decoder_blocks\[2\] must be res_x"),
    "noise": (blocks("decoder_blocks", 0, ["res_x", {"num_layers": 5, "inject_noise": True}]), "must not inject noise"),
    "no_layers": (blocks("encoder_blocks", 0, ["res_x", {}]), "whole numbers"),
    "multiplier_text": (blocks("encoder_blocks", 1, ["compress_space_res", {"multiplier": "2"}]), "whole numbers"),
    "not_a_block": (blocks("encoder_blocks", 0, 7), r"encoder_blocks\[0\] must be res_x"),
    "even_list": (LTX_VIDEO_0_9, "encoder_blocks must list res_x blocks"),
    "no_list": ({k: v for k, v in LTX_2_0.items() if k != "decoder_blocks"}, "decoder_blocks must list"),
    "timesteps": (LTX_2_0 | {"timestep_conditioning": True}, "timestep_conditioning must be False, got True"),
    "group_norm": (LTX_2_0 | {"norm_layer": "group_norm"}, "norm_layer must be pixel_norm"),
    "variance": (LTX_2_0 | {"latent_log_var": "per_channel"}, "latent_log_var must be uniform or constant"),
    "two_dimensions": (LTX_2_0 | {"dims": [2, 1]}, "dims must be 3"),
    "base": (LTX_2_0 | {"encoder_base_channels": 64}, "encoder_base_channels must equal latent_channels 128, got 64"),
    "padding": (LTX_2_0 | {"spatial_padding_mode": "replicate"}, "padding_mode must be zeros or reflect"),
}


@pytest.mark.parametrize("name", BAD)
def test_original_config_that_cannot_be_built(tmp_path, name):
    config, words = BAD[name]
    with pytest.raises(ConfigError, match=words):
        original_vae_config(config)
    write_vae(tmp_path, VAES["vae_original"])
    file = tmp_path / VAES["vae_original"].path
    state = {key: torch.zeros(shape) for key, shape in open_vae(file)[0].shapes.items()}
    write_safetensors(file, state, {"config": json.dumps({"vae": config})})
    with pytest.raises(
        CheckpointError, match=f"metadata config of {file.name}, section vae is not understood: .*{words}"
    ):
        open_vae(file)


def test_the_most_specific_configuration_counts(tmp_path):
    file = tmp_path / "vae.safetensors"
    sources = {
        "sana_wm.vae_config": json.dumps(vae_config_json(replace(TINY_VAE, scaling_factor=2.0))),
        "config": json.dumps({"vae": original_config_json(replace(TINY_VAE, scaling_factor=3.0))}),
    }
    (tmp_path / "config.json").write_text(json.dumps(vae_config_json(replace(TINY_VAE, scaling_factor=4.0))))

    def opened(*names: str, **options) -> float:
        write_safetensors(file, tiny_vae().state_dict(), {name: sources[name] for name in names})
        return open_vae(file, **options)[1].scaling_factor

    assert opened("sana_wm.vae_config", "config", config=TINY_VAE) == 1.0
    assert opened("sana_wm.vae_config", "config") == 2.0
    assert opened("config") == 3.0
    assert opened() == 4.0
    (tmp_path / "config.json").unlink()
    assert open_vae(file)[1] == RELEASED_VAE


@pytest.mark.parametrize("name", ["ltx2_causal_vae/diffusion_pytorch_model.safetensors", "sana_wm_LTX2_Causal_vae.safetensors"])
def test_without_a_configuration_the_name_tells_a_causal_decoder(tmp_path, name):
    write_safetensors(tmp_path / name, tiny_vae().state_dict(), {})
    assert open_vae(tmp_path / name)[1] == replace(RELEASED_VAE, decoder_causal=True)
    (tmp_path / name).with_name("config.json").write_text(json.dumps(vae_config_json(TINY_VAE)))
    assert open_vae(tmp_path / name)[1] == TINY_VAE, "what is written down counts more than a name"


@pytest.mark.parametrize("key", ["sana_wm.vae_config", "config"])
@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_metadata_is_named(tmp_path, key, text):
    write_safetensors(tmp_path / "vae.safetensors", tiny_vae().state_dict(), {key: text})
    with pytest.raises(CheckpointError, match=f"metadata {key} of vae.safetensors"):
        open_vae(tmp_path)


def test_config_of_transformer_only_is_passed_over(tmp_path):
    write_safetensors(tmp_path / "vae.safetensors", tiny_vae().state_dict(), {"config": '{"transformer": {}}'})
    assert open_vae(tmp_path)[1] == RELEASED_VAE


def test_config_json_that_cannot_be_built_is_named(tmp_path):
    write_safetensors(tmp_path / "vae.safetensors", tiny_vae().state_dict(), {})
    (tmp_path / "config.json").write_text(json.dumps(vae_config_json(TINY_VAE) | {"timestep_conditioning": True}))
    with pytest.raises(CheckpointError, match="config.json beside vae.safetensors is not understood: .*timestep"):
        open_vae(tmp_path)
