"""Write a tiny refiner with random weights in every layout that the released one is found in.

    python3 -m tools.make_tiny_refiner MODELS

REFINERS is the list. Each has an audio half like LTX-2's, which must never be read. The connectors fit the tiny text encoder
of tools.make_tiny_gemma3, the latents those of tools.make_streaming_models. The same bytes every time, each under 1 MB.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from wm_core.config import ConnectorConfig, RefinerConfig
from wm_core.refiner import TextConnector, VideoRefiner

from .make_name_lists import original_connector_name, original_refiner_name
from .reproducible import write_safetensors

REFINER = RefinerConfig("split", in_channels=8, out_channels=8, depth=3, num_heads=2, head_dim=16, caption_channels=32)
CONNECTOR = ConnectorConfig("split", caption_channels=32, encoder_layers=8, num_heads=4, head_dim=8, registers=128)
FILE = "diffusion_pytorch_model.safetensors"
AUDIO = {  # names of the audio half, some of each kind
    "audio_proj_in.weight": (8, 8),
    "audio_time_embed.linear.weight": (48, 8),
    "av_cross_attn_video_scale_shift.linear.weight": (128, 32),
    "av_cross_attn_video_a2v_gate.linear.bias": (32,),
    "transformer_blocks.0.audio_attn1.to_q.weight": (8, 8),
    "transformer_blocks.0.audio_to_video_attn.to_k.weight": (32, 8),
    "transformer_blocks.0.video_to_audio_attn.norm_q.weight": (8,),
    "transformer_blocks.0.video_a2v_cross_attn_scale_shift_table": (5, 32),
}
AUDIO_CONNECTOR = {"audio_connector.learnable_registers": (4, 8)}


@dataclass(frozen=True)
class TinyRefiner:
    """Where the transformer and the connectors lie below a models folder, and how they are written."""

    transformer: str
    connectors: str | None  # None: in the transformer's file
    original: bool = False
    shards: int = 1
    stated: str = "config.json"  # or metadata: where the configuration is; "": nowhere
    class_name: str = "SanaWMLTX2RefinerTransformer3DModel"
    dtype: torch.dtype = torch.float32
    metadata: Mapping[str, str] = field(default_factory=dict)


REFINERS = {
    "diffusers": TinyRefiner(
        f"diffusion_models/sana_wm_refiner/transformer/{FILE}", f"diffusion_models/sana_wm_refiner/connectors/{FILE}"
    ),
    "sharded": TinyRefiner(
        f"diffusion_models/sharded/transformer/{FILE}", f"diffusion_models/sharded/connectors/{FILE}", shards=3
    ),
    "as_stock": TinyRefiner(
        f"diffusion_models/plain/transformer/{FILE}",
        f"diffusion_models/plain/connectors/{FILE}",
        class_name="LTX2VideoTransformer3DModel",
    ),
    "original": TinyRefiner("checkpoints/ltx-2-19b-dev.safetensors", None, original=True, stated="metadata"),
    "bf16": TinyRefiner(
        f"diffusion_models/sana_wm_bf16/transformer/{FILE}",
        f"diffusion_models/sana_wm_bf16/connectors/{FILE}",
        dtype=torch.bfloat16,
    ),
    "unstated": TinyRefiner(
        "diffusion_models/bare/sana_wm_refiner.safetensors", "diffusion_models/bare/connectors.safetensors", stated=""
    ),
}


def write_refiner(models: Path, row: TinyRefiner, seed: int = 0) -> Path:
    """Transformer and connectors of one row; the path to open."""
    refiner = drawn(VideoRefiner(REFINER), seed).state_dict() | _zeros(AUDIO)
    connector = drawn(TextConnector(CONNECTOR), seed + 1).state_dict() | _zeros(AUDIO_CONNECTOR)
    refiner, connector = ({k: v.to(row.dtype) for k, v in w.items()} for w in (refiner, connector))
    path = models / row.transformer
    if row.original:
        both = {original_refiner_name(k): v for k, v in refiner.items()}
        both |= {original_connector_name(k): v for k, v in connector.items()}
        write_safetensors(path, both, {"config": json.dumps({"transformer": _original_config()}), **row.metadata})
        return path
    opened = _write_sharded(path, refiner, row)
    write_safetensors(models / row.connectors, connector, {})
    if row.stated == "config.json":
        (path.parent / "config.json").write_text(json.dumps(_transformer_config(row.class_name), indent=2) + "\n")
        (models / row.connectors).with_name("config.json").write_text(json.dumps(_connector_config(), indent=2) + "\n")
    return opened


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """Every parameter drawn, also those that training starts from zero."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            centre = 1.0 if ".norm_" in name else 0.0
            spread = 0.3 if p.ndim < 2 else p[0].numel() ** -0.5
            p.copy_(centre + spread * torch.randn(p.shape, generator=g))
    return model


def _write_sharded(path: Path, tensors: dict[str, Tensor], row: TinyRefiner) -> Path:
    if row.shards == 1:
        write_safetensors(path, tensors, row.metadata)
        return path
    names = sorted(tensors)
    files = {
        f"{path.stem}-{i + 1:05}-of-{row.shards:05}.safetensors": names[i :: row.shards] for i in range(row.shards)
    }
    for file, keys in files.items():
        write_safetensors(path.with_name(file), {key: tensors[key] for key in keys}, row.metadata)
    index = path.with_name(path.name + ".index.json")
    weight_map = {key: file for file, keys in files.items() for key in keys}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}, indent=2, sort_keys=True) + "\n")
    return index


def _transformer_config(class_name: str) -> dict:
    return {
        "_class_name": class_name,
        "attention_head_dim": REFINER.head_dim,
        "caption_channels": REFINER.caption_channels,
        "in_channels": REFINER.in_channels,
        "num_attention_heads": REFINER.num_heads,
        "num_layers": REFINER.depth,
        "rope_type": REFINER.rope,
    }


def _connector_config() -> dict:
    return {
        "_class_name": "LTX2TextConnectors",
        "caption_channels": CONNECTOR.caption_channels,
        "connector_rope_base_seq_len": int(CONNECTOR.rope_span),
        "rope_type": CONNECTOR.rope,
        "text_proj_in_factor": CONNECTOR.encoder_layers,
        "video_connector_num_attention_heads": CONNECTOR.num_heads,
    }


def _original_config() -> dict:
    return {
        "attention_head_dim": REFINER.head_dim,
        "connector_num_attention_heads": CONNECTOR.num_heads,
        "frequencies_precision": "float64",
        "num_attention_heads": REFINER.num_heads,
        "num_layers": REFINER.depth,
        "positional_embedding_max_pos": [20, 2048, 2048],
        "rope_type": REFINER.rope,
    }


def _zeros(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    arguments = parser.parse_args()
    for tiny in REFINERS.values():
        write_refiner(arguments.models, tiny)
