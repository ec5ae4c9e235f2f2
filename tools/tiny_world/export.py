"""The model set as files that the ordinary loader nodes take: fp16 safetensors in the released layouts, and back again."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, astuple, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from wm_core.checkpoint import load_refiner, load_video_vae, load_world_model
from wm_core.checkpoint.refiner_config import CONFIG_KEY
from wm_core.checkpoint.refiner_guard import MARK
from wm_core.config import DiTConfig, RefinerConfig, SamplingConfig
from wm_core.dit import WorldDiT
from wm_core.refiner import VideoRefiner
from wm_core.text.embedding_file import EMBEDDING_FORMAT, EMBEDDING_VERSION
from wm_core.vae import VideoVAE

from ..make_tiny_checkpoints import released_tensors, vae_config_json, world_config_json
from ..reproducible import write_safetensors
from .clips import FPS
from .files import DIALECT, MODELS, REFINER, REFINER_PROMPT, TEXT, VAES, WORLDS, WorldFile
from .generate import constant_prompt
from .settings import RefinerSettings, Settings, WorldSettings
from .text import TEXT_FILE
from .training import load_modules

ABOUT = {
    "modelspec.license": "Apache-2.0",
    "modelspec.author": "the SANA-WM node pack; trained on its own procedural scenes only",
}
TOY = "A toy that shows the system, not SANA-WM's quality. See MODEL_CARD.md of the node pack."


def export_set(settings: Settings, folder: Path, models: Path = MODELS) -> list[Path]:
    """Write every model whose stage has been trained; the files."""
    written = []
    for stage, path in VAES.items():
        checkpoint = next((f for f in (folder / f"{stage}.pt", folder / "vae.pt") if f.is_file()), None)
        if checkpoint and (stage == "decoder" or checkpoint.stem == stage):
            written.append(export_vae(settings, checkpoint, models / path, causal=stage == "causal_decoder"))
    for stage, file in WORLDS.items():
        if (folder / f"{stage}.pt").is_file():
            written.append(export_world(settings.world, folder / f"{stage}.pt", models, file))
    if (folder / "refiner.pt").is_file():
        written += export_refiner(settings.refiner, folder / "refiner.pt", models)
    return written


def export_vae(settings: Settings, checkpoint: Path, target: Path, *, causal: bool) -> Path:
    vae = VideoVAE(replace(settings.vae.model, decoder_causal=causal))
    load_modules(checkpoint, {"vae": vae})
    kind = "causal VAE" if causal else "VAE"
    size = f"{settings.size[1]} x {settings.size[0]}"
    about = f"Video autoencoder 8 x 8 x 8 of procedurally rendered scenes, {size} pixels."
    metadata = described(f"SANA-WM tiny world {kind}", about) | {
        "sana_wm.vae_config": json.dumps(vae_config_json(vae.config)),
    }
    write_safetensors(target, _half(vae.state_dict()), metadata)
    return target


def export_world(recipe: WorldSettings, checkpoint: Path, models: Path, file: WorldFile) -> Path:
    """The running average of the weights, under the released names."""
    world = WorldDiT(recipe.model)
    load_modules(checkpoint, {"average": world})
    sampling = SamplingConfig(steps=file.steps, cfg=1.0, shift=recipe.shift, fps=FPS, dialect=DIALECT)
    about = "World model of procedurally rendered scenes."
    metadata = described(f"SANA-WM tiny world, {file.variant}", about) | {
        "sana_wm.variant": file.variant,
        "sana_wm.reference": recipe.model.reference.name,
        "sana_wm.sampling": json.dumps(asdict(sampling)),
        "sana_wm.config": json.dumps(full_config_json(recipe.model)),
    }
    write_safetensors(models / file.path, _half(released_tensors(world)), metadata)
    return models / file.path


def export_refiner(recipe: RefinerSettings, checkpoint: Path, models: Path) -> list[Path]:
    """The running average of the weights, and beside it the one prompt that it knows."""
    refiner = VideoRefiner(recipe.model)
    load_modules(checkpoint, {"average": refiner})
    about = "Second stage for clips of procedurally rendered scenes."
    metadata = described("SANA-WM tiny world refiner", about) | {
        MARK: "the tiny world's own",
        CONFIG_KEY: json.dumps(refiner_config_json(recipe.model)),
    }
    write_safetensors(models / REFINER, _half(refiner.state_dict()), metadata)
    context = constant_prompt(recipe.model)
    about = "For Load SANA-WM Text Embedding: the tiny refiner knows no words."
    label = described("The one prompt of the SANA-WM tiny world refiner", about) | {
        "format": EMBEDDING_FORMAT,
        "version": str(EMBEDDING_VERSION),
    }
    mask = torch.ones(context.shape[:2], dtype=torch.long)
    write_safetensors(models / REFINER_PROMPT, {"embedding": context, "mask": mask}, label)
    return [models / REFINER, models / REFINER_PROMPT]


def described(title: str, about: str) -> dict[str, str]:
    """What every file of the set says of itself."""
    return ABOUT | {
        "modelspec.title": f"{title} (toy)",
        "modelspec.description": f"{about} {TOY}",
        "sana_wm.format": "1",
    }


def refiner_config_json(config: RefinerConfig) -> dict:
    """What the shapes of the tensors do not tell."""
    return {
        "num_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "rope_type": config.rope,
        "vae_scale_factors": astuple(config.stride),
    }


def full_config_json(config: DiTConfig) -> dict:
    """All that diffusers' class needs to be built."""
    return world_config_json(config) | {
        "mlp_ratio": config.mlp_ratio,
        "caption_channels": config.caption_channels,
        "patch_size": config.patch_size,
        "softmax_every_n": config.softmax_every_n,
        "conv_kernel_size": config.conv_kernel_size,
        "t_kernel_size": config.t_kernel_size,
        "chunk_plucker_channels": config.plucker_channels,
        "chunk_plucker_post_attn_blocks": config.plucker_blocks,
        "use_chunk_plucker_post_attn": True,
        "cross_norm": True,
        "y_norm": True,
        "k_conv_only": True,
    }


def unpack_set(settings: Settings, folder: Path, models: Path = MODELS) -> None:
    """Checkpoints from the exported files, for training to go on from on a machine that has none. fp16 as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(models / TEXT, folder / TEXT_FILE)
    for stage, path in VAES.items():
        if (models / path).is_file():
            vae = load_video_vae(models / path)
            _write(folder / ("vae.pt" if stage == "decoder" else f"{stage}.pt"), {"vae": vae})
    for stage, file in WORLDS.items():
        if (models / file.path).is_file():
            world = load_world_model(models / file.path)
            _write(folder / f"{stage}.pt", {"world": world, "average": world})
    if (models / REFINER).is_file():
        refiner = load_refiner(models / REFINER)
        _write(folder / "refiner.pt", {"refiner": refiner, "average": refiner})


def _write(file: Path, modules: dict[str, nn.Module]) -> None:
    if not file.is_file():
        states = {name: module.state_dict() for name, module in modules.items()}
        torch.save({"modules": states, "optimizers": None, "step": 0, "spent": 0.0}, file)


def _half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}
