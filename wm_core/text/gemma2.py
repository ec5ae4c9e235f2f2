"""The weights file of the text encoder: Gemma-2-2B and its tokenizer in one .safetensors, as ComfyUI stores it.

The network itself is the host's. This module reads the header only, so that a wrong choice is refused before five
gigabytes are read and with one sentence that says what the file is. A smaller Gemma-2 states its sizes in the header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

TOKENIZER_KEY = "spiece_model"
CONFIG_KEY = "sana_wm.text_config"  # metadata: the fields of a GemmaConfig as a JSON object
_SUFFIXES = (".safetensors", ".sft")
_PACKED_DTYPE = "U8"  # two 4-bit values a byte: the shape in the file is not the shape of the weight
_NAMED_KEYS = 8
_HOST_HEAD_DIM = 256  # the host fixes it for every Gemma-2
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


def stated_config(path: str | Path) -> GemmaConfig:
    """Sizes that the file states in its metadata `sana_wm.text_config`; Gemma-2-2B's if it states none.

    CheckpointError if the statement is not one. Whether the weights fit it is for check_text_encoder to say.
    """
    path = Path(path)
    text = _read_header(path)[1].get(CONFIG_KEY)
    if text is None:
        return GEMMA_2_2B
    try:
        given = json.loads(text)
    except ValueError as error:
        raise _misstated(path, f"no valid JSON ({error})") from error
    if not isinstance(given, dict):
        raise _misstated(path, f"a {type(given).__name__}")
    names = [field.name for field in fields(GemmaConfig)]
    if unknown := sorted(given.keys() - set(names)):
        raise _misstated(path, f"an unknown {_named(unknown)}")
    if missing := [name for name in names if name not in given]:
        raise _misstated(path, f"no {_named(missing)}")
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise _misstated(path, f"{name} {value!r}")
    config = GemmaConfig(**given)
    if config.head_dim != _HOST_HEAD_DIM:
        raise _misstated(path, f"head_dim {config.head_dim} where ComfyUI's Gemma-2 has {_HOST_HEAD_DIM}")
    if config.heads % config.kv_heads:
        raise _misstated(path, f"{config.heads} heads for {config.kv_heads} kv_heads")
    return config


def check_text_encoder(path: str | Path, config: GemmaConfig = GEMMA_2_2B) -> None:
    """CheckpointError unless the file holds every weight of `config` in its shape, and a sentencepiece tokenizer.

    Further keys (an output head, scales of quantised weights) are the host's business. Weights packed into bytes are
    checked by name only. Nothing but the header is read.
    """
    path = Path(path)
    header, _ = _read_header(path)
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


def _read_header(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...]]], Mapping[str, str]]:
    """Key -> dtype and shape, and the metadata."""
    if path.suffix.lower() not in _SUFFIXES:
        raise _refused(path, f"a {path.suffix or 'nameless'} file")
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            slices = {key: file.get_slice(key) for key in keys}
            described = {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}
            return described, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"text encoder file {path.name} cannot be read as safetensors ({error}), {_WANTED}; "
            "it may be truncated, download it again"
        ) from error


def _refused(path: Path, got: str) -> CheckpointError:
    return CheckpointError(f"text encoder file {path.name} is not usable: got {got}, {_WANTED}; {_NEXT}")


def _misstated(path: Path, got: str) -> CheckpointError:
    wanted = ", ".join(field.name for field in fields(GemmaConfig))
    return CheckpointError(
        f"metadata {CONFIG_KEY} of {path.name}: got {got}, wanted a JSON object of positive whole numbers {wanted}; "
        "update the node pack if the file is newer, else take the file from where it came again"
    )


def _named(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(keys[:_NAMED_KEYS]) + (", ..." if len(keys) > _NAMED_KEYS else "")
