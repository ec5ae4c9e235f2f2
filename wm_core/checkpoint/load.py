"""Building models from files. Nothing half-loaded is returned: names and sizes are checked before weights are read."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import DiTConfig, VAEConfig
from ..dit import WorldDiT
from ..refiner import TextConnector, VideoRefiner
from ..vae import VideoVAE
from .files import WeightFile
from .layouts import read_fitting, vae_names
from .recognition import recognise
from .refiner_file import ConnectorFile, RefinerFile, open_connectors, open_refiner
from .vae_file import open_vae
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
    return read_fitting(opened.file, opened.names, WorldDiT(opened.config, device="meta"), opened.info.layout)


def read_vae_weights(file: WeightFile, config: VAEConfig) -> dict[str, Tensor]:
    """State dict of VideoVAE(config), likewise."""
    layout = recognise(file.shapes)
    names = vae_names(file.shapes, config, file.path.name)
    return read_fitting(file, names, VideoVAE(config, device="meta"), layout.name if layout else "")


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


def load_refiner(
    path: str | Path,
    *,
    rope: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    operations=nn,
) -> VideoRefiner:
    """The refiner's video path; dtype and device as in `load_world_model`, errors and rope as in `open_refiner`."""
    opened = open_refiner(path, rope=rope)
    model = VideoRefiner(opened.config, operations, device="meta")
    model.load_state_dict(read_refiner_weights(opened), assign=True)
    return _placed(model, dtype, device)


def read_refiner_weights(opened: RefinerFile) -> dict[str, Tensor]:
    """State dict of VideoRefiner(opened.config), memory-mapped: of the audio half not a byte is read."""
    return read_fitting(opened.file, opened.names, VideoRefiner(opened.config, device="meta"), opened.layout)


def load_connectors(
    path: str | Path,
    *,
    rope: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    operations=nn,
) -> TextConnector:
    """The refiner's text connectors, likewise."""
    opened = open_connectors(path, rope=rope)
    model = TextConnector(opened.config, operations, device="meta")
    model.load_state_dict(read_connector_weights(opened), assign=True)
    return _placed(model, dtype, device)


def read_connector_weights(opened: ConnectorFile) -> dict[str, Tensor]:
    """State dict of TextConnector(opened.config), likewise."""
    return read_fitting(opened.file, opened.names, TextConnector(opened.config, device="meta"), opened.layout)


def _placed(model: nn.Module, dtype: torch.dtype | None, device: torch.device | str | None) -> nn.Module:
    device = torch.device(device or "cpu")
    if dtype is None and device.type == "cpu":
        dtype = torch.float32
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)
