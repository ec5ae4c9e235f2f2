"""embedding_file.py: written, read back bit for bit, and refused when it is something else."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from wm_core.errors import CheckpointError, ShapeError
from wm_core.text import PromptEmbedding, load_embedding, save_embedding


@pytest.fixture
def prompt(generator) -> PromptEmbedding:
    embedding = torch.randn(1, 300, 16, generator=generator)
    mask = (torch.arange(300) < 12).long()[None]
    return PromptEmbedding(embedding, mask, "a fox, (snow:1.2) über\nzwei", "gemma-2-2b", "instruction")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mask_dtype", [torch.int64, torch.bool, torch.float32])
def test_write_then_read_is_bit_exact(tmp_path, prompt, dtype, mask_dtype):
    written = PromptEmbedding(
        prompt.embedding.to(dtype), prompt.mask.to(mask_dtype), prompt.prompt, prompt.encoder, prompt.variant
    )
    save_embedding(tmp_path / "fox.safetensors", written)
    read = load_embedding(tmp_path / "fox.safetensors")
    assert read.embedding.dtype == dtype and read.mask.dtype == mask_dtype
    assert torch.equal(read.embedding, written.embedding) and torch.equal(read.mask, written.mask)
    assert (read.prompt, read.encoder, read.variant) == (written.prompt, written.encoder, written.variant)


def test_views_are_written_as_they_read(tmp_path, prompt):
    turned = PromptEmbedding(prompt.embedding.transpose(1, 2), prompt.mask[:, :16])
    save_embedding(tmp_path / "v.safetensors", turned)
    assert torch.equal(load_embedding(tmp_path / "v.safetensors").embedding, turned.embedding)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, prompt, monkeypatch):
    path = tmp_path / "fox.safetensors"
    save_embedding(path, prompt)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_embedding(path, PromptEmbedding(prompt.embedding * 2, prompt.mask))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fox.safetensors"]


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_truncated_file_is_named(tmp_path, prompt, size):
    path = tmp_path / "fox.safetensors"
    save_embedding(path, prompt)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="fox.safetensors cannot be read as safetensors.*truncated"):
        load_embedding(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="gone.safetensors"):
        load_embedding(tmp_path / "gone.safetensors")


def test_foreign_file_says_what_it_holds(tmp_path):
    save_file({"lora_up.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(
        CheckpointError, match="not a SANA-WM text embedding: got tensors lora_up.weight and format None"
    ):
        load_embedding(tmp_path / "lora.safetensors")


METADATA = {"format": "sana_wm.prompt_embedding", "version": "1"}


@pytest.mark.parametrize(
    ("embedding", "mask", "message"),
    [
        (torch.zeros(4, 8), torch.ones(4), r"embedding must be floating \(b, l, d\), got torch.float32 \(4, 8\)"),
        (torch.zeros(1, 4, 8).long(), torch.ones(1, 4), "got torch.int64"),
        (torch.zeros(1, 4, 8), torch.ones(1, 5), r"mask must be \(b, l\) = \(1, 4\).*got \(1, 5\)"),
    ],
)
def test_wrong_rank_is_refused(tmp_path, embedding, mask, message):
    save_file({"embedding": embedding, "mask": mask}, tmp_path / "bad.safetensors", METADATA)
    with pytest.raises(CheckpointError, match="bad.safetensors is damaged: .*" + message):
        load_embedding(tmp_path / "bad.safetensors")
    with pytest.raises(ShapeError, match=message):
        PromptEmbedding(embedding, mask)


def test_newer_version_asks_for_an_update(tmp_path):
    tensors = {"embedding": torch.zeros(1, 4, 8), "mask": torch.ones(1, 4)}
    save_file(tensors, tmp_path / "new.safetensors", METADATA | {"version": "2"})
    with pytest.raises(CheckpointError, match="version '2', this pack reads 1; update the pack"):
        load_embedding(tmp_path / "new.safetensors")
