"""tools/quantize.py: what is written is what was there, within the error of the format, and nothing else is touched."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import ROOT
from comfy_kitchen import tensor as kitchen
from refiner_models import random_refiner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tools.make_tiny_checkpoints import STAMP, WORLDS, make_tiny_checkpoints, tiny_world
from tools.quantize import CHOICES, Options, quantize, table
from wm_core.checkpoint import open_weights, open_world
from wm_core.checkpoint.keymaps import REFINER_LAYOUTS
from wm_core.checkpoint.layouts import refiner_names
from wm_core.checkpoint.quantised import METADATA_KEY, QuantisedWeights, read_quantised, split_quantised
from wm_core.checkpoint.refiner_config import CONFIG_KEY
from wm_core.checkpoint.refiner_guard import MARK
from wm_core.config import RefinerConfig
from wm_core.dit import WorldDiT
from wm_core.errors import CheckpointError
from wm_core.refiner import VideoRefiner

# Relative error of Gaussian weights: int8 has one scale for all, so it depends on the largest of them.
ERRORS = {"fp8": (0.024, 0.029), "int8": (0.004, 0.015), "nvfp4": (0.088, 0.101)}
Q = "blocks.0.attn.qkv"
TINY = RefinerConfig("split", in_channels=8, out_channels=8, depth=2, num_heads=2, head_dim=16, caption_channels=16)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_checkpoints(folder)
    return folder


def written(source: Path, target: Path, format: str = "fp8", **options) -> Path:
    quantize(source, target, Options(format, hashes=False, **options))
    return target


def read(path: Path) -> QuantisedWeights:
    opened = open_world(path)
    plain = WorldDiT(opened.config, device="meta")
    return read_quantised(opened.file, opened.names, opened.quantised, plain, opened.info.layout)


def stated(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as f:
        return f.metadata()


def numbers(got: QuantisedWeights, layer: str, shape: tuple[int, ...]) -> Tensor:
    """The weight as a host computes with it, by the library that hosts use."""
    kind = {name: layout for name, layout in CHOICES.values()}[got.layers[layer]["format"]]
    layout, weight = getattr(kitchen, kind), f"{layer}.weight"
    scales = {"scale": got.tensors[f"{weight}_scale"]}
    if f"{weight}_scale_2" in got.tensors:
        scales = {"scale": got.tensors[f"{weight}_scale_2"], "block_scale": got.tensors[f"{weight}_scale"]}
    params = layout.Params(**scales, orig_dtype=torch.float32, orig_shape=shape)
    return layout.dequantize(got.tensors[weight], params)


def relative(got: Tensor, want: Tensor) -> float:
    return ((got - want).norm() / want.norm()).item()


@pytest.mark.parametrize("format", CHOICES)
@pytest.mark.parametrize("name", ["released", "released_bf16", "sharded", "prefix_host"])
def test_written_is_read_within_the_error_of_the_format(tiny, tmp_path, name, format):
    row = WORLDS[name]
    got = read(written(tiny / row.path, tmp_path / "q.safetensors", format))
    own = {key: tensor.to(row.dtype) for key, tensor in tiny_world().state_dict().items()}
    assert len(got.layers) == 4 * 13
    for key, want in own.items():
        layer = key.removesuffix(".weight")
        if layer not in got.layers:
            assert torch.equal(got.tensors[key], want), key
            continue
        error = relative(numbers(got, layer, tuple(want.shape)), want.float())
        low, high = ERRORS[format]
        assert low < error < high, f"{key}: {error:.4f}"


def test_gates_norms_and_ends_stay(tiny, tmp_path):
    got = read(written(tiny / WORLDS["released"].path, tmp_path / "q.safetensors"))
    kept = {name.split(".", 2)[2] for name, tensor in got.tensors.items() if tensor.is_floating_point()
            and tensor.dtype == torch.float32 and name.startswith("blocks.") and tensor.ndim > 1}  # fmt: skip
    assert kept == {
        "scale_shift_table", "attn.output_gate.weight", "attn.beta_proj.weight", "attn.gate_proj.weight",
        "attn.conv_k.weight", "attn.conv_k_cam.weight", "mlp.depth_conv.conv.weight",
    }  # fmt: skip
    assert not any(not layer.startswith("blocks.") for layer in got.layers)


def test_the_same_bytes_whatever_the_source_looks_like(tiny, tmp_path):
    files = [written(tiny / WORLDS[name].path, tmp_path / f"{name}.safetensors", "nvfp4") for name in
             ("released", "prefix_model", "sharded_folder")]  # fmt: skip
    again = written(tiny / WORLDS["released"].path, tmp_path / "again.safetensors", "nvfp4")
    assert files[0].read_bytes() == again.read_bytes()
    one, *others = (load_file(file) for file in files)
    for other in others:
        assert set(other) == set(one)
        assert all(torch.equal(*(t[k].reshape(-1).view(torch.uint8) for t in (other, one))) for k in one)


def test_both_generations_of_hosts_are_told(tiny, tmp_path):
    path = written(tiny / WORLDS["released"].path, tmp_path / "q.safetensors")
    settings = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}
    layers = json.loads(stated(path)[METADATA_KEY])["layers"]
    tensors = load_file(path)
    beside = {key.removesuffix(".comfy_quant"): json.loads(bytes(tensors[key].tolist())) for key in tensors
              if key.endswith(".comfy_quant")}  # fmt: skip
    assert layers == beside and len(layers) == 52 and layers[Q] == settings
    rounding = written(tiny / WORLDS["released"].path, tmp_path / "r.safetensors", rounds_inputs=True)
    assert json.loads(stated(rounding)[METADATA_KEY])["layers"][Q] == {"format": "float8_e4m3fn"}


def test_what_the_source_says_of_itself_is_kept(tiny, tmp_path):
    path = written(tiny / WORLDS["stamped"].path, tmp_path / "q.safetensors", "int8")
    kept = stated(path)
    assert STAMP.items() <= kept.items() and kept["sana_wm.precision"] == "int8+f32"
    before, after = open_world(tiny / WORLDS["stamped"].path), open_world(path)
    assert after.info.sampling == before.info.sampling and after.config == before.config
    folder = written(tiny / WORLDS["streaming_folder"].path, tmp_path / "s.safetensors")
    assert stated(folder)["sana_wm.variant"] == "streaming", "which the name of its folder said"


def test_sizes_are_counted(tiny, tmp_path):
    source, path = tiny / WORLDS["released_bf16"].path, tmp_path / "q.safetensors"
    report = quantize(source, path, Options("fp8", hashes=False))
    tensors = load_file(path)
    assert report.after == sum(tensor.nbytes for tensor in tensors.values())
    assert report.before == 2 * sum(tensor.numel() for tensor in tiny_world().state_dict().values())
    qkv = report.kinds["blocks.*.attn.qkv"]
    assert (qkv.layers, qkv.before, qkv.after) == (4, 4 * 2 * 96 * 32, 4 * (96 * 32 + 4))
    assert report.left_out > 0 and "blocks.*.attn.qkv" in table(report) and "left out" in table(report)


def test_zeros_stay_zeros(tiny, tmp_path):
    tensors = load_file(tiny / WORLDS["released"].path)
    tensors[f"{Q}.weight"].zero_()
    save_file(tensors, tmp_path / "zeros.safetensors")
    for format in CHOICES:
        got = read(written(tmp_path / "zeros.safetensors", tmp_path / f"{format}.safetensors", format))
        assert not numbers(got, Q, (96, 32)).any(), format


def refused(source: Path, target: Path, *words: str, format: str = "fp8", **options) -> None:
    before = sorted(target.parent.iterdir())
    with pytest.raises(CheckpointError) as caught:
        written(source, target, format, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert sorted(target.parent.iterdir()) == before, "nothing is left behind"


def test_what_is_refused(tiny, tmp_path, monkeypatch):
    source, target = tiny / WORLDS["released"].path, tmp_path / "q.safetensors"
    refused(tiny / "flat/vae.safetensors", target, "is not a SANA-WM stage-1 model")
    refused(source, tmp_path / "q.bin", ".safetensors")
    refused(source, source, "is the source itself", force=True)
    tensors = load_file(source)
    tensors[f"{Q}.weight"][0, 0] = math.nan
    save_file(tensors, tmp_path / "nan.safetensors")
    refused(tmp_path / "nan.safetensors", target, f"{Q}.weight of nan.safetensors is not finite")
    written(source, target)
    refused(source, target, "--force")
    refused(target, tmp_path / "twice.safetensors", "is quantised")
    monkeypatch.setitem(sys.modules, "comfy_kitchen", None)
    refused(source, tmp_path / "other.safetensors", "comfy-kitchen", "not installed", format="nvfp4")


def test_command(tiny, tmp_path):
    target = tmp_path / "q.safetensors"
    command = [sys.executable, "-m", "tools.quantize", str(tiny / WORLDS["released"].path), str(target)]
    ended = subprocess.run([*command, "--format", "int8"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == f"{target}: int8, {target.stat().st_size:,} bytes"
    again = subprocess.run([*command, "--format", "int8"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and again.stderr.startswith("quantize: ") and "Traceback" not in again.stderr


@pytest.mark.parametrize("class_name", ["SanaWMLTX2RefinerTransformer3DModel", "LTX2VideoTransformer3DModel"])
@pytest.mark.parametrize("format", CHOICES)
def test_the_refiner_s_video_path(tmp_path, format, class_name):
    model = random_refiner(TINY, dtype=torch.float32)
    source, path = tmp_path / "sana_wm_refiner", tmp_path / "q.safetensors"
    source.mkdir()
    audio = {"transformer_blocks.0.audio_attn1.to_q.weight": torch.ones(32, 32)}
    save_file(model.state_dict() | audio, source / "diffusion_pytorch_model.safetensors")
    told = {"_class_name": class_name, "rope_type": "split", "num_attention_heads": 2}
    (source / "config.json").write_text(json.dumps(told))
    report = quantize(source, path, Options(format, hashes=False))
    assert report.left_out == 4 * 32 * 32
    assert (MARK in stated(path)) == class_name.startswith("SanaWM"), "what was not recognised is not called recognised"
    assert json.loads(stated(path)[CONFIG_KEY])["rope_type"] == "split"
    file, layers = split_quantised(open_weights(path, REFINER_LAYOUTS))
    got = read_quantised(file, refiner_names(file.shapes), layers, VideoRefiner(TINY, device="meta"))
    assert set(got.layers) == {f"transformer_blocks.{i}.{kind}" for i in range(2) for kind in (
        *(f"attn{a}.to_{part}" for a in (1, 2) for part in ("q", "k", "v", "out.0")), "ff.net.0.proj", "ff.net.2")}  # fmt: skip
    for key, want in model.state_dict().items():
        layer = key.removesuffix(".weight")
        if layer in got.layers:
            low, high = ERRORS[format]
            assert low < relative(numbers(got, layer, tuple(want.shape)), want) < high, key
        else:
            assert torch.equal(got.tensors[key], want), key
