"""Write tests/golden/names/*.json: parameter names and shapes of the released models, from the reference classes.

Needs diffusers; allocates nothing (meta device). Run from the repository root: python tools/make_name_lists.py

`vae.json` is a flat {name: shape}; the others are {"derived_from": ..., "names": {name: shape}}.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

Shapes = dict[str, list[int]]

WORLD_DIFFUSERS = "SanaWMTransformer3DModel() of diffusers 0.42.1, state dict on the meta device."
WORLD_RELEASED = (
    "world_diffusers.json with t_embedder.linear_{1,2} named t_embedder.mlp.{0,2}, plus pos_embed and "
    "y_embedder.y_embedding: counts for each first part of a name agree with the header of the released "
    "sana_wm_1600m_720p.safetensors (872 tensors). The shapes of these two, which are never read, are not verified."
)
VAE_ORIGINAL = (
    "vae.json under the names of the original LTX-2 checkpoints, without their prefix `vae.`, by the mapping that "
    "diffusers' scripts/convert_ltx2_to_diffusers.py undoes; names only, no original file was at hand. Of "
    "per_channel_statistics the script also drops `channel` and `mean-of-stds*`, whose shapes are not verified."
)
UNVERIFIED_WORLD: Shapes = {"pos_embed": [1, 506, 2240], "y_embedder.y_embedding": [300, 2304]}
UNVERIFIED_VAE: Shapes = {
    f"per_channel_statistics.{name}": [128] for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
}


def released_world_name(name: str) -> str:
    """A diffusers name of the stage-1 model as the release has it."""
    return name.replace("t_embedder.linear_1.", "t_embedder.mlp.0.").replace("t_embedder.linear_2.", "t_embedder.mlp.2.")


def original_vae_name(name: str, deepest: int = 4) -> str:
    """A diffusers name of the video VAE as the original checkpoints have it; `deepest` counts the encoder's blocks.

    The original puts middle block, blocks and samplers of each side into one list, in the order of computation.
    """
    name = name.replace("latents_mean", "per_channel_statistics.mean-of-means")
    name = name.replace("latents_std", "per_channel_statistics.std-of-means")
    name = name.replace("encoder.mid_block.", f"encoder.down_blocks.{2 * deepest}.")
    name = name.replace("decoder.mid_block.", "decoder.up_blocks.0.")
    rows = (
        (r"(down_blocks)\.(\d)\.resnets", lambda i: 2 * i, "res_blocks"),
        (r"(down_blocks)\.(\d)\.downsamplers\.0", lambda i: 2 * i + 1, None),
        (r"(up_blocks)\.(\d)\.upsamplers\.0", lambda i: 2 * i + 1, None),
        (r"(up_blocks)\.(\d)\.resnets", lambda i: 2 * i + 2, "res_blocks"),
    )
    if f"encoder.down_blocks.{2 * deepest}." in name or "decoder.up_blocks.0.resnets" in name and "mid" in name:
        return name.replace(".resnets.", ".res_blocks.")
    for pattern, place, inner in rows:
        match = re.search(pattern, name)
        if match:
            new = ".".join(filter(None, (match[1], str(place(int(match[2]))), inner)))
            return name[: match.start()] + new + name[match.end() :]
    return name
