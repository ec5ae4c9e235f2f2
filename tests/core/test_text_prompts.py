"""prompts.py: instruction, token budget, selection."""

from __future__ import annotations

import hashlib

import pytest
import torch

from wm_core.errors import ShapeError
from wm_core.text import INSTRUCTION, TEXT_TOKENS, has_instruction, select_tokens, token_ids, with_instruction

BOS = 2


def tokenize(text: str) -> list[int]:
    """One token a character, but a space joins the character after it, as sentencepiece does with words."""
    pieces: list[str] = []
    for char in text:
        if pieces and pieces[-1] == " " and char != " ":
            pieces[-1] += char
        else:
            pieces.append(char)
    return [BOS] + [100 + sum(map(ord, piece)) for piece in pieces]


def selected(text: str) -> tuple[list[int], list[int]]:
    """The ids and the mask that remain, with the ids themselves standing in for the hidden states."""
    ids = torch.tensor([token_ids(text, tokenize)])
    hidden, mask = select_tokens(ids[..., None].double(), (ids != 0).long())
    return hidden[0, :, 0].long().tolist(), mask[0].tolist()


def test_instruction_has_the_released_lines():
    lines = INSTRUCTION.split("\n")
    assert len(lines) == 8
    assert lines[0].endswith("in the user prompt:") and lines[-1] == "User Prompt: "
    assert hashlib.sha256(INSTRUCTION.encode()).hexdigest()[:16] == "62b9ab89eebb0ac5"


@pytest.mark.parametrize("prompt", ["", " ", "\n\t "])
def test_empty_prompt_gets_no_instruction(prompt):
    assert with_instruction(prompt) == ""
    ids, mask = selected(with_instruction(prompt))
    assert ids == [BOS] + [0] * 299
    assert mask == [1] + [0] * 299


def test_instruction_is_not_doubled():
    once = with_instruction("a cat")
    assert once == INSTRUCTION + "a cat"
    assert with_instruction(once) == once
    assert has_instruction(once) and not has_instruction("a cat")


@pytest.mark.parametrize("prompt", ["a", "a fox in the snow", "x" * 298, "x" * 299, "x" * 300, "a b" * 300])
def test_selection_is_bos_then_the_prompt_then_padding(prompt):
    ids, mask = selected(with_instruction(prompt))
    own = tokenize(" " + prompt)[1:][:299]  # the space that ends the instruction becomes part of the first word
    assert ids == [BOS] + own + [0] * (299 - len(own))
    assert mask == [1] * (1 + len(own)) + [0] * (299 - len(own))


def test_text_without_instruction_keeps_its_first_300_tokens():
    text = "x" * 400
    assert token_ids(text, tokenize) == tokenize(text)[:TEXT_TOKENS]
    ids, mask = selected("blurry")
    assert ids == tokenize("blurry") + [0] * 293
    assert mask == [1] * 7 + [0] * 293


def test_budget_is_the_instruction_and_298():
    expected = len(tokenize(INSTRUCTION)) + 298
    assert len(token_ids(with_instruction("a"), tokenize)) == expected
    assert len(token_ids(with_instruction("a" * 999), tokenize)) == expected


def test_selection_keeps_batch_dtype_and_short_texts(generator):
    hidden, mask = torch.randn(2, 310, 4, generator=generator), torch.ones(2, 310, dtype=torch.bool)
    kept, kept_mask = select_tokens(hidden, mask)
    assert kept.shape == (2, 300, 4) and kept_mask.shape == (2, 300) and kept_mask.dtype == torch.bool
    assert torch.equal(kept[:, 0], hidden[:, 0]) and torch.equal(kept[:, 1:], hidden[:, 11:])
    assert select_tokens(hidden[:, :300], mask[:, :300])[0].shape == (2, 300, 4)


def test_selection_refuses_a_foreign_mask():
    with pytest.raises(ShapeError, match=r"got \(1, 8, 4\) and \(1, 7\)"):
        select_tokens(torch.zeros(1, 8, 4), torch.ones(1, 7))
