"""tools/convert.py and wm_core/checkpoint/pickle_file.py: the same model comes out, and no pickle is ever run."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import ROOT, assert_close
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import TINY_DIT, draw_latents, random_conditions, random_world

from tools.convert import Options, convert
from tools.make_tiny_checkpoints import STAMP, WORLDS, diffusers_world_name, make_tiny_checkpoints, released_tensors
from tools.reproducible import write_safetensors
from wm_core.checkpoint import load_world_model, open_world
from wm_core.config import RELEASED_RECIPES, DiTConfig
from wm_core.dit import WorldDiT
from wm_core.errors import CheckpointError

GRID = (3, 2, 2)
QUICK = Options(hashes=False)
Q = "blocks.0.attn.qkv.weight"


@pytest.fixture(scope="module")
def world() -> WorldDiT:
    return random_world(TINY_DIT, dtype=torch.float32)


@pytest.fixture(scope="module")
def weights(world) -> dict[str, torch.Tensor]:
    return released_tensors(world)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_checkpoints(folder)
    return folder


def training_pickle(folder: Path, generator, **others) -> Path:
    """As the released one: the generator between a critic and the state of two optimisers."""
    state = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 1e-5}]}
    content = {"critic": {"model.head.weight": torch.ones(3, 3)}, "generator": generator}
    content |= {"generator_optimizer": state, "critic_optimizer": state, "step": 600} | others
    torch.save(content, folder / "model.pt")
    return folder / "model.pt"


def renamed(weights, rename) -> dict[str, torch.Tensor]:
    return {rename(name): tensor for name, tensor in weights.items()}


def wrapped(name: str) -> str:
    """As FSDP writes it, a wrapper around the model and one around each block."""
    parts = name.split(".")
    if parts[0] == "blocks":
        parts[2:2] = ["_fsdp_wrapped_module", "_checkpoint_wrapped_module"]
    return ".".join(["model", "_fsdp_wrapped_module", *parts])


def stated(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as f:
        return f.metadata()


def refused(source: Path, *words: str, target: Path | None = None, options: Options = QUICK) -> str:
    """The text of the one error, which has all `words`; nothing new lies beside the source."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(CheckpointError) as caught:
        convert(source, target, options)
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert 30 < len(text) < 900 and "\n" not in text and "weights_only=False" not in text, text
    assert sorted(source.parent.iterdir()) == before
    return text


NAMES = {
    "bare": str,
    "model": lambda name: f"model.{name}",
    "model_twice": lambda name: f"model.model.{name}",
    "fsdp": wrapped,
    "ddp": lambda name: f"module.model.{name}",
    "compiled": lambda name: f"_orig_mod.{name}",
    "diffusers": lambda name: f"model.{diffusers_world_name(name)}",
}


@pytest.mark.parametrize("name", NAMES)
def test_streaming_pickle_becomes_the_model_that_was_trained(tmp_path, world, weights, name):
    target = convert(training_pickle(tmp_path, collections.OrderedDict(renamed(weights, NAMES[name]))))
    assert target == tmp_path / "sana_wm_streaming_fp32.safetensors"
    stored = load_file(target)
    assert set(stored) == set(weights) - {"pos_embed"}
    assert all(torch.equal(tensor, weights[key]) for key, tensor in stored.items())
    info = open_world(target).info
    assert (info.variant, info.source) == ("streaming", "file metadata")
    assert info.sampling == RELEASED_RECIPES["streaming"] and "released" in info.layout
    x, conditions = draw_latents((1, 8, *GRID), dtype=torch.float32), random_conditions(TINY_DIT, GRID)
    conditions = type(conditions)(conditions.text.float(), None, conditions.raymap.float(), conditions.plucker.float())
    timestep = torch.tensor([[0.0, 0.5, 0.9]])
    with torch.no_grad():
        assert_close(load_world_model(target)(x, timestep, conditions)[0], world(x, timestep, conditions)[0], 1e-6)


def test_metadata_says_what_it_is_and_where_it_is_from(tmp_path, weights):
    source = training_pickle(tmp_path, weights)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    wanted = {
        "sana_wm.format": "1",
        "sana_wm.variant": "streaming",
        "sana_wm.precision": "fp32",
        "sana_wm.source": f"model.pt sha256:{digest}",
        "modelspec.title": "SANA-WM stage 1, streaming",
    }
    assert stated(convert(source)) == wanted
    os.utime(source, (0, 1e9))
    told = stated(convert(source, tmp_path / "quick.safetensors", QUICK))["sana_wm.source"]
    assert told == f"model.pt {source.stat().st_size} bytes, changed 2001-09-09T01:46:40+00:00"
    other = convert(source, tmp_path, Options(variant="chunk-causal"))
    assert other.name == "sana_wm_chunk_causal_fp32.safetensors" and open_world(other).info.variant == "chunk-causal"


def test_bytes_are_those_of_the_library_and_the_same_each_time(tmp_path, weights):
    mixed = {key: tensor.to(torch.bfloat16) if "attn" in key else tensor for key, tensor in weights.items()}
    source = training_pickle(tmp_path, mixed)
    first = convert(source)
    content = first.read_bytes()
    assert first.name == "sana_wm_streaming_fp32_bf16.safetensors"
    assert stated(first)["sana_wm.precision"] == "fp32+bf16"
    assert convert(source, options=Options(force=True)).read_bytes() == content
    mixed.pop("pos_embed")
    write_safetensors(tmp_path / "library.safetensors", mixed, stated(first))
    assert (tmp_path / "library.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("word", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_precision_is_rounded_to_nearest(tmp_path, weights, word, dtype):
    target = convert(training_pickle(tmp_path, weights), options=Options(word, hashes=False))
    assert target.name == f"sana_wm_streaming_{word}.safetensors" and stated(target)["sana_wm.precision"] == word
    stored = load_file(target)
    assert all(torch.equal(tensor, weights[key].to(dtype)) for key, tensor in stored.items())


@pytest.mark.parametrize("name", WORLDS)
def test_every_released_layout_becomes_one_file_of_the_same_model(tiny, tmp_path, name):
    before = open_world(tiny / WORLDS[name].path)
    target = convert(tiny / WORLDS[name].path, tmp_path, Options(hashes=False))
    after = open_world(target)
    assert after.config == before.config and after.info.sampling == before.info.sampling
    assert after.info.variant == before.info.variant and "released" in after.info.layout and not after.file.prefix
    assert len(after.file.shapes) == len(before.file.shapes)
    same = zip(load_world_model(target).parameters(), load_world_model(tiny / WORLDS[name].path).parameters())
    assert all(torch.equal(a, b) for a, b in same)


def test_shards_are_all_named_and_a_config_is_taken_along(tiny, tmp_path):
    folder = shutil.copytree(tiny / "sharded", tmp_path / "sharded") / "transformer"
    config = json.loads((folder / "config.json").read_text()) | {"num_attention_heads": 4}
    (folder / "config.json").write_text(json.dumps(config))
    target = convert(folder, options=Options("bf16"))
    assert target == tmp_path / "sharded" / "sana_wm_bidirectional_bf16.safetensors", "beside the folder, not in it"
    assert open_world(target).config.num_heads == 4
    sources = stated(target)["sana_wm.source"].split("; ")
    assert [source.split()[0] for source in sources] == [f.name for f in sorted(folder.glob("*.safetensors"))]


def test_what_a_file_says_of_itself_stays(tiny, tmp_path):
    metadata = STAMP | {"modelspec.title": "mine", "modelspec.hash_sha256": "0x0", "other": "x"}
    write_safetensors(tmp_path / "My Model fp32.safetensors", load_file(tiny / WORLDS["released"].path), metadata)
    target = convert(tmp_path / "My Model fp32.safetensors", options=Options("bf16"))
    assert target.name == "my_model_streaming_bf16.safetensors"
    after = stated(target)
    assert {key: after[key] for key in STAMP} == STAMP and after["modelspec.title"] == "mine"
    assert "modelspec.hash_sha256" not in after and "other" not in after


class Harmful:
    """Creates a file when a pickle of it is run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_a_pickle_that_would_run_code_does_not(tmp_path, weights):
    source = training_pickle(tmp_path, weights, more=Harmful(tmp_path / "marker"))
    refused(source, "model.pt", "Nothing of it was run")
    command = [sys.executable, "-m", "tools.convert", str(source), "--force"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1 and ended.stderr.startswith("convert: model.pt")
    assert list(tmp_path.iterdir()) == [source]


def test_targets_that_are_refused(tmp_path, weights):
    source = convert(training_pickle(tmp_path, weights))
    refused(tmp_path / "model.pt", "exists; choose another name, or replace it with --force")
    assert convert(tmp_path / "model.pt", options=Options(force=True)) == source
    refused(source, "is the source itself", target=source, options=Options(force=True))
    (tmp_path / "link.safetensors").symlink_to(source)
    refused(source, "is the source itself", target=tmp_path / "link.safetensors", options=Options(force=True))
    refused(source, "must be a .safetensors file", target=tmp_path / "x.pt")
    refused(source, "there is no folder", target=tmp_path / "none" / "x.safetensors")
    refused(tmp_path / "none.pt", "no such file")
    refused(source, "variant must be one of", target=tmp_path / "x.safetensors", options=Options(variant="dense"))
    refused(tmp_path / "model.pt", "variant must be one of", options=Options(variant="dense"))


def test_numbers_too_large_for_the_precision_are_refused(tmp_path, weights):
    source = training_pickle(tmp_path, weights | {Q: torch.full_like(weights[Q], 1e5)})
    refused(source, f"{Q} reaches 1e+05, too large for F16", options=Options("fp16"))
    assert not list(tmp_path.glob("*.partial")) and convert(source, options=Options("bf16")).exists()


def test_other_types_of_numbers_are_refused(tmp_path, weights):
    gate = "blocks.0.attn.recall_gate"  # which no model reads, so that opening lets it pass
    source = training_pickle(tmp_path, weights | {gate: torch.ones(1, dtype=torch.int32)})
    refused(source, f"{gate} is torch.int32, wanted floating point")


def test_a_disk_that_changes_the_bytes_is_noticed(tmp_path, weights):
    source, target = training_pickle(tmp_path, weights), tmp_path / "x.safetensors"

    def flip(what: str, done: int, total: int) -> None:
        if what == "writing" and done == total:
            with open(tmp_path / "x.safetensors.partial", "r+b") as f:
                start = 8 + int.from_bytes(f.read(8), "little")
                f.seek(start)
                byte = f.read(1)[0]
                f.seek(start)
                f.write(bytes([byte ^ 1]))

    with pytest.raises(CheckpointError, match="does not read back"):
        convert(source, target, on_step=flip)
    assert sorted(tmp_path.iterdir()) == [source]


KILLED = """
import os, signal, sys
from tools.convert import convert
die = lambda what, done, total: what == "writing" and done > total // 2 and os.kill(os.getpid(), signal.SIGKILL)
convert(sys.argv[1], on_step=die)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_a_kill_leaves_no_file_under_the_final_name(tmp_path, weights):
    source = training_pickle(tmp_path, weights)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(source)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("*.safetensors")) and list(tmp_path.glob("*.partial")), "killed before it wrote"
    open_world(convert(source))
    assert not list(tmp_path.glob("*.partial")), "what the kill left is cleared by the next run"


def test_an_interrupt_leaves_nothing(tmp_path, weights):
    source = training_pickle(tmp_path, weights)

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, on_step=interrupt)
    assert list(tmp_path.iterdir()) == [source]


def test_command(tmp_path, weights):
    source = training_pickle(tmp_path, weights)
    command = [sys.executable, "-m", "tools.convert", str(source), "--precision", "bf16", "--no-hash"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    target = tmp_path / "sana_wm_streaming_bf16.safetensors"
    assert ended.stdout == f"{target}: streaming, bf16, {target.stat().st_size:,} bytes\n"
    assert ended.stderr == "writing: 0.00 of 0.00 GB\n"
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and again.stderr.startswith("convert: ") and "--force" in again.stderr
    assert "Traceback" not in again.stderr


MEASURED = """
import sys
from tools.convert import Options, convert

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Anonymous:"))

small, large = sys.argv[1:]
for precision in ("keep", "bf16"):
    convert(small, options=Options(precision, force=True))
    before, peak = anonymous(), 0

    def measure(what, done, total):
        global peak
        peak = max(peak, anonymous())

    convert(large, options=Options(precision, force=True), on_step=measure)
    print(peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_flat(tmp_path, weights):
    config = DiTConfig(
        in_channels=8, depth=5, hidden_size=576, num_heads=9, head_dim=64, caption_channels=16, plucker_blocks=5
    )  # fmt: skip
    (tmp_path / "small").mkdir()
    small = training_pickle(tmp_path / "small", weights)
    zeros = {key: torch.zeros(t.shape) for key, t in released_tensors(WorldDiT(config, device="meta")).items()}
    large = training_pickle(tmp_path, zeros, more={"x": torch.zeros(5_000_000)})
    size = large.stat().st_size
    assert size > 200e6, f"{size:,}"
    command = [sys.executable, "-c", MEASURED, str(small), str(large)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for grown in (int(line) * 1024 for line in output.split()):
        assert grown < 0.1 * size, f"memory grew by {grown:,} bytes for a file of {size:,}"
