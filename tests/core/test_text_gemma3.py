"""gemma3.py: every layout is found, every other file is refused with what it is and what to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tools.make_tiny_gemma3 import (
    FOLDERS,
    SINGLE_FILE,
    TINY_FILE_GEMMA3,
    TINY_GEMMA3,
    config_json,
    make_tiny_gemma3,
    tiny_weights,
)
from wm_core.errors import CheckpointError
from wm_core.text import (
    GEMMA_3_12B,
    gemma3_fingerprint,
    gemma3_tokenizer,
    gemma3_weight_shapes,
    gemma_weight_shapes,
    open_gemma3,
    refiner_token_ids,
)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gemma3")
    make_tiny_gemma3(folder)
    return folder


@pytest.fixture
def copied(encoders, tmp_path):
    """A folder of three shards to spoil."""
    return Path(shutil.copytree(encoders / FOLDERS["released"].path, tmp_path / "encoder"))


@pytest.fixture
def written(tmp_path):
    """written({key: tensor or None}) -> path of a single file changed in that way."""

    def write(changes):
        weights = tiny_weights(TINY_FILE_GEMMA3) | {"spiece_model": torch.zeros(9, dtype=torch.uint8)} | changes
        save_file({k: v for k, v in weights.items() if v is not None}, tmp_path / "encoder.safetensors")
        return tmp_path / "encoder.safetensors"

    return write


def refusal(path, config=TINY_GEMMA3) -> str:
    with pytest.raises(CheckpointError) as error:
        open_gemma3(path, config)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_released_shapes_are_those_of_the_model():
    shapes = gemma3_weight_shapes()
    assert len(shapes) == 48 * 13 + 2
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 11_766_034_176
    assert shapes["model.layers.47.self_attn.k_norm.weight"] == (256,)


@pytest.mark.parametrize("row", FOLDERS.values(), ids=FOLDERS)
def test_every_folder_holds_the_same_weights(encoders, row):
    files = open_gemma3(encoders / row.path, TINY_GEMMA3)
    assert files.is_folder and files.config["hidden_size"] == 32
    read, want = files.read(torch.bfloat16), tiny_weights(TINY_GEMMA3)
    assert set(read) == set(want) and all(torch.equal(read[name], want[name]) for name in want)
    assert files.read(torch.float32)["model.norm.weight"].dtype == torch.float32


def test_single_file_is_found(encoders):
    files = open_gemma3(encoders / SINGLE_FILE, TINY_FILE_GEMMA3)
    assert not files.is_folder and set(files.weights) == set(gemma3_weight_shapes(TINY_FILE_GEMMA3))


def test_files_are_the_same_bytes_every_time_and_small(encoders, tmp_path):
    make_tiny_gemma3(tmp_path)
    files = [path for path in sorted(encoders.rglob("*")) if path.is_file()]
    assert len(files) == 20
    for path in files:
        assert path.read_bytes() == (tmp_path / path.relative_to(encoders)).read_bytes(), path.name
        assert path.stat().st_size < 1_000_000


def test_tokenizers_agree_and_start_with_bos(encoders):
    prompt = "  a small robot walks,\n\tunseen: Żółć 雨 <3  "
    places = [encoders / row.path for row in FOLDERS.values()]
    found = [gemma3_tokenizer(open_gemma3(place, TINY_GEMMA3)) for place in places]
    found.append(gemma3_tokenizer(open_gemma3(encoders / SINGLE_FILE, TINY_FILE_GEMMA3)))
    ids = {tuple(refiner_token_ids(prompt, tokenize)) for tokenize in found}
    assert len(ids) == 1
    (ids,) = ids
    assert ids[0] == 2 and ids.count(2) == 1 and len(ids) > 20
    assert refiner_token_ids("", found[0]) == [2] and len(refiner_token_ids(prompt * 99, found[0])) == 1024


def test_fingerprint_sees_names_and_weights_but_not_the_folder(encoders, copied, tmp_path):
    def fingerprint(path, config=TINY_GEMMA3):
        return gemma3_fingerprint(open_gemma3(path, config))

    original = fingerprint(encoders / FOLDERS["released"].path)
    assert fingerprint(copied) == original
    (copied / "model-00003-of-00003.safetensors").write_bytes(b"not even safetensors")
    assert fingerprint(copied) == original, "the vision tower does not count"
    shard = copied / "model-00001-of-00003.safetensors"
    save_file({key: tensor + 1 for key, tensor in load_file(shard).items()}, shard)
    assert fingerprint(copied) != original
    renamed = shutil.copy(encoders / SINGLE_FILE, tmp_path / "renamed.safetensors")
    assert fingerprint(renamed, TINY_FILE_GEMMA3) != fingerprint(encoders / SINGLE_FILE, TINY_FILE_GEMMA3)


GEMMA_2 = {key: torch.zeros(shape) for key, shape in gemma_weight_shapes(replace(TINY_FILE_GEMMA3, layers=1)).items()}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spiece_model": None}, "got the weights without a tokenizer"),
        ({"model.norm.weight": None}, "got 1 of its weights missing: model.norm.weight"),
        ({"model.norm.weight": torch.zeros(9)}, "got model.norm.weight of shape (9,) instead of (8,)"),
        ({"model.layers.48.self_attn.q_norm.weight": torch.zeros(256)}, "got a model of 1 layers more"),
    ],
)
def test_single_file_that_is_another_is_refused(written, changes, told):
    message = refusal(written(changes), TINY_FILE_GEMMA3)
    assert told in message and "wanted Gemma-3-12B; choose its folder" in message


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (GEMMA_2, "a language model without the norms of Gemma 3, such as Gemma 2"),
        ({"blocks.0.attn.qkv.weight": torch.zeros(1)}, "got 1 other tensors such as blocks.0.attn.qkv.weight"),
    ],
)
def test_other_model_is_refused(tmp_path, tensors, told):
    save_file(tensors, tmp_path / "x.safetensors")
    assert told in refusal(tmp_path / "x.safetensors", TINY_FILE_GEMMA3)


def test_packed_and_further_tensors_are_the_hosts_business(written):
    packed = "model.layers.0.mlp.up_proj.weight"
    path = written({packed: torch.zeros(8, 4, dtype=torch.uint8), packed + "_scale": torch.ones(())})
    assert open_gemma3(path, TINY_FILE_GEMMA3).path == path


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_truncated_file_is_named(written, size):
    path = written({})
    path.write_bytes(path.read_bytes()[:size])
    assert "encoder.safetensors cannot be read as safetensors" in refusal(path, TINY_FILE_GEMMA3)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("config.json", "got no config.json in it"),
        ("model-00002-of-00003.safetensors", "encoder/model-00002-of-00003.safetensors cannot be read"),
        ("tokenizer.*", "got no tokenizer (tokenizer.json or tokenizer.model)"),
        ("model*", "got no .safetensors in it"),
    ],
)
def test_incomplete_folder_says_what_is_missing(copied, gone, told):
    for path in copied.glob(gone):
        path.unlink()
    assert told in refusal(copied)


def test_folder_needs_no_index(copied):
    (copied / "model.safetensors.index.json").unlink()
    assert len(open_gemma3(copied, TINY_GEMMA3).weights) == len(gemma3_weight_shapes(TINY_GEMMA3))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "gemma2"}, "got a model of type 'gemma2'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "got weights quantised for another program"),
        ({"text_config": {"hidden_size": 2560, "num_hidden_layers": 34}}, "got a Gemma-3 of width 2560 and 34 layers"),
    ],
)
def test_folder_of_another_model_is_refused(copied, change, told):
    (copied / "config.json").write_text(json.dumps(config_json(True) | change))
    assert told in refusal(copied)
    (copied / "config.json").write_text("[]")
    assert "config.json of encoder is not an object" in refusal(copied)


def test_index_that_is_wrong_is_refused(copied):
    index = json.loads((copied / "model.safetensors.index.json").read_text())
    first = "language_model.model.norm.weight"
    index["weight_map"][first] = "model-00001-of-00003.safetensors"
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"model-00001-of-00003.safetensors without {first}" in refusal(copied)


def test_path_that_is_nothing_of_the_kind_is_refused(tmp_path):
    (tmp_path / "encoder.gguf").touch()
    assert "got a .gguf file" in refusal(tmp_path / "encoder.gguf")
    assert "got nothing there" in refusal(tmp_path / "gone.safetensors")
    assert "got no config.json in it" in refusal(tmp_path)


def test_a_tiny_one_is_not_taken_for_the_released(encoders):
    assert "a Gemma-3 of width 32 and 7 layers" in refusal(encoders / "newer", GEMMA_3_12B)
