"""What a stage-1 file says about itself: sizes from its shapes, the rest from metadata, config.json or its name.

Keys and shapes are the same for the bidirectional, the chunk-causal and the streaming model, so the regime comes, in
this order, from the caller, the file's metadata, a config beside it, and the names of the file and its folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..config import RELEASED_RECIPES, DiTConfig, SamplingConfig, find_reference
from ..errors import CheckpointError
from .files import WeightFile, json_object, open_weights, some
from .keymaps import OTHER_PARTS, WORLD_LAYOUTS
from .layouts import world_names
from .quantised import QuantisedLayer, split_quantised
from .recognition import recognise, refusal
from .world_config import statements, world_config

VARIANTS = tuple(RELEASED_RECIPES)
FORMAT = "1"  # of the sana_wm.* metadata

# Where a config says which regime its weights are for: (field, pattern, variant), the first match counts.
_VARIANT_FIELDS = (
    ("sana_wm.variant", r"(.+)", None),
    ("attn_type", r"ChunkCausal.*", "chunk-causal"),
    ("ffn_type", r"Chunk.*", "chunk-causal"),
    ("ffn_type", r"Cached.*", "streaming"),
    ("architecture_name", r".*Streaming.*", "streaming"),
    ("streaming", r"True", "streaming"),
)
_VARIANT_NAMES = ((r".*chunk[-_]?causal.*", "chunk-causal"), (r".*stream.*", "streaming"))
_INNER_FOLDERS = ("transformer", "dit", "sana_dit")  # of a released repository; the folder above has the name


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
    quantised: Mapping[str, QuantisedLayer] = field(default_factory=dict)  # by name in the file, see read_quantised


def open_world(
    path: str | Path, *, config: DiTConfig | None = None, variant: str | None = None, reference: str | None = None
) -> WorldFile:
    """Open a stage-1 checkpoint and work out its configuration without reading weights.

    variant and reference override what the file says. CheckpointError if this is not a SANA-WM stage-1 file.
    """
    if variant is not None and variant not in VARIANTS:
        raise CheckpointError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    file = open_weights(path, WORLD_LAYOUTS)
    layout = recognise(file.shapes)
    if layout not in WORLD_LAYOUTS:
        raise refusal(file.path, [*file.shapes, *file.outside], WORLD_LAYOUTS)
    _check_format(file)
    _check_outside(file)
    file, quantised = split_quantised(file)
    if config is None:
        config = world_config(file, reference)
    elif reference is not None:
        config = replace(config, reference=find_reference(reference))
    found, source = (variant, "your choice") if variant else find_variant(file)
    info = WorldInfo(
        name=file.path.name.split(".safetensors")[0],
        variant=found,
        source=source,
        layout=layout.name,
        sampling=_sampling(file, found),
        parameters=sum(math.prod(shape) for shape in file.shapes.values()),
    )
    return WorldFile(file, config, info, world_names(file.shapes, config, file.path.name), quantised)


def find_variant(file: WeightFile) -> tuple[str, str]:
    """(variant, what said so): metadata, then the config beside the file, then its name, then the released default."""
    for source, stated in statements(file):
        for key, pattern, variant in _VARIANT_FIELDS:
            match = re.fullmatch(pattern, str(stated.get(key, "")))
            if match:
                variant = variant or match[1]
                if variant not in VARIANTS:
                    raise CheckpointError(
                        f"{file.path.name}: {key} in {source} must be one of {', '.join(VARIANTS)}, got {variant!r}; "
                        "choose the variant by hand"
                    )
                return variant, source
    folder = file.path.absolute().parent
    if folder.name in _INNER_FOLDERS:
        folder = folder.parent
    for source, name in (("file name", file.path.name), ("folder name", folder.name)):
        for pattern, variant in _VARIANT_NAMES:
            if re.fullmatch(pattern, name.lower()):
                return variant, source
    return "bidirectional", "default, nothing in the file says otherwise"


def _check_format(file: WeightFile) -> None:
    found = file.metadata.get("sana_wm.format", FORMAT)
    if found != FORMAT:
        raise CheckpointError(
            f"{file.path.name}: metadata sana_wm.format must be {FORMAT}, got {found!r}; the file is newer than this "
            "node pack, update it"
        )


def _check_outside(file: WeightFile) -> None:
    """Other models may lie in the same file, but not single tensors that could be this one's."""
    stray = [key for key in file.outside if not key.startswith(OTHER_PARTS)]
    if stray:
        raise CheckpointError(
            f"{file.path.name} holds the model under the prefix {file.prefix!r} and {len(stray)} keys without it: "
            f"{some(stray)}; the file mixes two layouts, choose a file of one"
        )


def _sampling(file: WeightFile, variant: str) -> SamplingConfig:
    """The released recipe of the variant, with what the file's metadata replaces."""
    source = f"metadata sana_wm.sampling of {file.path.name}"
    given = json_object(file.metadata.get("sana_wm.sampling", "{}"), source)
    kinds = {field.name: type(field.default) for field in fields(SamplingConfig)}
    for name, value in given.items():
        if name not in kinds:
            raise CheckpointError(
                f"{source}: {name} must be one of {', '.join(kinds)}; update the node pack or remove it"
            )
        if type(value) is int and kinds[name] is float:
            given[name] = float(value)
        elif type(value) is not kinds[name]:
            raise CheckpointError(f"{source}: {name} must be {kinds[name].__name__}, got {value!r}")
    return replace(RELEASED_RECIPES[variant], **given)
