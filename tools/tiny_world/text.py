"""The tiny world's text encoder: a Gemma-2 of 0.15 M parameters and its tokenizer, in one file as ComfyUI stores them.

The soft caps are off, because the host leaves them out; a head has 256 channels, because the host fixes that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, Gemma2Config, Gemma2Model

from tools.make_tiny_gemma3 import tiny_sentencepiece
from tools.reproducible import write_safetensors
from wm_core.text import INSTRUCTION, TEXT_TOKENS, GemmaConfig, gemma_weight_shapes, stated_config, with_instruction
from wm_core.text.gemma2 import TOKENIZER_KEY
from wm_core.text.prompts import PAD_TOKEN
from wm_core.tiny_world import GROUNDS, SKIES, TIMES

from .captions import every_part

PIECES = 480  # in steps of 16 the fewest with which every scene word is one piece, first in a text or after a space
TEXT_FILE = "text.safetensors"  # the exported encoder, in the folder of a training
TINY_GEMMA2 = GemmaConfig(PIECES, hidden_size=48, intermediate_size=96, layers=2, heads=1, kv_heads=1, head_dim=256)
ABOUT = {
    "modelspec.title": "SANA-WM tiny world text encoder (toy)",
    "modelspec.description": "0.15M-parameter Gemma-2 for the toy world model of the same name. It knows a few scene "
    f"words and no others: ground {', '.join(GROUNDS)}; sky {', '.join(SKIES)}; time {', '.join(TIMES)}.",
    "modelspec.license": "Apache-2.0",
}
_BATCH = 128  # captions that are encoded at a time

Tokenize = Callable[[str], list[int]]
Keys = list[tuple[Tensor, Tensor]]  # keys and values (1, heads, l, 256) of every layer


@cache
def make_tokenizer() -> bytes:
    """The sentencepiece model of the captions' parts and the instruction; bytes stand in for every other character."""
    parts = [text for part in every_part() for text in (part, f" {part}")]
    return tiny_sentencepiece((*INSTRUCTION.split("\n"), *parts * 2), PIECES)


def tokenize_with(spiece: bytes) -> Tokenize:
    """text -> ids, BOS first, no EOS: as the host reads a Gemma's sentencepiece model."""
    return SentencePieceProcessor(model_proto=spiece, add_bos=True, add_eos=False).encode


def gemma2(config: GemmaConfig) -> Gemma2Model:
    """The network of a config as the host runs it, with random weights."""
    sizes = Gemma2Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_dim,
        query_pre_attn_scalar=config.head_dim,
        layer_types=["full_attention"] * config.layers,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        attn_implementation="eager",
    )
    return Gemma2Model(sizes)


@dataclass(frozen=True, eq=False)
class Opening:
    """The tokens that all prompts begin with and do not pass on, read once: the state of BOS (1, d), and the keys."""

    ids: tuple[int, ...]
    bos: Tensor
    keys: Keys


def instruction_ids(tokenize: Tokenize) -> tuple[int, ...]:
    """BOS and the instruction without its last space, which becomes part of the prompt's first word."""
    return tuple(tokenize(INSTRUCTION)[:-1])


def read_opening(model: Gemma2Model, ids: Sequence[int]) -> Opening:
    states = model(input_ids=torch.tensor([ids], device=model.device), past_key_values=DynamicCache(), use_cache=True)
    keys = [(layer.keys, layer.values) for layer in states.past_key_values.layers]
    return Opening(tuple(ids), states.last_hidden_state[0, :1], keys)


def read_on(model: Gemma2Model, opening: Opening, ids: Tensor) -> Tensor:
    """States (b, l, d) of the right-padded ids (b, l) that follow the opening."""
    keys = [tuple(part.expand(len(ids), -1, -1, -1) for part in layer) for layer in opening.keys]
    return model(input_ids=ids, past_key_values=DynamicCache(keys), use_cache=True).last_hidden_state


@torch.no_grad()
def encode_captions(file: str | Path, captions: Sequence[str]) -> list[Tensor]:
    """What SANA-WM Text Encode makes of each caption with the encoder of `file`: the tokens that count, (l, d) float32.

    A caption that is there twice gives the same tensor twice. It must not begin with an instruction of its own.
    """
    model, tokenize = open_encoder(file)
    opening = read_opening(model, instruction_ids(tokenize))
    made = {caption: opening.bos for caption in captions if not caption.strip()}
    rest = {caption: _following(opening, tokenize(with_instruction(caption))) for caption in {*captions} - {*made}}
    by_length = sorted(rest, key=lambda caption: (len(rest[caption]), caption))
    for start in range(0, len(by_length), _BATCH):
        batch = by_length[start : start + _BATCH]
        states = read_on(model, opening, padded([rest[caption] for caption in batch]))
        for caption, state in zip(batch, states, strict=True):
            made[caption] = torch.cat((opening.bos, state[: len(rest[caption])]))
    return [made[caption] for caption in captions]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """(b, l) of the longest."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD_TOKEN)


def padded_states(prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """States (b, l, d) of prompts (l, d) each, and which of them count, (b, l)."""
    length = torch.tensor([len(prompt) for prompt in prompts])
    text = pad_sequence(list(prompts), batch_first=True)
    return text, torch.arange(text.shape[1]) < length[:, None]


def open_encoder(file: str | Path) -> tuple[Gemma2Model, Tokenize]:
    """An exported file's network, in float32, and its tokenizer."""
    model = gemma2(stated_config(file)).eval()
    weights = load_file(file)
    spiece = weights.pop(TOKENIZER_KEY).numpy().tobytes()
    model.load_state_dict({name.removeprefix("model."): weight.float() for name, weight in weights.items()})
    return model, tokenize_with(spiece)


def export_text(folder: Path, target: Path) -> None:
    """Write the encoder that the stage `text` left in `folder` as one file for models/text_encoders."""
    content = torch.load(folder / "text.pt", weights_only=True, map_location="cpu")
    write_encoder(target, content["modules"]["encoder"])


def write_encoder(target: Path, weights: Mapping[str, Tensor], config: GemmaConfig = TINY_GEMMA2) -> None:
    """weights: as Gemma2Model names them. fp16; the same bytes for the same weights."""
    tensors = {name: _halved(weights[name.removeprefix("model.")]) for name in gemma_weight_shapes(config)}
    tensors[TOKENIZER_KEY] = torch.frombuffer(bytearray(make_tokenizer()), dtype=torch.uint8)
    metadata = {"sana_wm.format": "1", "sana_wm.text_config": json.dumps(asdict(config))}
    write_safetensors(target, tensors, ABOUT | metadata)


def _halved(weight: Tensor) -> Tensor:
    """fp16. The host adds 1 to a norm in fp16, others in float32: rounded so that both give the same."""
    weight = weight.cpu()
    return ((1 + weight).half() - 1).half() if weight.ndim == 1 else weight.half()


def _following(opening: Opening, ids: Sequence[int]) -> list[int]:
    """The prompt's own tokens, as many as are used."""
    cut = len(opening.ids)
    if tuple(ids[:cut]) != opening.ids:
        raise ValueError(
            "a caption changes the tokens of the instruction before it; do not begin it with one of its own"
        )
    return list(ids[cut : cut + TEXT_TOKENS - 1])
