"""wm_core/checkpoint/refiner_file.py, refiner_config.py and refiner_guard.py on tiny files in every layout."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tools.fingerprint import row_of
from tools.make_tiny_refiner import AUDIO, CONNECTOR, FILE, REFINER, REFINERS, write_refiner
from wm_core.checkpoint import (
    Verdict,
    check_belongs,
    find_connectors,
    judged,
    load_connectors,
    load_refiner,
    open_connectors,
    open_refiner,
    read_refiner_weights,
    refuse_wrong,
)
from wm_core.checkpoint.refiner_guard import Known, examine, fingerprint
from wm_core.errors import CheckpointError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = {name: write_refiner(folder, row) for name, row in REFINERS.items()}
    return folder, paths


@pytest.fixture
def plain(tmp_path):
    """A diffusers folder of this test alone."""
    return write_refiner(tmp_path, REFINERS["as_stock"])


def rewritten(path, change, metadata=None):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("name", [name for name in REFINERS if name != "unstated"])
def test_every_layout_gives_the_same_model(models, name):
    _, paths = models
    opened = open_refiner(paths[name])
    assert opened.config == REFINER and "rope" not in opened.rope_source
    first = load_refiner(paths["diffusers"]).state_dict()
    for key, value in load_refiner(paths[name]).state_dict().items():
        same = first[key].to(REFINERS[name].dtype).float()
        assert torch.equal(value, same), key
    connectors = find_connectors(paths[name])
    assert connectors is not None
    assert open_connectors(connectors).config == CONNECTOR
    check_belongs(opened, open_connectors(connectors))
    assert load_connectors(connectors).text_proj_in.weight.shape == (32, 256)


def test_audio_is_listed_and_never_read(plain):
    """Its bytes are overwritten with what no float is allowed to be; the model loads and is finite."""
    raw = bytearray(plain.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    audio = {key: row["data_offsets"] for key, row in header.items() if key in AUDIO}
    assert len(audio) == len(AUDIO)
    for begin, end in audio.values():
        raw[8 + length + begin : 8 + length + end] = b"\xff" * (end - begin)
    plain.write_bytes(raw)
    opened = open_refiner(plain)
    assert opened.never_read == sum(torch.Size(shape).numel() for shape in AUDIO.values())
    weights = read_refiner_weights(opened)
    assert not set(weights) & set(AUDIO) and all(w.isfinite().all() for w in weights.values())


def test_rope_is_never_assumed(models):
    _, paths = models
    with pytest.raises(CheckpointError, match="nothing says which channels .*choose rope under advanced"):
        open_refiner(paths["unstated"])
    chosen = open_refiner(paths["unstated"], rope="interleaved")
    assert chosen.config.rope == "interleaved" and chosen.rope_source == "chosen"


def test_rope_of_the_config_file_counts(plain):
    config = plain.with_name("config.json")
    config.write_text(config.read_text().replace('"split"', '"interleaved"'))
    opened = open_refiner(plain)
    assert opened.config.rope == "interleaved"
    with pytest.raises(CheckpointError, match="rope split.*interleaved; both must be of one release"):
        check_belongs(opened, open_connectors(find_connectors(plain)))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("gated_attn", True, "LTX-2.3 or later"),
        ("cross_attn_mod", True, "LTX-2.3 or later"),
        ("num_layers", 48, "the tensors make 3"),
        ("attention_head_dim", 64, "the tensors make 16"),
        ("rope_type", "spiral", "split or interleaved"),
    ],
)
def test_configs_of_other_models(plain, field, value, words):
    config = plain.with_name("config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), field: value}))
    with pytest.raises(CheckpointError, match=words):
        open_refiner(plain)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("transformer_blocks.0.attn1.to_gate_logits.weight", "is of LTX-2.3 or later"),
        ("transformer_blocks.0.prompt_scale_shift_table", "is of LTX-2.3 or later"),
        ("something.else.weight", "1 unknown: something.else.weight"),
    ],
)
def test_tensors_of_other_models(plain, key, words):
    rewritten(plain, lambda tensors: tensors.update({key: torch.zeros(2, 2)}))
    with pytest.raises(CheckpointError, match=words):
        load_refiner(plain)


def test_missing_tensors_are_named(plain):
    rewritten(plain, lambda tensors: tensors.pop("transformer_blocks.2.ff.net.2.bias"))
    with pytest.raises(CheckpointError, match="transformer_blocks.2.ff.net.2.bias"):
        load_refiner(plain)
    rewritten(plain, lambda tensors: [tensors.pop(key) for key in list(tensors) if ".1." in key and "blocks.1." in key])
    with pytest.raises(CheckpointError, match=r"blocks are \[0, 2\], not 0 and up"):
        open_refiner(plain)


def test_connectors_of_a_newer_release(plain):
    connectors = find_connectors(plain) / FILE
    rewritten(connectors, lambda tensors: tensors.update({"video_text_proj_in.weight": torch.zeros(2, 2)}))
    with pytest.raises(CheckpointError, match="is of LTX-2.3 or later"):
        open_connectors(connectors)


def test_connectors_of_another_width(plain):
    opened = open_refiner(plain)
    made = open_connectors(find_connectors(plain))
    other = replace(made, config=replace(CONNECTOR, caption_channels=64, num_heads=8))
    with pytest.raises(CheckpointError, match="context of 64 channels, .* reads 32"):
        check_belongs(opened, other)


def test_no_connectors_are_found_where_there_are_none(plain):
    shutil.rmtree(find_connectors(plain))
    assert find_connectors(plain) is None


def test_other_files_are_refused_with_their_name(models, tmp_path):
    save_file({"blocks.0.attn.conv_k.weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="is not an LTX-2 transformer.*about 38 GB"):
        open_refiner(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="not the text connectors"):
        open_connectors(models[1]["diffusers"])


# What the guard makes of it.


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("diffusers", Verdict.RECOGNISED, "says that it is"),
        ("sharded", Verdict.RECOGNISED, "says that it is"),
        ("as_stock", Verdict.UNKNOWN, "nothing in it says whose"),
        ("original", Verdict.DOUBTFUL, "stock LTX-2"),
    ],
)
def test_what_a_file_says_about_itself(models, name, verdict, words):
    opened = open_refiner(models[1][name])
    assert judged(opened.findings) is verdict and any(words in finding.words for finding in opened.findings)
    refuse_wrong(opened.file, list(opened.findings))


@pytest.mark.parametrize("name", ["SANA-WM/ltx-2-19b-dev.safetensors", "sana-wm-stuff/ltx-2.3-22b-distilled.safetensors"])
def test_a_folder_of_that_name_makes_nothing_a_refiner(models, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir()
    shutil.copyfile(models[1]["original"], path)
    assert judged(open_refiner(path).findings) is Verdict.DOUBTFUL
    plain = path.with_name("sana_wm_refiner.safetensors")
    path.rename(plain)
    assert judged(open_refiner(plain).findings) is Verdict.UNKNOWN


def test_shards_of_the_file_itself_are_no_proof(models):
    _, paths = models
    shards = sorted(paths["sharded"].parent.glob("*.safetensors"))
    assert len(shards) == 3
    assert judged(open_refiner(paths["sharded"], others=shards).findings) is Verdict.RECOGNISED


def test_a_twin_of_no_published_name_is_a_doubt(models, tmp_path):
    twin = tmp_path / "ltx2_video.safetensors"
    shutil.copyfile(models[1]["original"], twin)
    opened = open_refiner(models[1]["diffusers"], others=[twin])
    assert judged(opened.findings) is Verdict.DOUBTFUL and "may be stock LTX-2" in opened.findings[0].words


def test_fingerprint_is_of_the_tensors(models, tmp_path):
    opened = {name: open_refiner(path, rope="split") for name, path in models[1].items()}
    marks = {name: fingerprint(o.file, o.names) for name, o in opened.items()}
    assert len(set(marks.values())) == 1 and None not in marks.values(), "one model in six files, float32 and bfloat16"
    other = open_refiner(write_refiner(tmp_path, REFINERS["diffusers"], seed=9))
    assert fingerprint(other.file, other.names) not in marks.values()


def test_a_fingerprint_on_record_decides(models):
    opened = open_refiner(models[1]["as_stock"])
    mark = fingerprint(opened.file, opened.names)
    ours = examine(opened.file, opened.names, known={mark: Known("SANA-WM's refiner", True)})
    assert judged(ours) is Verdict.RECOGNISED and "SANA-WM's refiner" in ours[0].words
    stock = examine(opened.file, opened.names, known={mark: Known("LTX-2 19B dev", False)})
    assert judged(stock) is Verdict.WRONG
    with pytest.raises(CheckpointError, match="those of LTX-2 19B dev.*visibly broken.*use_anyway"):
        refuse_wrong(opened.file, stock)


def test_a_copy_of_a_stock_file_in_the_users_folders(models):
    """A conversion whose LoRA was not fused has the stock file's tensors under another name."""
    _, paths = models
    opened = open_refiner(paths["diffusers"], others=[paths["original"]])
    assert judged(opened.findings) is Verdict.WRONG, "although its config says otherwise"
    with pytest.raises(CheckpointError, match="ltx-2-19b-dev.safetensors, which is stock LTX-2"):
        refuse_wrong(opened.file, list(opened.findings))
    itself = open_refiner(paths["original"], others=[paths["original"]])
    assert judged(itself.findings) is Verdict.DOUBTFUL


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t.update({"transformer_blocks.0.attn1.to_q.lora_A.weight": torch.zeros(2, 2)}),
            "not fused into them",
        ),
        (lambda t: t["transformer_blocks.0.attn1.to_q.weight"].fill_(float("nan")), "not finite"),
        (lambda t: t["transformer_blocks.0.attn1.to_q.weight"].zero_(), "is constant"),
        (lambda t: t["transformer_blocks.0.attn1.norm_q.weight"].fill_(1), "constant, as before training"),
        (lambda t: t["transformer_blocks.0.attn1.to_q.weight"].mul_(1e6), "spread of"),
    ],
)
def test_leftovers_and_the_statistical_test(plain, change, words):
    rewritten(plain, change)
    opened = open_refiner(plain)
    with pytest.raises(CheckpointError, match=words):
        refuse_wrong(opened.file, list(opened.findings))


def test_fingerprint_tool_writes_a_row_of_the_table(models):
    row = eval("{" + row_of(models[1]["sharded"], "SANA-WM's refiner", True) + "}", {"Known": Known})
    opened = open_refiner(models[1]["sharded"])
    assert row == {fingerprint(opened.file, opened.names): Known("SANA-WM's refiner", True)}
