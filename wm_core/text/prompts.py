"""How a prompt becomes the 300 text tokens of SANA-WM: instruction prefix, token budget, selection.

The text encoder (Gemma-2-2B, last hidden state) reads an instruction, then the prompt, right-padded. Of its output
only the first token and the last 299 go on, so that the instruction colours the prompt by attention and is then cut.
Instruction and lengths: NVlabs/Sana, configs/sana_wm/sana_wm_1600m_720p.yaml (`text_encoder.chi_prompt`,
`model_max_length`); PixelDiT, which ComfyUI knows by that name, uses the same wording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import ShapeError

TEXT_TOKENS = 300
PAD_TOKEN = 0  # of Gemma's sentencepiece model

INSTRUCTION = (
    'Given a user prompt, generate an "Enhanced prompt" that provides detailed visual descriptions suitable for image '
    "generation. Evaluate the level of detail in the user prompt:\n"
    "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
    "relationships to create vivid and concrete scenes.\n"
    "- If the prompt is already detailed, refine and enhance the existing details slightly without overcomplicating.\n"
    "Here are examples of how to transform or refine prompts:\n"
    "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
    "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.\n"
    "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street "
    "lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass "
    "skyscrapers.\n"
    "Please generate only the enhanced description for the prompt below and avoid including any additional "
    "commentary or evaluations:\n"
    "User Prompt: "
)
_INSTRUCTION_START = 'Given a user prompt, generate an "Enhanced prompt"'


def with_instruction(prompt: str) -> str:
    """The text that the encoder reads for a positive prompt.

    An empty prompt stays empty (the released negative prompt), and a prompt that begins with the instruction, perhaps
    with other wording further on, is taken as it is.
    """
    if not prompt.strip():
        return ""
    return prompt if prompt.startswith(_INSTRUCTION_START) else INSTRUCTION + prompt


def has_instruction(text: str) -> bool:
    """True if `text` carries the instruction, hence the longer token budget."""
    return text.startswith(_INSTRUCTION_START)


def token_ids(text: str, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
    """Token ids of `text`, cut or right-padded with 0 to a fixed length.

    tokenize: text -> ids with BOS in front and no EOS. Without instruction the length is 300. With it, it is
    P + 298, where P counts the tokens of the bare instruction including BOS: room for BOS, the instruction and 299
    tokens from position P - 1 on. Position P - 1 belongs to the prompt, because the space that ends the instruction
    is a token of its own only when nothing follows; before a word it becomes part of that word.
    """
    length = len(tokenize(INSTRUCTION)) + TEXT_TOKENS - 2 if has_instruction(text) else TEXT_TOKENS
    ids = list(tokenize(text))[:length]
    return ids + [PAD_TOKEN] * (length - len(ids))


def select_tokens(hidden: Tensor, mask: Tensor, limit: int = TEXT_TOKENS) -> tuple[Tensor, Tensor]:
    """Token 0 (BOS) and the last `limit` - 1 tokens of hidden (b, l, d) and mask (b, l); all of them if l <= limit.

    What comes out for `token_ids` of an instruction and a prompt of p tokens: mask 1 for BOS, 1 for the
    min(p, limit - 1) tokens of the prompt that follow it, 0 for the padding after them. No instruction token is left.
    For a text without instruction nothing is cut, so the mask of an empty prompt is 1 for BOS and 0 elsewhere.
    """
    if hidden.ndim != 3 or tuple(mask.shape) != tuple(hidden.shape[:2]):
        raise ShapeError(
            f"hidden must be (b, l, d) with a mask (b, l), got {tuple(hidden.shape)} and {tuple(mask.shape)}"
        )
    if hidden.shape[1] <= limit:
        return hidden, mask
    first, last = slice(0, 1), slice(hidden.shape[1] - limit + 1, None)
    return (
        torch.cat((hidden[:, first], hidden[:, last]), dim=1),
        torch.cat((mask[:, first], mask[:, last]), dim=1),
    )
