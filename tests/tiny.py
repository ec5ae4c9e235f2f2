"""Small models for the tests: golden weights in our own class, and random ones in every regime."""

from __future__ import annotations

import torch
from cases import Case
from torch import Tensor

from wm_core.checkpoint.layouts import fit_world_weights
from wm_core.config import DiTConfig, Reference
from wm_core.dit import WorldConditions, WorldDiT

TINY_DIT = DiTConfig(
    in_channels=8,
    depth=4,
    hidden_size=32,
    num_heads=2,
    head_dim=16,
    mlp_ratio=2,
    caption_channels=16,
    softmax_every_n=4,
)


def golden_config(case: Case, reference: Reference) -> DiTConfig:
    same = ("in_channels", "depth", "hidden_size", "num_heads", "mlp_ratio", "caption_channels", "softmax_every_n")
    fields = {name: case.meta["config"][name] for name in same}
    return DiTConfig(**fields, head_dim=case.meta["config"]["linear_head_dim"], reference=reference)


def golden_world(case: Case, reference: Reference) -> WorldDiT:
    """The golden weights, through the same strict fit that the loader uses."""
    config = golden_config(case, reference)
    model = WorldDiT(config, device="meta")
    model.load_state_dict(fit_world_weights(case.weights, config), assign=True)
    return model.eval()


def random_world(config: DiTConfig = TINY_DIT, seed: int = 0, dtype: torch.dtype = torch.float64) -> WorldDiT:
    """Every parameter drawn, also those that training starts from zero, so that no path is dead."""
    model = WorldDiT(config, dtype=dtype)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            centre = 1.0 if name.endswith("norm.weight") or "norm_cam" in name else 0.0
            spread = 0.3 if p.ndim < 2 else p[0].numel() ** -0.5
            p.copy_(centre + spread * torch.randn(p.shape, generator=g, dtype=dtype))
    return model.eval()


def random_conditions(
    config: DiTConfig, grid: tuple[int, int, int], *, seed: int = 1, dtype: torch.dtype = torch.float64
) -> WorldConditions:
    """A prompt of 5 tokens and a camera that turns a little every frame; grid is (t, h, w) latents."""
    g = torch.Generator().manual_seed(seed)
    t, h, w = grid
    raymap = torch.zeros(1, t, 20, dtype=dtype)
    for i in range(t):
        angle = torch.tensor(0.1 * i, dtype=dtype)
        pose = torch.eye(4, dtype=dtype)
        pose[0, 0] = pose[2, 2] = angle.cos()
        pose[0, 2], pose[2, 0] = angle.sin(), -angle.sin()
        pose[:3, 3] = torch.tensor([0.02 * i, 0.0, 0.1 * i], dtype=dtype)
        raymap[0, i, :16] = pose.flatten()
    raymap[..., 16:] = torch.tensor([w * 0.8, w * 0.8, w / 2, h / 2], dtype=dtype)
    draw = lambda *s: torch.randn(*s, generator=g, dtype=dtype)
    return WorldConditions(draw(1, 5, config.caption_channels), None, raymap, draw(1, 48, t, h, w))


def frames_of(cond: WorldConditions, a: int, b: int) -> WorldConditions:
    return WorldConditions(cond.text, cond.text_mask, cond.raymap[:, a:b], cond.plucker[:, :, a:b])


def draw_latents(shape: tuple[int, ...], seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
