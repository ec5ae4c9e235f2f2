"""The tiny world's text encoder in the real host: it loads by its own statement, and training saw what users get."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from rollout_nodes import generate
from safetensors import safe_open
from safetensors.torch import load_file

from wm_core.tiny_world import GROUNDS, SKIES, TIMES

SHIPPED = Path(__file__).resolve().parents[2] / "assets/models/text_encoders/sana_wm_tiny_world_text.safetensors"
CAPTIONS = [
    "red ground, a blue sky, it is night",
    "the floor is green, dusk",
    "blue ground",
    "",
    "a cat in the rain",
    "猫が雨の中にいる",
    "🐈🌧️",
    "  spaces, then\na new line",
    "orange sky, " * 120,
]


@pytest.fixture(scope="module")
def text(pack):
    return importlib.import_module("sana_wm_pack.nodes.text")


@pytest.fixture(scope="module")
def tools(host):
    """tools.tiny_world.text, which needs transformers."""
    return importlib.import_module("tools.tiny_world.text")


@pytest.fixture(scope="module")
def random_file(tools, tmp_path_factory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tools.gemma2(tools.TINY_GEMMA2)
        for weight in model.parameters():  # large enough that every layer and every norm changes the result
            torch.nn.init.normal_(weight, std=0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5)
    path = tmp_path_factory.mktemp("text_encoders") / "random.safetensors"
    tools.write_encoder(path, model.state_dict())
    return path


@pytest.fixture(scope="module", params=["random", "shipped"])
def file(request) -> Path:
    return request.getfixturevalue("random_file") if request.param == "random" else SHIPPED


@pytest.fixture(scope="module")
def clip(text, file):
    return text.load_text_encoder(str(file), device="cpu")


def encode(text, clip, prompt: str):
    with torch.inference_mode():
        ((hidden, extra),) = text.SanaWMTextEncode.execute(clip, prompt).result[0]
    return hidden, extra


def test_captions_are_encoded_for_training_as_the_node_does(text, tools, file, clip):
    for caption, ours in zip(CAPTIONS, tools.encode_captions(file, CAPTIONS), strict=True):
        hidden, extra = encode(text, clip, caption)
        theirs = hidden[extra["attention_mask"].bool()]
        assert hidden.shape == (1, 300, 48) and ours.shape == theirs.shape and ours.dtype == torch.float32
        ratio = ((ours - theirs).square().mean() / theirs.square().mean()).sqrt().item()
        print(f"{caption[:20]!r}: {len(ours)} tokens, RMS ratio {ratio:.1e}")
        assert ratio < 1e-4, f"{caption!r}: RMS ratio {ratio:.1e}"


def test_a_caption_twice_is_encoded_once(tools):
    first, other, again = tools.encode_captions(SHIPPED, ["red ground", "", "red ground"])
    assert first is again and len(first) == 3 and len(other) == 1
    assert torch.equal(first[0], other[0]), "BOS comes first and sees nothing else"
    assert not first.is_inference() and not first.requires_grad, "a world model can be trained on them"


def test_instruction_inside_a_caption_is_refused(tools):
    with pytest.raises(ValueError, match="do not begin it with one of its own"):
        tools.encode_captions(SHIPPED, ['Given a user prompt, generate an "Enhanced prompt" that is short'])


def test_conditioning_does_not_claim_to_be_gemma_2_2b(text, clip):
    assert encode(text, clip, "red ground")[1]["sana_wm_encoder"] == "gemma-2-48x2"


def test_released_size_keeps_its_name(text):
    assert text.encoder_name(2304, 26) == "gemma-2-2b"


def test_another_models_encoder_is_refused_by_what_it_gives(text, parts, host_folders):
    """The tiny streaming world reads prompts of 16 channels."""
    model, vae, _, other = parts
    with torch.inference_mode():
        prompt = text.encode_prompt(text.load_text_encoder(str(SHIPPED), device="cpu"), "red ground")
    wanted = r"must be \(b, l, 16\), got \(1, 3, 48\); encode the prompt with the text encoder that belongs to this"
    with pytest.raises(ValueError, match=wanted):
        generate((model, vae, prompt, other), length=25)


def test_every_scene_word_is_one_piece_or_two(tools):
    tokenize = tools.tokenize_with(tools.make_tokenizer())
    words = {*GROUNDS, *SKIES, *TIMES}
    assert {word: len(tokenize(word)) - 1 for word in words if len(tokenize(word)) > 3} == {}
    assert {word for word in words if len(tokenize(f" {word}")) > 2} == set(), "after a space one piece"


def test_tokenizer_and_file_are_the_same_bytes_every_time(tools, random_file, tmp_path):
    first = tools.make_tokenizer()
    tools.make_tokenizer.cache_clear()
    importlib.import_module("tools.make_tiny_gemma3").tiny_sentencepiece.cache_clear()
    assert tools.make_tokenizer() == first
    weights = {name.removeprefix("model."): weight for name, weight in load_file(random_file).items()}
    tools.write_encoder(tmp_path / "again.safetensors", weights)
    assert (tmp_path / "again.safetensors").read_bytes() == random_file.read_bytes()


def test_shipped_file_says_what_it_is_and_has_this_tokenizer(tools):
    with safe_open(SHIPPED, framework="pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("spiece_model").numpy().tobytes() == tools.make_tokenizer()
    assert metadata["sana_wm.format"] == "1" and json.loads(metadata["sana_wm.text_config"])["hidden_size"] == 48
    assert metadata["modelspec.license"] == "Apache-2.0" and "toy" in metadata["modelspec.title"]
    assert SHIPPED.stat().st_size < 600_000
