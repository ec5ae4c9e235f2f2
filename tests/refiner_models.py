"""Refiners small enough for a test: the golden weights in our own classes, and random ones."""

from __future__ import annotations

import torch
from cases import Case
from torch import nn

from wm_core.config import ConnectorConfig, RefinerConfig, RefinerRecipe
from wm_core.refiner import TextConnector, VideoRefiner

TINY_REFINER = RefinerConfig(
    "split", in_channels=8, out_channels=8, depth=3, num_heads=2, head_dim=12, caption_channels=16
)


def golden_refiner(case: Case) -> VideoRefiner:
    told = case.meta["config"]["transformer"]
    config = RefinerConfig(
        rope=told["rope_type"],
        in_channels=told["in_channels"],
        out_channels=told["out_channels"],
        depth=told["num_layers"],
        num_heads=told["num_attention_heads"],
        head_dim=told["attention_head_dim"],
        caption_channels=told["caption_channels"],
    )
    return _filled(VideoRefiner(config), case, "transformer.")


def golden_connector(case: Case) -> TextConnector:
    told = case.meta["config"]["connectors"]
    config = ConnectorConfig(
        rope=told["rope_type"],
        caption_channels=told["caption_channels"],
        encoder_layers=told["text_proj_in_factor"],
        depth=told["video_connector_num_layers"],
        num_heads=told["video_connector_num_attention_heads"],
        head_dim=told["video_connector_attention_head_dim"],
        registers=told["video_connector_num_learnable_registers"],
        rope_span=told["connector_rope_base_seq_len"],
    )
    return _filled(TextConnector(config), case, "connectors.")


def golden_recipe(case: Case) -> RefinerRecipe:
    told = case.meta["sampler"]
    return RefinerRecipe(tuple(told["sigmas"]), told["block_size"], told["sink_size"], told["kv_max_frames"])


def random_refiner(config: RefinerConfig = TINY_REFINER, seed: int = 0, dtype=torch.float64) -> VideoRefiner:
    """Every parameter drawn, also those that training starts from zero, so that no path is dead."""
    return drawn(VideoRefiner(config, dtype=dtype), seed)


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            centre = 1.0 if ".norm_" in name else 0.0
            spread = 0.3 if p.ndim < 2 else p[0].numel() ** -0.5
            p.copy_(centre + spread * torch.randn(p.shape, generator=g, dtype=torch.float64).to(p))
    return model.eval().requires_grad_(False)


def _filled(model: nn.Module, case: Case, prefix: str) -> nn.Module:
    weights = {key.removeprefix(prefix): value for key, value in case.weights.items() if key.startswith(prefix)}
    model.load_state_dict(weights, strict=True)
    return model.eval()
