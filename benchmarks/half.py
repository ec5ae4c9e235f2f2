"""A bfloat16 checkpoint on a CPU, which multiplies bfloat16 a hundred times slower than float32: ours computes in float32.

In place of theirs stands ours from a float32 file that says the same. Two ways to get there: the loader's, which casts once,
and the host's, which keeps the weights as they are in the file and casts a layer's whenever it runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_core.checkpoint import load_world_model, open_world, read_world_weights
from wm_core.config import RELEASED_DIT
from wm_core.dit import WorldConditions, WorldDiT

from .checkpoint_files import write_world
from .dit import HEAD_DIM, TEXT_TOKENS, turning_camera
from .measure import Pair

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Casting:
    """Layers that compute in the dtype of what they are given, as the host's manual_cast does: the weight is cast in every call."""

    class Linear(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))

    class Conv2d(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))

    class RMSNorm(nn.RMSNorm):
        def forward(self, x: Tensor) -> Tensor:
            return F.rms_norm(x, self.normalized_shape, self.weight.to(x), self.eps)


def cast_once(grid: tuple[int, int], frames: int, depth: int = 4, heads: int = 8) -> Pair:
    """Velocities (b, c, t, h, w) of one dense forward. Ours: the file as the loader takes it on a CPU."""
    return _pair(tuple(grid), frames, depth, heads, load_world_model)


def cast_by_layer(grid: tuple[int, int], frames: int, depth: int = 4, heads: int = 8) -> Pair:
    """The same. Ours: weights that stay as they are in the file."""
    return _pair(tuple(grid), frames, depth, heads, _as_in_the_file)


def _pair(grid: tuple[int, int], frames: int, depth: int, heads: int, load) -> Pair:
    folder = TemporaryDirectory()
    config = replace(RELEASED_DIT, depth=depth, hidden_size=heads * HEAD_DIM, num_heads=heads)
    files = write_world(Path(folder.name), config, DTYPES)
    wide, ours = load_world_model(files["fp32"]), load(files["bf16"])
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=g)
    x, text = draw(1, config.in_channels, frames, *grid), draw(1, TEXT_TOKENS, config.caption_channels)
    cond = WorldConditions(text, None, turning_camera(frames, grid), draw(1, config.plucker_channels, frames, *grid))
    sigma = torch.full((1, frames), 0.5)
    return Pair(lambda: wide(x, sigma, cond)[0], lambda: ours(x, sigma, cond)[0], end=folder.cleanup)


def _as_in_the_file(path: Path) -> WorldDiT:
    opened = open_world(path)
    model = WorldDiT(opened.config, Casting, device="meta")
    model.load_state_dict(read_world_weights(opened), assign=True)
    return model.eval().requires_grad_(False)
