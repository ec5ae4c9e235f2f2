"""One forward of the world model, random weights, dense (one chunk): 3 GDN blocks to 1 softmax block."""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import SanaWMTransformer3DModel
from torch import Tensor

from wm_core.checkpoint.layouts import fit_world_weights
from wm_core.config import DIFFUSERS, DiTConfig
from wm_core.dit import WorldConditions, WorldDiT

from .ceilings import Work, count_flops
from .measure import Pair

TEXT_TOKENS = 300
HEAD_DIM = 112  # with 64, diffusers' camera softmax forms the n x n matrix, and the comparison flatters us


def forward(
    grid: tuple[int, int], frames: int, depth: int = 4, heads: int = 4, device: str = "cpu", dtype: str = "float32"
) -> Pair:
    """Velocities (b, c, t, h, w) of one video of grid = (h, w) tokens."""
    dtype = getattr(torch, dtype)
    config = DiTConfig(depth=depth, hidden_size=heads * HEAD_DIM, num_heads=heads, plucker_blocks=depth)
    config = replace(config, reference=replace(DIFFUSERS, softmax_bf16=True))  # the same roundings on both sides
    theirs = _reference_model(config, device).to(device, dtype)
    ours = WorldDiT(config, device="meta")
    ours.load_state_dict(fit_world_weights(theirs.state_dict(), config), assign=True)  # shares the weights
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=g).to(device, dtype)
    x, text = draw(1, config.in_channels, frames, *grid), draw(1, TEXT_TOKENS, config.caption_channels)
    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.bool, device=device)
    timestep = torch.full((1, frames), 500.0, device=device)
    raymap, plucker = turning_camera(frames, grid).to(device, dtype), draw(1, config.plucker_channels, frames, *grid)
    cond = WorldConditions(text, mask, raymap, plucker)

    def run_theirs() -> Tensor:
        camera = {"camera_conditions": raymap, "chunk_plucker": plucker}
        return theirs(x, timestep[:, None], text[:, None], mask=mask, return_dict=False, **camera)[0]

    weights = sum(p.nbytes for p in ours.parameters())
    return Pair(
        run_theirs, lambda: ours(x, timestep / 1000, cond)[0], lambda: Work(forward_flops(config, x.shape), weights)
    )


def forward_flops(config: DiTConfig, shape: tuple[int, ...]) -> int:
    """Operations of one dense forward of latents of shape (b, c, t, h, w), in the torch form, text of TEXT_TOKENS.

    Counted by models that have no numbers: one without blocks, one with as many as repeat.
    """
    period = config.softmax_every_n
    if config.depth % period or config.plucker_blocks < config.depth:
        return _forward_flops(config, shape)
    bare, one = (_forward_flops(replace(config, depth=depth), shape) for depth in (0, period))
    return bare + (one - bare) * (config.depth // period)


def _forward_flops(config: DiTConfig, shape: tuple[int, ...]) -> int:
    with torch.device("meta"):
        model, (b, _, t, h, w) = WorldDiT(config), shape
        text, raymap = torch.empty(b, TEXT_TOKENS, config.caption_channels), torch.empty(b, t, 20)
        cond = WorldConditions(text, None, raymap, torch.empty(b, config.plucker_channels, t, h, w))
        x, sigma = torch.empty(shape), torch.empty(b, t)
    return count_flops(lambda: model(x, sigma, cond))


def _reference_model(config: DiTConfig, device: str) -> SanaWMTransformer3DModel:
    torch.manual_seed(0)
    with torch.device(device):  # billions of random numbers take minutes on a CPU
        model = SanaWMTransformer3DModel(
            in_channels=config.in_channels,
            num_layers=config.depth,
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_heads,
            linear_head_dim=config.head_dim,
            softmax_every_n=config.softmax_every_n,
            patch_size=config.patch_size,
            mlp_ratio=config.mlp_ratio,
            conv_kernel_size=config.conv_kernel_size,
            caption_channels=config.caption_channels,
            chunk_plucker_channels=config.plucker_channels,
            chunk_plucker_post_attn_blocks=config.plucker_blocks,
        )
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))  # some start at zero, and a dead path would compare nothing
    return model.eval()


def turning_camera(frames: int, grid: tuple[int, int]) -> Tensor:
    """A raymap (1, t, 20) that moves and turns a little every frame."""
    raymap = torch.zeros(1, frames, 20)
    for i in range(frames):
        angle = torch.tensor(0.03 * i)
        pose = torch.eye(4)
        pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
        pose[:3, 3] = torch.tensor([0.01 * i, 0.0, 0.05 * i])
        raymap[0, i, :16] = pose.flatten()
    raymap[..., 16:] = torch.tensor([0.8 * grid[1], 0.8 * grid[1], grid[1] / 2, grid[0] / 2])
    return raymap
