"""Write a tiny Gemma-3 with random weights in every layout that the refiner's text encoder comes in.

    python3 -m tools.make_tiny_gemma3 FOLDER

FOLDERS and SINGLE_FILE are the list. The same bytes every time, each below 1 MB.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from wm_core.text import GemmaConfig, gemma3_weight_shapes

from .reproducible import write_safetensors

VOCABULARY = 480
TINY_GEMMA3 = GemmaConfig(VOCABULARY, hidden_size=32, intermediate_size=40, layers=7, heads=4, kv_heads=2, head_dim=16)
# What the host knows Gemma-3-12B by, 48 layers, and what it fixes, heads of 256 channels.
TINY_FILE_GEMMA3 = GemmaConfig(
    VOCABULARY, hidden_size=8, intermediate_size=8, layers=48, heads=1, kv_heads=1, head_dim=256
)
SLIDING_WINDOW = 12  # tokens: short, so that a prompt of a test goes beyond it
SINGLE_FILE = "comfyui/tiny_gemma_3.safetensors"
VISION = {
    "multi_modal_projector.mm_input_projection_weight": (8, 32),
    "vision_tower.vision_model.embeddings.patch_embedding.weight": (8, 3, 4, 4),
    "vision_tower.vision_model.post_layernorm.weight": (8,),
}
TOKENIZER_JSON, TOKENIZER_MODEL = "tokenizer.json", "tokenizer.model"


@dataclass(frozen=True)
class TinyFolder:
    """A folder of transformers. prefix: before the names of the language model."""

    path: str
    prefix: str
    shards: int = 1
    has_vision: bool = True
    tokenizers: tuple[str, ...] = (TOKENIZER_JSON, TOKENIZER_MODEL)


FOLDERS = {
    "released": TinyFolder("released/text_encoder", "language_model.model.", shards=3),
    "newer": TinyFolder("newer", "model.language_model.", tokenizers=(TOKENIZER_JSON,)),
    "text_only": TinyFolder("text_only", "model.", has_vision=False, tokenizers=(TOKENIZER_MODEL,)),
    "text_only_sharded": TinyFolder("text_only_sharded", "model.", shards=2, has_vision=False),
}


def make_tiny_gemma3(folder: Path) -> None:
    """Write every row of FOLDERS, and SINGLE_FILE, below `folder`."""
    for row in FOLDERS.values():
        write_folder(folder, row)
    write_single_file(folder / SINGLE_FILE)


def write_folder(folder: Path, row: TinyFolder) -> Path:
    """One folder, its vision tower in a shard of its own if there are several; where it is."""
    target = folder / row.path
    weights = {row.prefix + key.removeprefix("model."): tensor for key, tensor in tiny_weights(TINY_GEMMA3).items()}
    files = _split(weights, row.shards - row.has_vision) if row.shards > 1 else [weights]
    if row.has_vision:
        tower = _drawn(VISION, seed=2)
        prefix = "model." if row.prefix.startswith("model.") else ""
        files[-1:] = [files[-1], {}] if row.shards > 1 else files[-1:]
        files[-1] |= {prefix + key: tensor for key, tensor in tower.items()}
    names = [f"model-{i + 1:05}-of-{row.shards:05}.safetensors" for i in range(row.shards)]
    for name, tensors in zip(names if row.shards > 1 else ["model.safetensors"], files, strict=True):
        write_safetensors(target / name, tensors, {"format": "pt"})
    if row.shards > 1:
        places = {key: name for name, tensors in zip(names, files, strict=True) for key in tensors}
        _write_json(target / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    _write_json(target / "config.json", config_json(row.has_vision))
    for name in row.tokenizers:
        (target / name).write_bytes(tiny_sentencepiece() if name == TOKENIZER_MODEL else tiny_tokenizer_json())
    return target


def write_single_file(path: Path, config: GemmaConfig = TINY_FILE_GEMMA3) -> None:
    """ComfyUI's layout: names as in a model of text alone, the sentencepiece model as bytes among the tensors."""
    spiece = torch.frombuffer(bytearray(tiny_sentencepiece()), dtype=torch.uint8)
    write_safetensors(path, tiny_weights(config) | {"spiece_model": spiece}, {"format": "pt"})


def tiny_weights(config: GemmaConfig) -> dict[str, Tensor]:
    """bf16, large enough that every layer changes the result."""
    return _drawn(gemma3_weight_shapes(config), seed=1)


def config_json(has_vision: bool, config: GemmaConfig = TINY_GEMMA3) -> dict:
    """As google's release states it: nested if there is a vision tower."""
    text = {
        "model_type": "gemma3_text",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "query_pre_attn_scalar": 24,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": SLIDING_WINDOW,
    }
    if not has_vision:
        return {"architectures": ["Gemma3ForCausalLM"], **text}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 8, "num_hidden_layers": 1, "image_size": 8}
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": text,
        "vision_config": vision,
    }


SENTENCES = (
    "a small robot walks slowly through the forest",
    "the camera moves forward and turns left",
    "a lighthouse on a cliff above the sea, waves roll in, gulls circle, the sun sets behind clouds",
    "cinematic wide shot of an old train station at dawn; mist, warm light, wet cobblestones",
)


@cache
def tiny_sentencepiece(sentences: tuple[str, ...] = SENTENCES, pieces: int = VOCABULARY) -> bytes:
    """A sentencepiece model of so many pieces with Gemma's special ids and settings, trained on the sentences."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 3),
        model_writer=model,
        vocab_size=pieces,
        model_type="bpe",
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@cache
def tiny_tokenizer_json() -> bytes:
    """The same pieces as the `tokenizers` package writes them: merges in the order in which they were learnt."""
    from sentencepiece import SentencePieceProcessor
    from tokenizers import AddedToken, Tokenizer, models, normalizers, processors

    pieces = SentencePieceProcessor(model_proto=tiny_sentencepiece())
    vocabulary = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    merges = [
        (piece[:cut], piece[cut:])
        for piece, i in vocabulary.items()
        if not (pieces.is_control(i) or pieces.is_byte(i) or pieces.is_unknown(i))
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.add_special_tokens([AddedToken(x, special=True) for x in ("<pad>", "<eos>", "<bos>", "<unk>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return tokenizer.to_str(pretty=False).encode()


def _drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Norms in steps of 1/64: the host adds 1 to them in bf16, transformers in float32, and so both give the same."""
    g = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
    return {
        name: ((x * 8).round() / 64 if x.ndim == 1 else x * x.shape[-1] ** -0.5).bfloat16() for name, x in drawn.items()
    }


def _split(tensors: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    keys = sorted(tensors)
    return [
        {key: tensors[key] for i, key in enumerate(keys) if i * parts // len(keys) == part} for part in range(parts)
    ]


def _write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    make_tiny_gemma3(parser.parse_args().folder)
