"""The weights file of the text encoder: Gemma-2-2B and its tokenizer in one .safetensors, as ComfyUI stores it.

The network itself is the host's. This module reads the header only, so that a wrong choice is refused before five
gigabytes are read and with one sentence that says what the file is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

TOKENIZER_KEY = "spiece_model"
_SUFFIXES = (".safetensors", ".sft")
_PACKED_DTYPE = "U8"  # two 4-bit values a byte: the shape in the file is not the shape of the weight
_NAMED_KEYS = 8
_WANTED = "wanted Gemma-2-2B with its tokenizer in one file"
_NEXT = "put ComfyUI's single-file gemma_2_2b_fp16.safetensors into models/text_encoders and choose that"


@dataclass(frozen=True)
class GemmaConfig:
    """Sizes of a Gemma-2 language model; the defaults are Gemma-2-2B. Gemma 2 (arXiv 2408.00118) table 1."""

    vocab_size: int = 256000
    hidden_size: int = 2304
    intermediate_size: int = 9216
    layers: int = 26
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 256


GEMMA_2_2B = GemmaConfig()


def gemma_weight_shapes(config: GemmaConfig = GEMMA_2_2B) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight that the encoder needs; the output head is not among them."""
    wide, heads, kv_heads = config.hidden_size, config.heads * config.head_dim, config.kv_heads * config.head_dim
    layer = {
        "input_layernorm": (wide,),
        "post_attention_layernorm": (wide,),
        "pre_feedforward_layernorm": (wide,),
        "post_feedforward_layernorm": (wide,),
        "self_attn.q_proj": (heads, wide),
        "self_attn.k_proj": (kv_heads, wide),
        "self_attn.v_proj": (kv_heads, wide),
        "self_attn.o_proj": (wide, heads),
        "mlp.gate_proj": (config.intermediate_size, wide),
        "mlp.up_proj": (config.intermediate_size, wide),
        "mlp.down_proj": (wide, config.intermediate_size),
    }
    shapes = {"model.embed_tokens.weight": (config.vocab_size, wide), "model.norm.weight": (wide,)}
    for index in range(config.layers):
        shapes |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def check_text_encoder(path: str | Path, config: GemmaConfig = GEMMA_2_2B) -> None:
    """CheckpointError unless the file holds every weight of `config` in its shape, and a sentencepiece tokenizer.

    Further keys (an output head, scales of quantised weights) are the host's business. Weights packed into bytes are
    checked by name only. Nothing but the header is read.
    """
    path = Path(path)
    header = _read_header(path)
    wanted = gemma_weight_shapes(config)
    if not wanted.keys() & header.keys():
        raise _refused(path, f"{len(header)} other tensors such as {_named(header)}")
    if "model.layers.0.self_attn.q_norm.weight" in header:
        raise _refused(path, "a Gemma 3 model")
    if missing := [key for key in wanted if key not in header]:
        raise _refused(path, f"{len(missing)} of its weights missing: {_named(missing)}")
    layers = {int(found[1]) for key in header if (found := re.match(r"model\.layers\.(\d+)\.", key))}
    if len(layers) != config.layers:
        raise _refused(path, f"a larger model of {len(layers)} layers")
    for key, shape in wanted.items():
        dtype, got = header[key]
        if dtype != _PACKED_DTYPE and got != shape:
            raise _refused(path, f"{key} of shape {got} instead of {shape}")
    dtype, got = header.get(TOKENIZER_KEY, ("", ()))
    if dtype != "U8" or len(got) != 1:
        raise _refused(path, f"the weights without a tokenizer (a byte tensor {TOKENIZER_KEY!r})")


def _read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    if path.suffix.lower() not in _SUFFIXES:
        raise _refused(path, f"a {path.suffix or 'nameless'} file")
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            slices = {key: file.get_slice(key) for key in keys}
            return {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"text encoder file {path.name} cannot be read as safetensors ({error}), {_WANTED}; "
            "it may be truncated, download it again"
        ) from error


def _refused(path: Path, got: str) -> CheckpointError:
    return CheckpointError(f"text encoder file {path.name} is not usable: got {got}, {_WANTED}; {_NEXT}")


def _named(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(keys[:_NAMED_KEYS]) + (", ..." if len(keys) > _NAMED_KEYS else "")
