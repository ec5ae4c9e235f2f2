"""prompt_cache.py: a hit is what was saved, a damaged entry is a miss, the folder stays small, nothing fails."""

from __future__ import annotations

import logging
import os
import time

import pytest
import torch

from wm_core.text import PromptCache

TOKENS = [2, 17, 5, 300]


@pytest.fixture
def embedding(generator):
    return torch.randn(1, 64, 20, generator=generator)


@pytest.fixture
def cache(tmp_path):
    return PromptCache(tmp_path / "user" / "prompts", "encoder a")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hit_equals_miss_bit_for_bit(cache, embedding, dtype):
    assert cache.load(TOKENS) is None
    cache.save(TOKENS, embedding.to(dtype))
    found = cache.load(TOKENS)
    assert found.dtype == dtype and torch.equal(found, embedding.to(dtype))
    assert torch.equal(PromptCache(cache.folder, cache.fingerprint).load(TOKENS), found)


def test_other_tokens_and_other_encoders_are_a_miss(cache, embedding):
    cache.save(TOKENS, embedding)
    assert cache.load(TOKENS[:-1]) is None and cache.load([2, 17, 53, 0, 0]) is None
    assert PromptCache(cache.folder, "encoder b").load(TOKENS) is None


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_truncated_entry_is_a_miss_and_is_written_again(cache, embedding, size):
    cache.save(TOKENS, embedding)
    path = cache.path(TOKENS)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    assert cache.load(TOKENS) is None
    cache.save(TOKENS, embedding)
    assert torch.equal(cache.load(TOKENS), embedding)


def test_entry_that_is_not_finite_is_a_miss(cache, embedding):
    embedding[0, 3, 1] = torch.inf
    cache.save(TOKENS, embedding)
    assert cache.load(TOKENS) is None


def test_what_was_not_used_for_longest_is_dropped(cache, embedding):
    names = [[i] for i in range(3)]
    for name in names:
        cache.save(name, embedding)
        os.utime(cache.path(name), ns=(name[0], name[0]))
    cache.limit = 3 * cache.path(names[0]).stat().st_size
    assert cache.load(names[0]) is not None  # used again: the second is the oldest now
    cache.save([3], embedding)
    assert [cache.load([i]) is not None for i in range(4)] == [True, False, True, True]


def test_newest_entry_stays_however_large(cache, embedding):
    cache.limit = 10
    cache.save(TOKENS, embedding)
    cache.save([1], embedding)
    assert cache.load(TOKENS) is None and torch.equal(cache.load([1]), embedding)


def test_partial_files_of_a_killed_process_are_removed(cache, embedding):
    cache.folder.mkdir(parents=True)
    old, new = cache.folder / ".x.safetensors.1.tmp", cache.folder / ".y.safetensors.2.tmp"
    old.touch(), new.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    cache.save(TOKENS, embedding)
    assert not old.exists() and new.exists()


def test_refused_write_is_told_once_and_fails_nothing(cache, embedding, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING, "sana_wm"):
        cache.save(TOKENS, embedding)
        cache.save([1], embedding)
    (message,) = (record.getMessage() for record in caplog.records)
    assert str(cache.folder) in message and "No space left on device" in message
    assert cache.load(TOKENS) is None and list(cache.folder.iterdir()) == []
    monkeypatch.undo()
    cache.save(TOKENS, embedding)
    assert torch.equal(cache.load(TOKENS), embedding)


def test_file_in_the_place_of_the_folder_fails_nothing(cache, embedding):
    cache.folder.parent.parent.mkdir(exist_ok=True)
    cache.folder.parent.write_text("in the way")
    cache.save(TOKENS, embedding)
    assert cache.load(TOKENS) is None
