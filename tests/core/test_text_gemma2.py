"""gemma2.py: the right file passes, every other is refused with what it is."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from wm_core.errors import CheckpointError
from wm_core.text import GEMMA_2_2B, GemmaConfig, check_text_encoder, gemma_weight_shapes, stated_config

TINY = GemmaConfig(vocab_size=64, hidden_size=16, intermediate_size=24, layers=2, heads=2, kv_heads=1)


@pytest.fixture
def write(tmp_path):
    def write(changes: dict[str, torch.Tensor | None], metadata: dict[str, str] | None = None) -> str:
        tensors = {key: torch.zeros(shape, dtype=torch.bfloat16) for key, shape in gemma_weight_shapes(TINY).items()}
        tensors["spiece_model"] = torch.zeros(10, dtype=torch.uint8)
        tensors |= changes
        path = tmp_path / "te.safetensors"
        save_file({key: value for key, value in tensors.items() if value is not None}, path, metadata)
        return str(path)

    return write


def test_released_size_is_gemma_2_2b():
    shapes = gemma_weight_shapes()
    assert len(shapes) == 288
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 2_614_341_888  # the published 2.61 B
    assert shapes["model.layers.25.self_attn.k_proj.weight"] == (1024, 2304)
    assert GEMMA_2_2B.heads * GEMMA_2_2B.head_dim == 2048


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"lm_head.weight": torch.zeros(2)},
        {"scaled_fp8": torch.zeros(0), "model.layers.0.mlp.up_proj.scale_weight": torch.ones(())},
        {"model.layers.0.mlp.up_proj.weight": torch.zeros(24, 8, dtype=torch.uint8)},
    ],
)
def test_encoder_passes_with_what_a_host_may_add(write, extra):
    check_text_encoder(write(extra), TINY)


NORM = "model.layers.1.post_feedforward_layernorm.weight"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spiece_model": None}, "got the weights without a tokenizer"),
        ({"spiece_model": torch.zeros(2, 5)}, "got the weights without a tokenizer"),
        ({NORM: None}, f"got 1 of its weights missing: {NORM}"),
        ({NORM: torch.zeros(8)}, rf"got {NORM} of shape \(8,\) instead of \(16,\)"),
        ({"model.layers.0.self_attn.q_norm.weight": torch.zeros(256)}, "got a Gemma 3 model"),
        ({NORM.replace("1", "2"): torch.zeros(16)}, "got a larger model of 3 layers"),
    ],
)
def test_near_miss_says_what_is_wrong(write, changes, message):
    with pytest.raises(CheckpointError, match=f"te.safetensors is not usable: {message}.*wanted Gemma-2-2B.*choose"):
        check_text_encoder(write(changes), TINY)


def test_other_model_is_named_by_its_keys(tmp_path):
    save_file({f"text_model.{i}.weight": torch.zeros(1) for i in range(20)}, tmp_path / "clip_l.safetensors")
    with pytest.raises(
        CheckpointError, match=r"got 20 other tensors such as text_model\.0\.weight, .*, \.\.\., wanted"
    ):
        check_text_encoder(tmp_path / "clip_l.safetensors")


def test_truncated_and_foreign_files_are_refused(write, tmp_path):
    path = write({})
    with open(path, "r+b") as file:
        file.truncate(200)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors.*download it again"):
        check_text_encoder(path, TINY)
    with pytest.raises(CheckpointError, match="got a .gguf file"):
        check_text_encoder(tmp_path / "gemma.gguf")


def test_file_that_states_nothing_is_gemma_2_2b(write):
    assert stated_config(write({})) == stated_config(write({}, {"format": "pt"})) == GEMMA_2_2B


def test_file_that_states_its_sizes_is_checked_by_them(write):
    path = write({}, {"sana_wm.text_config": json.dumps(asdict(TINY))})
    assert stated_config(path) == TINY
    check_text_encoder(path, stated_config(path))


def without(name: str) -> dict[str, int]:
    return {key: value for key, value in asdict(TINY).items() if key != name}


@pytest.mark.parametrize(
    ("statement", "got"),
    [
        ("{", r"no valid JSON \(.*\)"),
        ("[1]", "a list"),
        (json.dumps(asdict(TINY) | {"width": 3, "depth": 1}), "an unknown depth, width"),
        (json.dumps(without("layers")), "no layers"),
        (json.dumps(asdict(TINY) | {"layers": "2"}), "layers '2'"),
        (json.dumps(asdict(TINY) | {"heads": True}), "heads True"),
        (json.dumps(asdict(TINY) | {"vocab_size": 0}), "vocab_size 0"),
        (json.dumps(asdict(TINY) | {"head_dim": 64}), "head_dim 64 where ComfyUI's Gemma-2 has 256"),
        (json.dumps(asdict(TINY) | {"kv_heads": 3}), "2 heads for 3 kv_heads"),
    ],
)
def test_statement_that_is_none_says_what_is_wrong(write, statement, got):
    message = (
        f"metadata sana_wm.text_config of te.safetensors: got {got}, wanted a JSON object.*vocab_size.*head_dim;.*"
    )
    with pytest.raises(CheckpointError, match=message + "take the file from where it came again"):
        stated_config(write({}, {"sana_wm.text_config": statement}))


def test_stated_sizes_of_an_unreadable_file_are_refused_like_the_file(tmp_path):
    with pytest.raises(CheckpointError, match="got a .gguf file"):
        stated_config(tmp_path / "gemma.gguf")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        stated_config(tmp_path / "gone.safetensors")
