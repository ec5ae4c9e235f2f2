"""wm_core/checkpoint/pickle_file.py: only weights are taken out of a training pickle, and nothing in it is run."""

from __future__ import annotations

import collections
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from cases import ROOT
from tiny import TINY_DIT, random_world

from tools.make_tiny_checkpoints import released_tensors
from tools.reproducible import write_safetensors
from wm_core.checkpoint import open_training_pickle, open_world, pickle_file, read_world_weights
from wm_core.config import RELEASED_DIT, RELEASED_RECIPES
from wm_core.errors import CheckpointError


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return released_tensors(random_world(TINY_DIT, dtype=torch.float32))


def refused(path: Path, *words: str) -> None:
    """There is one error, in one line, which has all `words`."""
    with pytest.raises(CheckpointError) as caught:
        open_training_pickle(path)
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert 30 < len(text) < 900 and "\n" not in text and "weights_only=False" not in text, text


def renamed(weights, rename) -> dict[str, torch.Tensor]:
    return {rename(name): tensor for name, tensor in weights.items()}


def test_generator_of_the_released_size(tmp_path):
    """Names and shapes of the release, each tensor a single number stretched out."""
    listed = json.loads((ROOT / "tests/golden/names/world_released.json").read_text())["names"]
    generator = {f"model.{name}": torch.zeros((), dtype=torch.bfloat16).expand(s) for name, s in listed.items()}
    torch.save({"generator": generator, "critic": generator}, tmp_path / "model.pt")
    opened = open_training_pickle(tmp_path / "model.pt")
    assert opened.config == RELEASED_DIT and len(opened.file.shapes) == len(listed) - 1 == 871
    assert (opened.info.variant, opened.info.sampling) == ("streaming", RELEASED_RECIPES["streaming"])
    assert opened.info.name == "model" and opened.file.prefix == "model."


def test_weights_are_those_of_the_generator_and_stay_in_the_file(tmp_path, weights):
    torch.save({"generator": weights, "critic": renamed(weights, str)}, tmp_path / "model.pt")
    for name, tensor in read_world_weights(open_training_pickle(tmp_path / "model.pt")).items():
        assert torch.equal(tensor.flatten(), weights[name].flatten()), name
    maps = Path("/proc/self/maps")
    if maps.exists():
        opened = open_training_pickle(tmp_path / "model.pt")
        assert opened and str(tmp_path / "model.pt") in maps.read_text()


class Harmful:
    """Creates a file when a pickle of it is run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("place", ["generator", "critic", "optimizer", "name"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, weights, place, protocol):
    harmful = Harmful(tmp_path / "marker")
    content = {"generator": dict(weights), "critic": {}, "optimizer": {}}
    if place == "name":
        content = {"generator": weights, "more": [harmful]}
    else:
        content[place]["x"] = harmful
    torch.save(content, tmp_path / "model.pt", pickle_protocol=protocol)
    word = f"it calls {os.system.__module__}.system" if protocol == 2 else "more than tensors"
    refused(tmp_path / "model.pt", "model.pt", word, "Nothing of it was run")
    assert not harmful.marker.exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert harmful.marker.exists(), "the pickle was harmless, the test shows nothing"


def test_the_reader_itself_does_not_run_code(tmp_path):
    """Behind the list of calls, which a crafted pickle might evade, stands the weights-only reader."""
    torch.save({"generator": Harmful(tmp_path / "marker")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="Nothing of it was run"):
        pickle_file._weights_only(tmp_path / "model.pt")
    assert not (tmp_path / "marker").exists()


def test_unknown_classes_are_listed(tmp_path, weights):
    content = {"generator": weights, "config": collections.UserDict(a=1), "range": range(3)}
    torch.save(content, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "it calls builtins.range, collections.UserDict. Nothing", "take a .safetensors file")


def scripted(path: Path, weights) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)


def compressed(path: Path, weights) -> None:
    torch.save({"generator": weights}, path.with_suffix(".zip"))
    with zipfile.ZipFile(path.with_suffix(".zip")) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    path.with_suffix(".zip").unlink()


def patched(path: Path, weights, change) -> None:
    """A file of torch.save whose pickle is `change`d."""
    torch.save({"generator": weights}, path.with_suffix(".zip"))
    with zipfile.ZipFile(path.with_suffix(".zip")) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            new.writestr(record.filename, change(content) if record.filename.endswith("data.pkl") else content)
    path.with_suffix(".zip").unlink()


def some_zip(path: Path, weights) -> None:
    with zipfile.ZipFile(path, "w") as f:
        f.writestr("readme.txt", "x")


DAMAGED = {
    "cut_in_the_middle": (lambda p, w: p.write_bytes(p.read_bytes()[:200_000]), ["200,000 bytes", "download it again"]),
    "cut_at_the_end": (lambda p, w: p.write_bytes(p.read_bytes()[:-1]), ["cut off or damaged", "download it again"]),
    "empty": (lambda p, w: p.write_bytes(b""), ["is empty (0 bytes)"]),
    "legacy": (lambda p, w: torch.save(w, p, _use_new_zipfile_serialization=False), ["old format", "memory-mapped"]),
    "torchscript": (scripted, ["TorchScript archive, which is a program"]),
    "compressed": (compressed, ["was compressed after torch.save"]),
    "other_zip": (some_zip, ["zip file without data.pkl"]),
    "cut_pickle": (lambda p, w: patched(p, w, lambda content: content[:500]), ["damaged", "download it again"]),
    "confused_pickle": (lambda p, w: patched(p, w, lambda content: b"\x80\x02}u."), ["damaged"]),
    "plain_pickle": (lambda p, w: p.write_bytes(b"cos\nsystem\n(S'echo'\ntR."), ["begins with b'cos\\nsyst'"]),
    "web_page": (lambda p, w: p.write_bytes(b"<html>log in</html>"), ["web page"]),
    "git_lfs": (lambda p, w: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), ["git lfs pull"]),
    "safetensors": (lambda p, w: write_safetensors(p, w, {}), ["rename it to .safetensors"]),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_no_whole_training_pickle(tmp_path, weights, name):
    source = tmp_path / "model.pt"
    torch.save({"generator": weights, "critic": {"x": torch.ones(2)}}, source)
    damage, words = DAMAGED[name]
    damage(source, weights)
    refused(source, "model.pt", *words)


def half(weights):
    return {(f"model.{key}" if "blocks" in key or "embedder" in key else key): t for key, t in weights.items()}


Q = "blocks.0.attn.qkv.weight"
OTHER_CONTENT = {
    "no_generator": (lambda w: {"critic": w, "step": 1}, ["no generator at its top level, but critic, step"]),
    "bare_weights": (lambda w: w, ["no generator at its top level, but", ", ...; choose"]),
    "a_list": (lambda w: [w], ["no generator at its top level, but a list"]),
    "empty_generator": (lambda w: {"generator": {}}, ["generator must be names with tensors, got dict with 0"]),
    "generator_a_tensor": (lambda w: {"generator": torch.ones(2)}, ["must be names with tensors, got Tensor"]),
    "nested": (lambda w: {"generator": {"state_dict": w}}, ["'state_dict' in generator is a dict, not a tensor"]),
    "sparse": (lambda w: {"generator": w | {Q: w[Q].to_sparse()}}, [Q, "no plain numbers"]),
    "meta": (lambda w: {"generator": w | {Q: w[Q].to("meta")}}, [Q, "no plain numbers"]),
    "wan": (lambda w: {"generator": {"model.blocks.0.self_attn.q.weight": torch.ones(2)}}, ["looks like: Wan"]),
    "prefix": (lambda w: {"generator": renamed(w, lambda k: f"net.{k}")}, ["under the prefix 'net.'"]),
    "left_over": (lambda w: {"generator": half(w)}, ["begin with 'model.', but not attention_y_norm.weight, final"]),
    "twice": (lambda w: {"generator": w | {f"module.{Q}": w[Q]}}, [f"{Q} is there twice"]),
    "unknown": (lambda w: {"generator": w | {"extra.weight": torch.ones(2)}}, ["1 unknown: extra.weight"]),
    "missing": (lambda w: {"generator": {k: t for k, t in w.items() if k != Q}}, [f"1 of 178 missing: {Q}"]),
    "quantised": (lambda w: {"generator": w | {Q: w[Q].to(torch.int8)}}, ["is quantised: torch.int8"]),
}


@pytest.mark.parametrize("name", OTHER_CONTENT)
def test_a_pickle_with_other_content(tmp_path, weights, name):
    make, words = OTHER_CONTENT[name]
    torch.save(make(weights), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "model.pt", *words)


def test_old_pytorch_reads_no_pickle(tmp_path, weights, monkeypatch):
    source = tmp_path / "model.pt"
    torch.save({"generator": weights, "critic": {"x": torch.ones(2)}}, source)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    refused(source, "CVE-2026-24747", "PyTorch 2.10 or newer")
    monkeypatch.setattr(torch, "__version__", "2.10.0")
    open_training_pickle(source)


def test_loaders_name_the_command_and_read_no_pickle(tmp_path, weights):
    source = tmp_path / "model.pt"
    torch.save({"generator": weights, "critic": {"x": torch.ones(2)}}, source)
    for name in ("model.pt", "model.safetensors"):
        with pytest.raises(CheckpointError, match=r"python3 -m tools\.convert FILE"):
            open_world(source.rename(tmp_path / name))
        (tmp_path / name).rename(source)
