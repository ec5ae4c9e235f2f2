"""Weight files as people have them, with random numbers, for what loading and half precision cost."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tools.make_tiny_checkpoints import released_tensors, world_config_json
from wm_core.config import DiTConfig, RefinerConfig
from wm_core.dit import WorldDiT
from wm_core.refiner import VideoRefiner

from .random_models import random_model

NAME = "model.safetensors"


def write_world(folder: Path, config: DiTConfig, dtypes: dict[str, torch.dtype]) -> dict[str, Path]:
    """A stage-1 checkpoint of released names in each dtype, below the folder by its name. Numbers that bfloat16 can hold,
    so that the files say the same."""
    model = random_model(lambda: WorldDiT(config), "cpu", torch.bfloat16)
    tensors = released_tensors(model)
    return {name: _write(folder / name, tensors, dtype, world_config_json(config)) for name, dtype in dtypes.items()}


def write_refiner(folder: Path, config: RefinerConfig, dtypes: dict[str, torch.dtype]) -> dict[str, Path]:
    """The refiner's transformer likewise, without its audio half."""
    model = random_model(lambda: VideoRefiner(config), "cpu", torch.bfloat16)
    told = {
        "_class_name": "SanaWMLTX2RefinerTransformer3DModel",
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "caption_channels": config.caption_channels,
        "num_layers": config.depth,
        "rope_type": config.rope,
    }
    return {name: _write(folder / name, model.state_dict(), dtype, told) for name, dtype in dtypes.items()}


def parameters(model: nn.Module) -> list[int]:
    """Bytes of each."""
    return [p.nbytes for p in model.parameters()]


def _write(folder: Path, tensors: dict[str, Tensor], dtype: torch.dtype, told: dict) -> Path:
    folder.mkdir(parents=True)
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}, folder / NAME)
    (folder / "config.json").write_text(json.dumps(told))
    return folder / NAME
