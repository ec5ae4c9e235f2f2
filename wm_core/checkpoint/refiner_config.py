"""What a refiner's file says about itself: sizes from its shapes, heads and rotary positions from what is written beside them.

Diffusers writes a config.json; an original LTX-2 file carries JSON in its metadata key `config`, whose section
`transformer` has other names for the same things. Both rotary kinds have equal shapes, so the kind must be stated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import ConnectorConfig, RefinerConfig
from ..errors import CheckpointError, ConfigError
from ..shapes import Stride
from .files import WeightFile, json_object

CONFIG_KEY, CONNECTOR_KEY = "sana_wm.refiner_config", "sana_wm.connector_config"  # metadata of our own files

# Values that this model has; others belong to LTX-2.3 and later. diffusers names, then original ones.
REQUIRED: Mapping[str, Any] = {
    "patch_size": 1,
    "patch_size_t": 1,
    "gated_attn": False,
    "cross_attn_mod": False,
    "attention_bias": True,
    "attention_out_bias": True,
    "ff_bias": True,
    "perturbed_attn": False,
    "qk_norm": "rms_norm_across_heads",
    "activation_fn": "gelu-approximate",
    "norm_elementwise_affine": False,
    "causal_offset": 1,
    "use_keyframes_abs_pos_embedding": False,
    "apply_gated_attention": False,
    "cross_attention_adaln": False,
    "caption_proj_before_connector": False,
    "per_modality_projections": False,
    "video_gated_attn": False,
    "connector_apply_gated_attention": False,
    "timestep_scale_multiplier": 1000,
}
DOUBLE = {"float64": True, "float32": False}


@dataclass(frozen=True)
class Statement:
    """Fields as diffusers or the original names them, and where they stand."""

    source: str
    fields: Mapping[str, Any]

    def number(self, *names: str, default: Any = None) -> Any:
        return next((self.fields[name] for name in names if name in self.fields), default)


def refiner_config(file: WeightFile, names: Mapping[str, str], rope: str | None) -> tuple[RefinerConfig, str]:
    """The configuration and where its rotary kind was read. rope: chosen by hand, which overrides what is stated."""
    told = _statement(file, CONFIG_KEY, "transformer", r"(SanaWM)?LTX2\w*Transformer\w*")
    _check_supported(told)
    shapes = {name: file.shapes[key] for name, key in names.items()}
    try:
        hidden, channels = shapes["proj_in.weight"]
        heads = told.number("num_attention_heads", default=max(1, hidden // 128))
        base = [told.number(field, default=2048) for field in ("base_height", "base_width")]
        span = told.number(
            "positional_embedding_max_pos", default=[told.number("pos_embed_max_pos", default=20), *base]
        )
        precision = told.number("frequencies_precision", default="float64")
        config = RefinerConfig(
            rope=_rope(file, told, rope),
            in_channels=channels,
            out_channels=shapes["proj_out.weight"][0],
            depth=_depth(shapes, r"transformer_blocks\.(\d+)\."),
            num_heads=heads,
            head_dim=hidden // heads,
            mlp_ratio=shapes["transformer_blocks.0.ff.net.0.proj.weight"][0] // hidden,
            caption_channels=shapes["caption_projection.linear_1.weight"][1],
            norm_eps=told.number("norm_eps", default=1e-6),
            rope_theta=told.number("rope_theta", "positional_embedding_theta", default=10000.0),
            rope_span=tuple(float(extent) for extent in span),
            rope_double=told.number("rope_double_precision", default=DOUBLE[precision]),
            stride=Stride(*told.number("vae_scale_factors", default=(8, 32, 32))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_understood(file, told, error) from error
    _check_told_twice(told, {"num_layers": config.depth, "attention_head_dim": config.head_dim})
    return config, "chosen" if rope else told.source


def connector_config(file: WeightFile, names: Mapping[str, str], rope: str | None) -> tuple[ConnectorConfig, str]:
    """The same for the text connectors."""
    told = _statement(file, CONNECTOR_KEY, "transformer", r"LTX2TextConnectors")
    _check_supported(told)
    shapes = {name: file.shapes[key] for name, key in names.items()}
    registers = shapes.get("video_connector.learnable_registers", (0,))[0]
    span = told.number("connector_positional_embedding_max_pos", default=[4096])
    try:
        channels, packed = shapes["text_proj_in.weight"]
        heads = told.number(
            "video_connector_num_attention_heads", "connector_num_attention_heads", default=channels // 128
        )
        config = ConnectorConfig(
            rope=_rope(file, told, rope),
            caption_channels=channels,
            encoder_layers=packed // channels,
            depth=_depth(shapes, r"video_connector\.transformer_blocks\.(\d+)\."),
            num_heads=heads,
            head_dim=channels // heads,
            registers=registers,
            mlp_ratio=shapes["video_connector.transformer_blocks.0.ff.net.0.proj.weight"][0] // channels,
            rope_theta=told.number("rope_theta", "positional_embedding_theta", default=10000.0),
            rope_span=float(told.number("connector_rope_base_seq_len", default=span[0])),
            rope_double=told.number(
                "rope_double_precision", default=DOUBLE[told.number("frequencies_precision", default="float64")]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_understood(file, told, error) from error
    return config, "chosen" if rope else told.source


def _statement(file: WeightFile, own: str, section: str, classes: str) -> Statement:
    """From the most specific source that there is: our metadata, an original file's, a config.json of the class."""
    name = file.path.name
    if own in file.metadata:
        source = f"metadata {own} of {name}"
        return Statement(source, json_object(file.metadata[own], source))
    if "config" in file.metadata:
        source = f"metadata config of {name}"
        found = json_object(file.metadata["config"], source).get(section)
        if isinstance(found, dict):
            return Statement(f"{source}, section {section}", found)
    if re.fullmatch(classes, str(file.config.get("_class_name", ""))):
        return Statement(f"config.json beside {name}", file.config)
    return Statement("", {})


def _rope(file: WeightFile, told: Statement, chosen: str | None) -> str:
    kind = chosen or told.number("rope_type")
    if kind is None:
        raise CheckpointError(
            f"nothing says which channels {file.path.name} turns together: put the config.json of its release beside it, "
            "or choose rope under advanced (SANA-WM's refiner: split). The wrong kind gives a still picture of mush"
        )
    return str(kind).lower()


def _check_supported(told: Statement) -> None:
    for field, value in REQUIRED.items():
        if told.number(field, default=value) != value:
            raise CheckpointError(
                f"{told.source}: {field} must be {value}, got {told.fields[field]}; this is LTX-2.3 or later, which "
                "SANA-WM was not trained with: take the refiner of the SANA-WM release"
            )


def _check_told_twice(told: Statement, counts: Mapping[str, int]) -> None:
    for field, value in counts.items():
        if told.number(field, default=value) != value:
            raise CheckpointError(
                f"{told.source}: {field} is {told.fields[field]}, but the tensors make {value}; the file is incomplete or "
                "the config is of another model"
            )


def _depth(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    blocks = {int(found[1]) for name in shapes if (found := re.match(pattern, name))}
    if blocks != set(range(len(blocks))) or not blocks:
        raise ValueError(f"its blocks are {sorted(blocks)[:8]}, not 0 and up without a gap")
    return len(blocks)


def _not_understood(file: WeightFile, told: Statement, error: Exception) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    what = f"it lacks {error.args[0]}" if isinstance(error, KeyError) else str(error)
    where = f" ({told.source})" if isinstance(error, ConfigError) and told.source else ""
    return CheckpointError(f"{file.path.name}{where} is not understood: {what}; download it again, with all its shards")
