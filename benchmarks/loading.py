"""How much private memory loading takes at most: weights that stay as they are in the file stay memory-mapped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from wm_core.checkpoint import load_refiner, load_world_model
from wm_core.config import RELEASED_DIT, DiTConfig, RefinerConfig

from . import checkpoint_files as files
from .apart import MIB, PrivatePeak

Config = DiTConfig | RefinerConfig


@dataclass(frozen=True)
class Kind:
    """A model that is loaded, how its file is written, and a configuration of several hundred MB and one for a test."""

    load: Callable[..., nn.Module]
    write: Callable[[Path, Config, dict[str, torch.dtype]], dict[str, Path]]
    large: Config
    tiny: Config


def _world(depth: int, heads: int):
    return replace(RELEASED_DIT, depth=depth, hidden_size=112 * heads, num_heads=heads)


KINDS = {
    "stage 1": Kind(load_world_model, files.write_world, _world(2, 20), _world(1, 1)),
    "refiner": Kind(
        load_refiner,
        files.write_refiner,
        RefinerConfig("split", depth=4, num_heads=16),
        RefinerConfig("split", depth=1, num_heads=1, head_dim=16),
    ),
}


def write(kind: str, folder: Path, size: str = "large") -> Path:
    """A bfloat16 file of a model of KINDS."""
    row = KINDS[kind]
    return row.write(folder, getattr(row, size), {"bf16": torch.bfloat16})["bf16"]


def load(kind: str, path: str, dtype: str | None) -> dict[str, float]:
    """In the process that is measured. dtype None: what a CPU computes in.

    MiB: added, the most private memory that loading took; file, result, and its largest tensor. cpu_s: of loading.
    """
    with PrivatePeak() as peak:
        start = time.process_time()
        model = KINDS[kind].load(path, dtype=dtype and getattr(torch, dtype))
        took = time.process_time() - start
    sizes = files.parameters(model)
    return {
        "added": peak.added,
        "file": Path(path).stat().st_size / MIB,
        "result": sum(sizes) / MIB,
        "largest": max(sizes) / MIB,
        "cpu_s": took,
    }
