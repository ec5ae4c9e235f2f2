"""Write tiny checkpoints with random weights in every layout that stage 1 and the video VAE are published in.

    python3 -m tools.make_tiny_checkpoints FOLDER

WORLDS and VAES are the list: a row says what the file is like and what the loader must find in it. The same bytes every
time, each file under 1 MB.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from wm_core.config import RELEASED_SAMPLING, DiTConfig, SamplingConfig, VAEConfig
from wm_core.dit import WorldDiT
from wm_core.vae import VideoVAE

from .make_name_lists import original_vae_name
from .reproducible import write_safetensors

TINY_WORLD = DiTConfig(
    in_channels=8,
    depth=4,
    hidden_size=32,
    num_heads=2,
    head_dim=16,
    mlp_ratio=2.0,
    caption_channels=16,
    plucker_blocks=4,
)
TINY_VAE = VAEConfig(
    latent_channels=8,
    block_out_channels=(8, 8, 16, 16),
    layers_per_block=(1, 1, 1, 1, 1),
    decoder_block_out_channels=(8, 8, 16),
    decoder_layers_per_block=(1, 1, 1, 2),
    upsample_factor=(2, 1, 2),
)
# As in LTX-2.3: one more decoder block, and shortcuts nowhere.
TINY_VAE_DEEP = replace(
    TINY_VAE,
    decoder_block_out_channels=(8, 16, 16, 16),
    decoder_layers_per_block=(1, 2, 1, 1, 1),
    decoder_spatio_temporal_scaling=(True,) * 4,
    upsample_type=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
    upsample_residual=(False,) * 4,
    upsample_factor=(2, 2, 1, 1),
    decoder_spatial_padding_mode="zeros",
)
STREAMING_RECIPE = replace(RELEASED_SAMPLING, steps=4, cfg=1.0, shift=8.0)
NOT_IN_DIFFUSERS = ("pos_embed", "y_embedder.y_embedding")
INDEX = "diffusion_pytorch_model.safetensors.index.json"


@dataclass(frozen=True)
class TinyWorld:
    """A stage-1 file: how it is written, and what `open_world` must say of it."""

    path: str  # what to open
    names: str = "released"  # or diffusers
    prefix: str = ""
    dtype: torch.dtype = torch.float32
    shards: int = 1
    metadata: Mapping[str, str] = field(default_factory=dict)
    with_config: bool = False
    beside: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # tensors of other models in the same file
    variant: str = "bidirectional"
    source: str = "default"  # how it begins
    reference: str = "nvlabs"
    sampling: SamplingConfig = RELEASED_SAMPLING


@dataclass(frozen=True)
class TinyVAE:
    """A VAE file: how it is written, and what `open_vae` must make of it."""

    path: str
    config: VAEConfig = TINY_VAE
    names: str = "diffusers"  # or original
    prefix: str = ""
    dtype: torch.dtype = torch.float32
    stated: str = "config.json"  # or metadata, or stamp: where its configuration is
    beside: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


IN_LTX2_CHECKPOINT = {
    "model.diffusion_model.transformer_blocks.0.audio_attn1.to_q.weight": (8, 8),
    "model.diffusion_model.video_embeddings_connector.learnable_registers": (4, 8),
    "audio_vae.per_channel_statistics.mean-of-means": (8,),
    "vocoder.conv_pre.weight": (8, 4, 3),
    "text_embedding_projection.aggregate_embed.weight": (8, 8),
}
STAMP = {
    "sana_wm.format": "1",
    "sana_wm.variant": "streaming",
    "sana_wm.reference": "nvlabs-streaming",
    "sana_wm.sampling": json.dumps({"fps": 12, "dialect": "nvlabs-v1"}),
}
WORLDS = {
    "released": TinyWorld("dit/sana_wm_1600m_720p.safetensors"),
    "released_bf16": TinyWorld("flat/sana_wm_bf16.safetensors", dtype=torch.bfloat16),
    "released_fp16": TinyWorld("flat/sana_wm_fp16.safetensors", dtype=torch.float16),
    "diffusers": TinyWorld("diffusers/transformer", "diffusers", with_config=True),
    "sharded": TinyWorld(f"sharded/transformer/{INDEX}", "diffusers", shards=3, with_config=True),
    "sharded_folder": TinyWorld("sharded_released", shards=2),
    "prefix_model": TinyWorld("prefixed/model.safetensors", prefix="model."),
    "prefix_transformer": TinyWorld("prefixed/transformer.safetensors", "diffusers", "transformer."),
    "prefix_host": TinyWorld(
        "prefixed/host.safetensors", prefix="model.diffusion_model.", beside={"vae.encoder.conv_in.conv.bias": (4,)}
    ),
    "prefix_inner": TinyWorld("prefixed/inner.sft", "diffusers", "_inner."),
    "chunk_causal": TinyWorld(
        "dit/sana_wm_chunk_causal_1600m_720p.safetensors", variant="chunk-causal", source="file name"
    ),
    "streaming_folder": TinyWorld(
        "SANA-WM_streaming-stage1-diffusers/transformer",
        "diffusers",
        dtype=torch.bfloat16,
        with_config=True,
        variant="streaming",
        source="folder name",
        sampling=STREAMING_RECIPE,
    ),
    "stamped": TinyWorld(
        "flat/any_name.safetensors",
        metadata=STAMP,
        variant="streaming",
        source="file metadata",
        reference="nvlabs-streaming",
        sampling=replace(STREAMING_RECIPE, fps=12.0, dialect="nvlabs-v1"),
    ),
}
VAES = {
    "vae_diffusers": TinyVAE("diffusers/vae"),
    "vae_causal": TinyVAE("ltx2_causal_vae", replace(TINY_VAE, decoder_causal=True)),
    "vae_stamped": TinyVAE("flat/vae.safetensors", dtype=torch.float16, stated="stamp"),
    "vae_original": TinyVAE("original/video_vae.safetensors", names="original", stated="metadata"),
    "vae_in_checkpoint": TinyVAE(
        "checkpoints/ltx2.safetensors",
        names="original",
        prefix="vae.",
        dtype=torch.bfloat16,
        stated="metadata",
        beside=IN_LTX2_CHECKPOINT,
    ),
    "vae_deep": TinyVAE("original/deep.safetensors", TINY_VAE_DEEP, "original", stated="metadata"),
}


def tiny_world() -> WorldDiT:
    """The model whose weights are in every stage-1 file."""
    return _drawn(WorldDiT(TINY_WORLD), seed=1)


def tiny_vae(config: VAEConfig = TINY_VAE) -> VideoVAE:
    """The model whose weights are in every VAE file of that configuration."""
    return _drawn(VideoVAE(config), seed=2)


def make_tiny_checkpoints(folder: Path) -> None:
    """Write every row of WORLDS and VAES below `folder`."""
    for world in WORLDS.values():
        write_world(folder, world)
    for vae in VAES.values():
        write_vae(folder, vae)


def write_world(folder: Path, row: TinyWorld) -> None:
    tensors = released_tensors(tiny_world())
    if row.names == "diffusers":
        tensors = {diffusers_world_name(key): tensor for key, tensor in tensors.items() if key not in NOT_IN_DIFFUSERS}
    tensors = {row.prefix + key: tensor.to(row.dtype) for key, tensor in tensors.items()}
    tensors |= {key: torch.zeros(shape) for key, shape in row.beside.items()}
    target = folder / row.path
    _write(target, tensors, dict(row.metadata), row.shards)
    if row.with_config:
        _write_json(_folder_of(target) / "config.json", world_config_json(TINY_WORLD))


def write_vae(folder: Path, row: TinyVAE) -> None:
    rename = original_vae_name if row.names == "original" else str
    tensors = {row.prefix + rename(key): t.to(row.dtype) for key, t in tiny_vae(row.config).state_dict().items()}
    if row.names == "original":
        tensors |= {f"{row.prefix}per_channel_statistics.{name}": torch.ones(8) for name in ("channel", "mean-of-stds")}
    tensors |= {key: torch.zeros(shape) for key, shape in row.beside.items()}
    metadata, target = {}, folder / row.path
    if row.stated == "metadata":
        metadata["config"] = json.dumps({"transformer": {}, "vae": original_config_json(row.config)})
    elif row.stated == "stamp":
        metadata["sana_wm.vae_config"] = json.dumps(vae_config_json(row.config))
    else:
        _write_json(_folder_of(target) / "config.json", vae_config_json(row.config))
    _write(target, tensors, metadata)


def released_tensors(model: WorldDiT) -> dict[str, Tensor]:
    """The weights under the names and in the shapes of a released file, with those that it holds and no model reads."""
    config, state = model.config, model.state_dict()
    c, heads = config.hidden_size, config.hidden_size // config.head_dim
    unread = {"pos_embed": (1, 4, c), "y_embedder.y_embedding": (6, config.caption_channels)}
    unread |= {"raymap_embedder.proj.weight": (c, 3, *config.patch_size), "raymap_embedder.proj.bias": (c,)}
    for i in range(config.depth):
        unread[f"blocks.{i}.attn.recall_gate"] = (1,)
        if config.uses_softmax(i):
            unread |= {f"blocks.{i}.attn.{name}": (heads,) for name in ("A_log", "dt_bias")}
            unread |= {f"blocks.{i}.attn.{gate}_proj.weight": (heads, c) for gate in ("beta", "gate")}
            unread |= {f"blocks.{i}.attn.{gate}_proj.bias": (heads,) for gate in ("beta", "gate")}
    tensors = {name: tensor.reshape(_file_shape(name, tensor, config)) for name, tensor in state.items()}
    return tensors | {name: torch.zeros(shape) for name, shape in unread.items()}


def diffusers_world_name(name: str) -> str:
    """A released name of the stage-1 model as diffusers has it."""
    return name.replace("t_embedder.mlp.0.", "t_embedder.linear_1.").replace(
        "t_embedder.mlp.2.", "t_embedder.linear_2."
    )


def world_config_json(config: DiTConfig) -> dict:
    """What diffusers writes beside a stage-1 model, as far as it matters."""
    return {
        "_class_name": "SanaWMTransformer3DModel",
        "_diffusers_version": "0.42.1",
        "in_channels": config.in_channels,
        "num_layers": config.depth,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_heads,
        "linear_head_dim": config.head_dim,
        "ffn_type": "GLUMBConvTemp",
        "pos_embed_type": "wan_rope",
        "qk_norm": True,
        "learn_sigma": False,
    }


def vae_config_json(config: VAEConfig) -> dict:
    """What diffusers writes beside a VAE."""
    return {
        "_class_name": "AutoencoderKLLTX2Video",
        **asdict(config),
        "down_block_types": ["LTX2VideoDownBlock3D"] * len(config.block_out_channels),
        "timestep_conditioning": False,
    }


def original_config_json(config: VAEConfig) -> dict:
    """The `vae` section in the metadata of an original LTX-2 checkpoint."""
    short = {"spatial": "space", "temporal": "time", "spatiotemporal": "all"}
    widths = (config.latent_channels, *config.block_out_channels)
    encoder = [["res_x", {"num_layers": config.layers_per_block[0]}]]
    for i, kind in enumerate(config.downsample_type):
        encoder.append([f"compress_{short[kind]}_res", {"multiplier": widths[i + 1] // widths[i]}])
        encoder.append(["res_x", {"num_layers": config.layers_per_block[i + 1]}])
    decoder = [["res_x", {"num_layers": config.decoder_layers_per_block[0], "inject_noise": False}]]
    for i, kind in enumerate(reversed(config.upsample_type)):
        block = {"multiplier": config.upsample_factor[i], "residual": config.upsample_residual[i]}
        decoder.append([f"compress_{short[kind]}", block])
        decoder.append(["res_x", {"num_layers": config.decoder_layers_per_block[i + 1], "inject_noise": False}])
    return {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "latent_channels": config.latent_channels,
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
        "scaling_factor": config.scaling_factor,
        "norm_layer": "pixel_norm",
        "patch_size": config.patch_size,
        "latent_log_var": "uniform",
        "use_quant_conv": False,
        "causal_decoder": config.decoder_causal,
        "timestep_conditioning": False,
        "normalize_latent_channels": False,
        "encoder_base_channels": config.latent_channels,
        "decoder_base_channels": config.decoder_block_out_channels[0] // config.upsample_factor[0],
        "encoder_spatial_padding_mode": config.encoder_spatial_padding_mode,
        "decoder_spatial_padding_mode": config.decoder_spatial_padding_mode,
    }


def _drawn(model: nn.Module, seed: int) -> nn.Module:
    """Every tensor random, also those that training starts from zero, so that a lost or swapped one shows."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            centre = 1.0 if "norm" in name or name == "latents_std" else 0.0
            spread = 0.2 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
            tensor.copy_(centre + spread * torch.randn(tensor.shape, generator=g))
    return model.eval()


def _file_shape(name: str, tensor: Tensor, config: DiTConfig) -> tuple[int, ...]:
    """Linear maps here that are convolutions in the file."""
    rows, columns = tensor.shape[0], tensor[0].numel()
    if re.fullmatch(r"(x|plucker)_embedder\.proj\.weight", name):
        return rows, columns // math.prod(config.patch_size), *config.patch_size
    if re.fullmatch(r".+\.(inverted|point)_conv\.conv\.weight", name):
        return rows, columns, 1, 1
    if name.endswith(".t_conv.weight"):
        return rows, rows, config.t_kernel_size, 1
    return tuple(tensor.shape)


def _folder_of(target: Path) -> Path:
    return target.parent if target.suffix else target


def _write(target: Path, tensors: dict[str, Tensor], metadata: dict[str, str], shards: int = 1) -> None:
    """One file, or shards with their index; a target without suffix is a folder."""
    folder = _folder_of(target)
    if shards == 1:
        file = target if target.suffix else folder / "diffusion_pytorch_model.safetensors"
        write_safetensors(file, tensors, metadata)
        return
    weight_map = {}
    for i, key in enumerate(sorted(tensors)):
        weight_map[key] = f"diffusion_pytorch_model-{i * shards // len(tensors) + 1:05}-of-{shards:05}.safetensors"
    for name in set(weight_map.values()):
        write_safetensors(folder / name, {k: t for k, t in tensors.items() if weight_map[k] == name}, metadata)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})


def _write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    make_tiny_checkpoints(parser.parse_args().folder)
