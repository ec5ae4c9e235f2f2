"""Token ids that Gemma-3 reads for the refiner: the start token, then the bare prompt, at most 1024 in all.

The released recipe pads to 1024 on the left and masks that; rotary positions are relative, so the same tokens without
padding have the same hidden states, and only those go on. No instruction is put before the prompt.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors import safe_open

from ..errors import CheckpointError
from .gemma2 import TOKENIZER_KEY
from .gemma3 import Gemma3Files

REFINER_TOKENS = 1024  # of the released recipe; longer prompts lose their end
_BOS = "<bos>"


def refiner_token_ids(prompt: str, tokenize: Callable[[str], list[int]]) -> list[int]:
    """tokenize: text -> ids with the start token in front. White space around the prompt does not count."""
    return tokenize(prompt.strip())[:REFINER_TOKENS]


def gemma3_tokenizer(files: Gemma3Files) -> Callable[[str], list[int]]:
    """text -> ids with the start token in front, by the encoder's own tokenizer. The weights are not read."""
    return _from_json(files) if files.tokenizer.suffix == ".json" else _from_sentencepiece(files)


def tokenizer_package(files: Gemma3Files) -> str:
    """The package that `gemma3_tokenizer` imports."""
    return "tokenizers" if files.tokenizer.suffix == ".json" else "sentencepiece"


def _from_json(files: Gemma3Files) -> Callable[[str], list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    start = tokenizer.token_to_id(_BOS)
    if start is None:
        raise CheckpointError(
            f"{files.tokenizer} is not Gemma's tokenizer: it has no token {_BOS}; copy that of the encoder beside it"
        )
    return lambda text: [start, *tokenizer.encode(text, add_special_tokens=False).ids]


def _from_sentencepiece(files: Gemma3Files) -> Callable[[str], list[int]]:
    from sentencepiece import SentencePieceProcessor

    if files.is_folder:
        content = files.tokenizer.read_bytes()
    else:
        with safe_open(files.tokenizer, framework="pt") as file:
            content = file.get_tensor(TOKENIZER_KEY).to(torch.uint8).numpy().tobytes()
    try:
        return SentencePieceProcessor(model_proto=content, add_bos=True, add_eos=False).encode
    except RuntimeError as error:
        raise CheckpointError(
            f"the tokenizer in {files.tokenizer.name} is no sentencepiece model; download the encoder again"
        ) from error
