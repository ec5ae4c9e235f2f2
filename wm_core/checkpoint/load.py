"""Building models from files. Nothing half-loaded is ever returned: names and sizes are checked before weights are read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import RELEASED_VAE, DiTConfig, VAEConfig
from ..dit import WorldDiT
from ..errors import CheckpointError
from ..vae import VideoVAE, vae_config_from_dict
from .files import WeightFile, open_weights, recognise
from .keymaps import VAE_LAYOUTS
from .layouts import check_shapes, fit_vae_weights, fit_world_weights, vae_names
from .world_file import WorldFile, open_world


def load_world_model(
    path: str | Path,
    *,
    config: DiTConfig | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    operations=nn,
) -> WorldDiT:
    """The stage-1 model of a checkpoint, ready to run.

    dtype None keeps the file's, but float32 on a CPU, where half precision is emulated. Weights that need no change
    of dtype or device stay memory-mapped. CheckpointError: see `open_world`.
    """
    opened = open_world(path, config=config)
    model = WorldDiT(opened.config, operations, device="meta")
    model.load_state_dict(read_world_weights(opened), assign=True)
    return _placed(model, dtype, device)


def read_world_weights(opened: WorldFile) -> dict[str, Tensor]:
    """State dict of WorldDiT(opened.config), memory-mapped; checked in full before anything is mapped."""
    shapes = {name: opened.file.shapes[key] for name, key in opened.names.items()}
    check_shapes(shapes, WorldDiT(opened.config, device="meta"), opened.file.path.name)
    return fit_world_weights(opened.file.read(opened.names.values()), opened.config)


def open_vae(path: str | Path, *, config: VAEConfig | None = None) -> tuple[WeightFile, VAEConfig]:
    """Open an LTX-2 video VAE and find its configuration: metadata, config.json beside it, or the released one."""
    file = open_weights(path)
    layout = recognise(file.shapes)
    if layout not in VAE_LAYOUTS:
        found = f"it looks like: {layout.name}; {layout.advice}" if layout else "its names match no known layout"
        raise CheckpointError(f"{file.path.name} is not an LTX-2 video VAE ({found})")
    return file, config or _vae_config(file)


def read_vae_weights(file: WeightFile, config: VAEConfig) -> dict[str, Tensor]:
    """State dict of VideoVAE(config), memory-mapped; checked in full first. A full LTX-2 file may hold more than the VAE."""
    parts = [key for key in file.shapes if key.split(".")[0] in ("encoder", "decoder", "per_channel_statistics")]
    parts += [key for key in ("latents_mean", "latents_std") if key in file.shapes]
    names = vae_names(parts, config)
    shapes = {name: file.shapes[key] for name, key in names.items()}
    check_shapes(shapes, VideoVAE(config, device="meta"), file.path.name)
    return fit_vae_weights(file.read(names.values()), config)


def load_video_vae(
    path: str | Path,
    *,
    config: VAEConfig | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    operations=nn,
) -> VideoVAE:
    """The video VAE of a checkpoint in diffusers or original names; dtype and device as in `load_world_model`."""
    file, config = open_vae(path, config=config)
    model = VideoVAE(config, operations, device="meta")
    model.load_state_dict(read_vae_weights(file, config), assign=True)
    return _placed(model, dtype, device)


def _vae_config(file: WeightFile) -> VAEConfig:
    if "sana_wm.vae_config" in file.metadata:
        return vae_config_from_dict(json.loads(file.metadata["sana_wm.vae_config"]))
    if file.config is not None and "block_out_channels" in file.config:
        return vae_config_from_dict(file.config)
    return RELEASED_VAE


def _placed(model: nn.Module, dtype: torch.dtype | None, device: torch.device | str | None) -> nn.Module:
    device = torch.device(device or "cpu")
    if dtype is None and device.type == "cpu":
        dtype = torch.float32
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)
