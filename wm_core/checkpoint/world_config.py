"""The configuration of a stage-1 file, out of the shapes of its tensors; what is written beside them must agree."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..config import NVLABS, DiTConfig, Reference, find_reference
from ..errors import CheckpointError, ConfigError
from .files import WeightFile, json_object, some

# Fields of a diffusers config.json that change the arithmetic, with the values that this model has.
REQUIRED = {
    "qk_norm": True,
    "cross_norm": True,
    "y_norm": True,
    "use_pe": True,
    "k_conv_only": True,
    "use_chunk_plucker_post_attn": True,
    "pos_embed_type": "wan_rope",
    "learn_sigma": False,
    "pred_sigma": False,
}
MAX_DEPTH = 1000  # blocks that an error looks through
# Fields that the shapes tell as well: a difference means that the file is cut or the config another model's.
TOLD_TWICE = {"num_layers": "depth", "hidden_size": "hidden_size", "in_channels": "in_channels"}


def world_config(file: WeightFile, reference: str | None) -> DiTConfig:
    """Sizes from shapes, the rest from what the file states; `reference` overrides the file's."""
    config = replace(_from_shapes(file), reference=_reference(file, reference))
    for source, stated in statements(file):
        for field, value in REQUIRED.items():
            if stated.get(field, value) != value:
                raise CheckpointError(
                    f"{source}: {field} must be {value}, got {stated[field]}; this model is not supported"
                )
        for field, attribute in TOLD_TWICE.items():
            value = getattr(config, attribute)
            if stated.get(field, value) != value:
                raise CheckpointError(
                    f"{source}: {field} is {stated[field]}, but the tensors make {value}; the file is incomplete or "
                    "the config is of another model"
                )
    return config


def statements(file: WeightFile) -> list[tuple[str, Mapping[str, Any]]]:
    """(source, fields) of what is written about the model, the most specific first."""
    name = file.path.name
    found: list[tuple[str, Mapping[str, Any]]] = [("file metadata", file.metadata)]
    if "sana_wm.config" in file.metadata:
        source = f"metadata sana_wm.config of {name}"
        found.append((source, json_object(file.metadata["sana_wm.config"], source)))
    # A folder of many models may hold a config.json of one of the others.
    if str(file.config.get("_class_name", "Sana")).startswith("Sana"):
        found.append((f"config.json beside {name}", file.config))
    return found


def _from_shapes(file: WeightFile) -> DiTConfig:
    name, shapes = file.path.name, file.shapes
    blocks = {int(m[1]) for key in shapes if (m := re.match(r"blocks\.(\d+)\.", key))}
    depth = max(blocks, default=-1) + 1
    if len(blocks) != depth or not blocks:
        absent = [i for i in range(min(depth, MAX_DEPTH)) if i not in blocks]
        which = f"has blocks up to {depth - 1}, but not {some(map(str, absent))}" if blocks else "has no blocks"
        raise CheckpointError(f"{name} is incomplete: it {which}; download it again, with all its shards")
    softmax = [i for i in range(depth) if f"blocks.{i}.attn.conv_k.weight" not in shapes]
    heads = _cross_heads(file)
    try:
        config = _sized(shapes, depth, softmax, heads)
    except KeyError as error:
        raise CheckpointError(f"{name} is incomplete: it lacks {error.args[0]}; download it again") from error
    except (ValueError, IndexError, ArithmeticError) as error:
        decisive = ("x_embedder.proj.weight", "blocks.0.attn.A_log", "blocks.0.mlp.point_conv.conv.weight")
        sizes = ", ".join(f"{key} {shapes.get(key)}" for key in decisive)
        raise CheckpointError(
            f"{name} has SANA-WM's names, but no model has its sizes: {sizes} ({error}); choose another file"
        ) from error
    if softmax != [i for i in range(depth) if config.uses_softmax(i)]:
        raise CheckpointError(
            f"{name}: attn.conv_k.weight is absent from blocks {some(map(str, softmax))}, but must be from every n-th "
            "block and no other; the file is incomplete, download it again"
        )
    return config


def _sized(shapes: Mapping[str, tuple[int, ...]], depth: int, softmax: list[int], cross_heads: int | None) -> DiTConfig:
    # Where a host saved the model, convolutions are the matrices that they are here: (out, in * taps).
    hidden, channels, *patch = shapes["x_embedder.proj.weight"]
    t_conv = shapes["blocks.0.mlp.t_conv.weight"]
    gdn = next((i for i in range(depth) if i not in softmax), 0)
    head_dim = hidden // shapes[f"blocks.{gdn}.attn.A_log"][0]
    return DiTConfig(
        in_channels=channels,
        depth=depth,
        hidden_size=hidden,
        head_dim=head_dim,
        num_heads=cross_heads or hidden // head_dim,  # no shape tells; by default those of self-attention
        mlp_ratio=_ratio(shapes["blocks.0.mlp.point_conv.conv.weight"][1], hidden),
        caption_channels=shapes["y_embedder.y_proj.fc1.weight"][1],
        patch_size=tuple(patch) or (1, 1, 1),
        softmax_every_n=softmax[0] + 1 if softmax else depth + 1,
        conv_kernel_size=shapes[f"blocks.{gdn}.attn.conv_k.weight"][-1],
        t_kernel_size=math.prod(t_conv[1:]) // t_conv[0],
        plucker_channels=shapes["plucker_embedder.proj.weight"][1],
        plucker_blocks=sum(f"blocks.{i}.plucker_proj.weight" in shapes for i in range(depth)),
    )


def _ratio(inner: int, outer: int) -> float:
    """inner / outer, rounded so that int(outer * ratio) is inner again."""
    ratio = inner / outer
    return ratio if int(outer * ratio) == inner else math.nextafter(ratio, math.inf)


def _cross_heads(file: WeightFile) -> int | None:
    """Heads of cross-attention as written beside the weights."""
    for source, stated in statements(file):
        heads = stated.get("num_attention_heads")
        if heads is not None and (type(heads) is not int or heads < 1):
            raise CheckpointError(f"{source}: num_attention_heads must be a positive integer, got {heads!r}; mend it")
        if heads is not None:
            return heads
    return None


def _reference(file: WeightFile, chosen: str | None) -> Reference:
    if chosen is not None:
        return find_reference(chosen)
    try:
        return find_reference(file.metadata.get("sana_wm.reference", NVLABS.name))
    except ConfigError as error:
        raise CheckpointError(
            f"metadata sana_wm.reference of {file.path.name}: {error}; update the node pack or choose one by hand"
        ) from error
