"""wm_core/checkpoint: what is wrong with a file is said in one error that names it, and nothing stays open."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tools.make_tiny_checkpoints import VAES, WORLDS, make_tiny_checkpoints
from tools.reproducible import write_safetensors
from wm_core.checkpoint import load_video_vae, load_world_model, open_world
from wm_core.errors import CheckpointError, ConfigError

WORLD = "t_embedder.mlp.0.weight"
Q = "blocks.0.attn.qkv.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_checkpoints(folder)
    return folder


def refused(load, path: Path, *words: str, **options) -> str:
    """The text of the one error of `load(path)`, which has all `words` and leaves no file open."""
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        load(path, **options)
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert 30 < len(text) < 900 and "\n" not in text, text
    if sys.platform.startswith("linux"):
        folder = str(path if path.is_dir() else path.parent)
        assert folder not in Path("/proc/self/maps").read_text(), "a file is still mapped"
        held = [p.resolve() for p in Path("/proc/self/fd").iterdir() if p.exists()]
        assert not any(str(p).startswith(folder + "/") for p in held), "a file is still open"
    return text


def written(tmp_path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    if not tensors:  # which the library writes wrongly
        (tmp_path / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
        return tmp_path / "model.safetensors"
    write_safetensors(tmp_path / "model.safetensors", tensors, metadata or {})
    return tmp_path / "model.safetensors"


def zeros(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(2, 2) for name in names}


CUTS = {
    "empty": (0, "is empty (0 bytes)"),
    "in_the_length": (5, "cut off after 5 bytes"),
    "after_the_length": (8, "inside its header"),
    "in_the_header": (1000, "inside its header"),
    "at_the_last_byte_of_the_header": ("header", "inside its header"),
    "before_the_data": ("data", " bytes; download it again"),
    "in_the_data": (200_000, "200,000 of 513,440 bytes"),
    "before_the_last_byte": (-1, "513,439 of 513,440 bytes"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_truncated(tiny, tmp_path, cut):
    content = (tiny / WORLDS["released"].path).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    at, word = CUTS[cut]
    file = tmp_path / "cut.safetensors"
    file.write_bytes(content[: {"header": header - 1, "data": header}.get(at, at)])
    text = refused(load_world_model, file, "cut.safetensors", word, "download it again")
    assert "{" not in text
    file.unlink()
    file.write_bytes(content)
    load_world_model(file)


def test_longer_than_its_header_says(tiny, tmp_path):
    file = tmp_path / "long.safetensors"
    file.write_bytes((tiny / WORLDS["released"].path).read_bytes() + b"tail")
    refused(load_world_model, file, "long.safetensors", "513,444 bytes instead of 513,440")


IMPOSTORS = {
    "git_lfs_pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "web_page": (b"<!DOCTYPE html><html>log in</html>" * 9, "web page"),
    "zip_pickle": (b"PK\x03\x04" + b"x" * 99, "pickle"),
    "old_pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"x" * 99, "pickle"),
    "gguf": (b"GGUF" + b"\x03\0\0\0" * 20, "quantised"),
    "noise": (bytes(range(256)) * 8, "not a safetensors file"),
    "damaged_header": ((40).to_bytes(8, "little") + b"{" + b"?" * 60, "damaged header"),
}


@pytest.mark.parametrize("name", IMPOSTORS)
def test_something_else_under_the_name(tmp_path, name):
    content, word = IMPOSTORS[name]
    (tmp_path / "model.safetensors").write_bytes(content)
    refused(load_world_model, tmp_path / "model.safetensors", "model.safetensors", word)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".pkl", ".gguf", ".txt", ""])
def test_other_formats_are_never_opened(tmp_path, suffix):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    word = {".gguf": "quantised", ".txt": "choose one", "": "choose one"}.get(suffix, "pickle")
    refused(load_world_model, file, f"model{suffix} is not a .safetensors file", word)


def test_missing_file(tmp_path):
    refused(load_world_model, tmp_path / "none.safetensors", "no such file", "none.safetensors")


FOREIGN = {
    "lora": (zeros("diffusion_model.blocks.0.attn.qkv.lora_A.weight"), "LoRA; load the base model"),
    "lora_old_names": (zeros("lora_unet_blocks_0_attn_qkv.lora_down.weight"), "LoRA"),
    "lokr": (zeros("blocks.0.attn.qkv.lokr_w1"), "LoRA"),
    "gemma": (zeros("model.layers.0.self_attn.q_proj.weight", "model.norm.weight"), "Load SANA-WM Text Encoder"),
    "ltx2": (zeros("model.diffusion_model.transformer_blocks.0.audio_attn1.to_q.weight"), "LTX-2 transformer"),
    "ltx2_diffusers": (
        zeros("transformer_blocks.0.attn1.to_q.weight", "transformer_blocks.0.audio_attn1.to_q.weight"),
        "LTX-2 transformer",
    ),
    "connectors": (zeros("video_connector.transformer_blocks.0.attn1.to_q.weight"), "connectors"),
    "ltx_video": (zeros("transformer_blocks.0.attn1.to_q.weight"), "LTX-Video"),
    "wan": (zeros("blocks.0.self_attn.q.weight", "patch_embedding.weight"), "Wan transformer"),
    "wan_in_the_host": (zeros("model.diffusion_model.blocks.0.self_attn.q.weight"), "Wan transformer"),
    "sana_video": (zeros("x_embedder.proj.weight", "t_block.1.weight", WORLD), "without camera"),
    "sd_vae": (zeros("first_stage_model.decoder.conv_in.weight"), "VAE of another model"),
    "wan_vae": (zeros("decoder.conv1.weight"), "VAE of another model"),
    "old_ltx_vae": (zeros("vae.encoder.down_blocks.0.res_blocks.0.conv1.conv.weight"), "before LTX-2"),
    "unknown": (zeros("some.weight", "other.weight"), "keys begin other.weight, some.weight, expected"),
    "no_tensors": ({}, "holds no tensors"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("load", [load_world_model, load_video_vae])
def test_foreign_files_are_named(tmp_path, name, load):
    tensors, word = FOREIGN[name]
    what = "a SANA-WM stage-1 model" if load is load_world_model else "an LTX-2 video VAE"
    text = refused(load, written(tmp_path, tensors), "model.safetensors", f"is not {what}", word)
    steps = ("load", "choose a file of SANA-WM" if load is load_world_model else "choose the video VAE", "download")
    assert any(step in text for step in steps), "the text lacks the next step"


@pytest.mark.parametrize("name", WORLDS)
def test_world_opened_as_vae(tiny, name):
    refused(load_video_vae, tiny / WORLDS[name].path, "is not an LTX-2 video VAE", "stage 1", "Load SANA-WM Model")


@pytest.mark.parametrize("name", VAES)
def test_vae_opened_as_world(tiny, name):
    word = "LTX-2 transformer" if name == "vae_in_checkpoint" else "Load LTX-2 Video VAE"
    refused(load_world_model, tiny / VAES[name].path, "is not a SANA-WM stage-1 model", word)


def without(*names):
    return lambda tensors: {key: t for key, t in tensors.items() if not key.startswith(names)}


def with_zeros(*names):
    return lambda tensors: tensors | zeros(*names)


EDITS = {
    "wrong_shape": (lambda t: t | {Q: torch.zeros(96, 31)}, ["1 of another size", f"{Q} (96, 31), wanted (96, 32)"]),
    "many_wrong": (lambda t: t | {k: torch.zeros(1) for k in t if "cross_attn" in k}, ["32 of another size", ", ..."]),
    "missing_weight": (without(Q), [f"1 of 178 missing: {Q}", "read as SANA-WM stage 1, released names"]),
    "missing_middle_block": (without("blocks.1."), ["incomplete", "blocks up to 3, but not 1"]),
    "missing_blocks": (without("blocks."), ["incomplete", "no blocks"]),
    "missing_conv": (without("blocks.0.attn.conv_k.weight"), ["conv_k.weight is absent from blocks 0, 3"]),
    "missing_patch_embedding": (without("x_embedder."), ["it lacks x_embedder.proj.weight"]),
    "impossible_width": (lambda t: t | {"blocks.0.attn.A_log": torch.zeros(5)}, ["no model has its sizes", "head_dim"]),
    "no_heads": (lambda t: t | {"blocks.0.attn.A_log": torch.zeros(0)}, ["no model has its sizes", "A_log (0,)"]),
    "flat_patches": (lambda t: t | {"x_embedder.proj.weight": torch.zeros(32)}, ["no model has its sizes"]),
    "unknown_key": (
        with_zeros("blocks.0.attn.extra.weight"),
        ["1 unknown: blocks.0.attn.extra.weight", "without them"],
    ),
    "two_layouts": (with_zeros("t_embedder.linear_1.weight"), ["mixes two layouts", "t_embedder.mlp.0.weight"]),
    "unknown_prefix": (lambda t: {f"net.{k}": v for k, v in t.items()}, ["'net.'", "without the prefix"]),
    "half_prefixed": (
        lambda t: {(k if "blocks.0" in k else f"model.{k}"): v for k, v in t.items()},
        ["under the prefix 'model.'", "blocks.0.attn.A_log", "mixes two layouts"],
    ),
    "fp8": (
        lambda t: {k: v.to(torch.float8_e4m3fn) if v.ndim == 2 else v for k, v in t.items()},
        ["is quantised: F8_E4M3 (", "bf16"],
    ),
    "fp8_with_scales": (
        lambda t: t | {Q: t[Q].to(torch.float8_e4m3fn), "blocks.0.attn.qkv.scale_weight": torch.ones(1)},
        ["is quantised: F8_E4M3", Q],
    ),
    "int8": (lambda t: t | {Q: t[Q].to(torch.int8)}, ["is quantised: I8 (number of tensors: 1", Q]),
    "only_scales": (with_zeros("blocks.0.attn.qkv.weight_scale"), ["scales beside the weights", "weight_scale"]),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_world(tiny, tmp_path, name):
    change, words = EDITS[name]
    file = written(tmp_path, change(load_file(tiny / WORLDS["released"].path)))
    refused(load_world_model, file, "model.safetensors", *words)
    file.unlink()


def test_an_error_keeps_no_weights(tiny, tmp_path):
    def weights() -> int:
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) and o.device.type != "meta" for o in gc.get_objects())

    file = written(tmp_path, load_file(tiny / WORLDS["released"].path) | zeros("blocks.0.extra"))
    before = weights()
    with pytest.raises(CheckpointError) as caught:
        load_world_model(file)
    assert weights() == before and caught.value is not None, "the error holds weights as long as it lives"


STATED = {
    "unknown_variant": ({"sana_wm.variant": "dense"}, ["sana_wm.variant", "chunk-causal", "'dense'"]),
    "unknown_reference": ({"sana_wm.reference": "me"}, ["sana_wm.reference of model.safetensors", "nvlabs", "'me'"]),
    "newer_format": ({"sana_wm.format": "2"}, ["sana_wm.format must be 1", "update"]),
    "sampling_not_json": ({"sana_wm.sampling": "{"}, ["sana_wm.sampling", "not valid JSON"]),
    "sampling_a_list": ({"sana_wm.sampling": "[1]"}, ["sana_wm.sampling", "JSON object", "list"]),
    "sampling_unknown": ({"sana_wm.sampling": '{"cfgs": 1}'}, ["cfgs must be one of steps, cfg"]),
    "sampling_a_word": ({"sana_wm.sampling": '{"steps": "6"}'}, ["steps must be int, got '6'"]),
    "config_not_json": ({"sana_wm.config": "no"}, ["sana_wm.config", "not valid JSON"]),
    "config_heads": ({"sana_wm.config": '{"num_attention_heads": "2"}'}, ["num_attention_heads", "'2'"]),
    "config_unsupported": ({"sana_wm.config": '{"qk_norm": false}'}, ["qk_norm must be True, got False"]),
    "config_of_another": ({"sana_wm.config": '{"num_layers": 20}'}, ["num_layers is 20, but the tensors make 4"]),
}


@pytest.mark.parametrize("name", STATED)
def test_metadata_that_is_not_understood(tiny, tmp_path, name):
    metadata, words = STATED[name]
    refused(load_world_model, written(tmp_path, load_file(tiny / WORLDS["released"].path), metadata), *words)


def test_choices_that_there_are_not(tiny):
    path = tiny / WORLDS["released"].path
    refused(open_world, path, "variant must be one of bidirectional", "'dense'", variant="dense")
    refused(open_world, path, "reference must be one of nvlabs", "'me'", reference="me")


@pytest.mark.parametrize(("text", "word"), [("{", "not valid JSON"), ("[]", "JSON object"), ("\xff", "not valid JSON")])
@pytest.mark.parametrize("load", [load_world_model, load_video_vae])
def test_broken_config_json(tiny, tmp_path, load, text, word):
    row = WORLDS["diffusers"] if load is load_world_model else VAES["vae_diffusers"]
    folder = shutil.copytree(tiny / row.path, tmp_path / "folder")
    (folder / "config.json").write_text(text, encoding="utf-8")
    refused(load, folder, "config.json beside diffusion_pytorch_model.safetensors", word)


def shards_of(tiny, tmp_path) -> Path:
    return shutil.copytree((tiny / WORLDS["sharded"].path).parent, tmp_path / "shards")


def test_missing_shard(tiny, tmp_path):
    folder = shards_of(tiny, tmp_path)
    first, second, third = sorted(folder.glob("*.safetensors"))
    second.unlink()
    for path in (folder, first, third):
        refused(load_world_model, path, "lists 3 shards, missing: " + second.name, "same folder")


def test_shard_without_index(tiny, tmp_path):
    folder = shards_of(tiny, tmp_path)
    (folder / "diffusion_pytorch_model.safetensors.index.json").unlink()
    shard = sorted(folder.glob("*.safetensors"))[1]
    wanted = "put diffusion_pytorch_model.safetensors.index.json"
    refused(load_world_model, shard, shard.name, "one of 3 shards", wanted)
    for other in folder.glob("*.safetensors"):
        if other != shard:
            other.unlink()
    refused(load_world_model, folder, shard.name, wanted)


def test_damaged_shard_or_index(tiny, tmp_path):
    folder = shards_of(tiny, tmp_path)
    shard = sorted(folder.glob("*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:-9])
    refused(load_world_model, folder, shard.name, "is cut off")
    shard.write_bytes(content)
    shutil.copy(shard, folder / "diffusion_pytorch_model-00001-of-00003.safetensors")
    refused(load_world_model, folder, "is in both")
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    for text in ("{", '{"weight_map": 1}', '{"weight_map": {"a": 1}}', "{}"):
        index.write_text(text)
        refused(load_world_model, folder, index.name)


def test_folders_that_leave_a_choice(tiny, tmp_path):
    for name in ("one", "two"):
        shutil.copy(tiny / WORLDS["released"].path, tmp_path / f"{name}.safetensors")
    refused(load_world_model, tmp_path, "found one.safetensors, two.safetensors; name the file")
    (tmp_path / "empty").mkdir()
    refused(load_world_model, tmp_path / "empty", "found none; name the file")
    refused(load_world_model, tiny / "diffusers", "found none; choose one of its folders transformer, vae")


@pytest.mark.parametrize("name", ["vae_diffusers", "vae_in_checkpoint"])
def test_edited_vae(tiny, tmp_path, name):
    row = VAES[name]
    source = tiny / row.path
    source = source / "diffusion_pytorch_model.safetensors" if source.is_dir() else source
    tensors = load_file(source)
    metadata = {"sana_wm.vae_config": (tiny / "diffusers/vae/config.json").read_text()}
    conv = f"{row.prefix}decoder.conv_out.conv."
    wrong = tensors | {conv + "weight": torch.zeros(9, 4, 3, 3, 3)}
    refused(load_video_vae, written(tmp_path, wrong, metadata), "1 of another size: decoder.conv_out.conv.weight")
    refused(load_video_vae, written(tmp_path, without(conv)(tensors), metadata), "2 of", "decoder.conv_out.conv.bias")
    extra = tensors | {f"{row.prefix}decoder.last_time_embedder.weight": torch.zeros(1)}
    refused(load_video_vae, written(tmp_path, extra, metadata), "1 unknown: decoder.last_time_embedder.weight")
    fp8 = tensors | {conv + "weight": tensors[conv + "weight"].to(torch.float8_e4m3fn)}
    refused(load_video_vae, written(tmp_path, fp8, metadata), "is quantised: F8_E4M3")


def test_changed_after_it_was_opened(tiny, tmp_path):
    from wm_core.checkpoint import read_world_weights

    file = written(tmp_path, load_file(tiny / WORLDS["released"].path))
    opened = open_world(file)
    written(tmp_path, zeros("other"))
    refused(lambda _: read_world_weights(opened), file, "changed after it was opened", "load it again")


def test_index_is_read_from_its_own_folder_only(tiny, tmp_path):
    folder = shards_of(tiny, tmp_path)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    data = json.loads(index.read_text())
    data["weight_map"] = {key: f"../{name}" for key, name in data["weight_map"].items()}
    index.write_text(json.dumps(data))
    load_world_model(index)
