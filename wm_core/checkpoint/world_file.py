"""What a stage-1 file says about itself: sizes from its shapes, the rest from metadata, config.json or its name.

Keys and shapes are the same for the bidirectional, the chunk-causal and the streaming model, so the regime comes, in
this order, from the caller, the file's metadata, a config beside it, and the file name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import NVLABS, RELEASED_SAMPLING, DiTConfig, Reference, SamplingConfig, find_reference
from ..errors import CheckpointError
from .files import WeightFile, open_weights, recognise
from .keymaps import WORLD_LAYOUTS
from .layouts import world_names

VARIANTS = ("bidirectional", "chunk-causal", "streaming")
FORMAT = "1"

# Where a config says which regime its weights are for: (field, pattern, variant), the first match counts.
_VARIANT_FIELDS = (
    ("sana_wm.variant", r"(.+)", None),
    ("attn_type", r"ChunkCausal.*", "chunk-causal"),
    ("ffn_type", r"Cached.*", "streaming"),
    ("architecture_name", r".*Streaming.*", "streaming"),
    ("streaming", r"True", "streaming"),
)
_VARIANT_NAMES = ((r".*chunk[-_]?causal.*", "chunk-causal"), (r".*stream.*", "streaming"))

# Fields of a diffusers config.json that change the arithmetic, with the values that this model has.
_REQUIRED = {
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


@dataclass(frozen=True)
class WorldInfo:
    """How a loaded world model is to be used; `source` tells what decided the variant."""

    name: str
    variant: str
    source: str
    layout: str
    sampling: SamplingConfig
    parameters: int


@dataclass(frozen=True, eq=False)
class WorldFile:
    """An opened stage-1 file: its weights are not read yet."""

    file: WeightFile
    config: DiTConfig
    info: WorldInfo
    names: Mapping[str, str]  # model parameter -> file key


def open_world(
    path: str | Path, *, config: DiTConfig | None = None, variant: str | None = None, reference: str | None = None
) -> WorldFile:
    """Open a stage-1 checkpoint and work out its configuration without reading weights.

    variant and reference override what the file says. CheckpointError if this is not a SANA-WM stage-1 file.
    """
    file = open_weights(path)
    layout = recognise(file.shapes)
    if layout not in WORLD_LAYOUTS:
        found = f"it looks like: {layout.name}; {layout.advice}" if layout else f"its keys begin {_first_keys(file)}"
        raise CheckpointError(f"{file.path.name} is not a SANA-WM stage-1 model ({found})")
    if variant is not None and variant not in VARIANTS:
        raise CheckpointError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    if config is None:
        _check_config(file)
        config = replace(_config_from_shapes(file), reference=_reference(file, reference))
    elif reference is not None:
        config = replace(config, reference=find_reference(reference))
    found, source = (variant, "your choice") if variant else find_variant(file)
    info = WorldInfo(
        name=file.path.stem,
        variant=found,
        source=source,
        layout=layout.name,
        sampling=_sampling(file),
        parameters=sum(_count(shape) for shape in file.shapes.values()),
    )
    return WorldFile(file, config, info, world_names(file.shapes, config))


def find_variant(file: WeightFile) -> tuple[str, str]:
    """(variant, what said so): metadata, then the config beside the file, then its name, then the released default."""
    for source, fields in (("file metadata", file.metadata), ("config.json", file.config or {})):
        for field, pattern, variant in _VARIANT_FIELDS:
            match = re.fullmatch(pattern, str(fields.get(field, "")))
            if match:
                variant = variant or match[1]
                if variant not in VARIANTS:
                    raise CheckpointError(f"{file.path.name}: {field} must be one of {', '.join(VARIANTS)}, got {variant}")
                return variant, source
    for name in (file.path.name.lower(), file.path.parent.name.lower()):
        for pattern, variant in _VARIANT_NAMES:
            if re.fullmatch(pattern, name):
                return variant, "file name"
    return "bidirectional", "default, nothing in the file says otherwise"


def _config_from_shapes(file: WeightFile) -> DiTConfig:
    shapes = file.shapes
    try:
        hidden, channels, *patch = shapes["x_embedder.proj.weight"]
        depth = 1 + max(int(m[1]) for k in shapes if (m := re.match(r"blocks\.(\d+)\.", k)))
        softmax = [i for i in range(depth) if f"blocks.{i}.attn.conv_k.weight" not in shapes]
        gdn = next(i for i in range(depth) if i not in softmax)
        config = DiTConfig(
            in_channels=channels,
            depth=depth,
            hidden_size=hidden,
            head_dim=hidden // shapes[f"blocks.{gdn}.attn.A_log"][0],
            num_heads=_cross_heads(file, hidden // shapes[f"blocks.{gdn}.attn.A_log"][0]),
            mlp_ratio=shapes["blocks.0.mlp.point_conv.conv.weight"][1] / hidden,
            caption_channels=shapes["y_embedder.y_proj.fc1.weight"][1],
            patch_size=tuple(patch) or (1, 1, 1),
            softmax_every_n=softmax[0] + 1 if softmax else depth + 1,
            conv_kernel_size=shapes[f"blocks.{gdn}.attn.conv_k.weight"][-1],
            t_kernel_size=shapes["blocks.0.mlp.t_conv.weight"][2],
            plucker_channels=shapes["plucker_embedder.proj.weight"][1],
            plucker_blocks=sum(f"blocks.{i}.plucker_proj.weight" in shapes for i in range(depth)),
        )
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise CheckpointError(
            f"{file.path.name} has the outer layers of a SANA-WM model but not its blocks ({error!r}); "
            "it is incomplete or only a part of a sharded checkpoint: choose the index or download it again"
        ) from error
    if softmax != [i for i in range(depth) if config.uses_softmax(i)]:
        raise CheckpointError(f"{file.path.name}: softmax blocks {softmax} do not recur evenly; not a SANA-WM layout")
    return config


def _cross_heads(file: WeightFile, head_dim: int) -> int:
    """Heads of cross-attention, which no shape tells; by default as wide as those of self-attention."""
    own = json.loads(file.metadata.get("sana_wm.config", "{}"))
    hidden = file.shapes["x_embedder.proj.weight"][0]
    return int({**(file.config or {}), **own}.get("num_attention_heads", hidden // head_dim))


def _check_config(file: WeightFile) -> None:
    for field, value in _REQUIRED.items():
        found = (file.config or {}).get(field, value)
        if found != value:
            raise CheckpointError(f"config.json beside {file.path.name}: {field} must be {value}, got {found}")


def _reference(file: WeightFile, chosen: str | None) -> Reference:
    name = chosen or file.metadata.get("sana_wm.reference")
    return find_reference(name) if name else NVLABS


def _sampling(file: WeightFile) -> SamplingConfig:
    try:
        return replace(RELEASED_SAMPLING, **json.loads(file.metadata.get("sana_wm.sampling", "{}")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{file.path.name}: metadata sana_wm.sampling is not understood ({error})") from error


def _first_keys(file: WeightFile) -> str:
    return ", ".join(sorted(file.shapes)[:3]) or "nowhere, it holds no tensors"


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
