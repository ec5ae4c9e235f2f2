"""wm_core/checkpoint: every published layout loads, as the same model, without copying what need not be copied."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
from cases import ROOT, assert_close
from safetensors.torch import load_file
from tiny import draw_latents, random_conditions

from tools.make_tiny_checkpoints import (
    TINY_WORLD,
    VAES,
    WORLDS,
    make_tiny_checkpoints,
    released_tensors,
    tiny_vae,
    tiny_world,
)
from tools.reproducible import write_safetensors
from wm_core.checkpoint import (
    load_video_vae,
    load_world_model,
    open_vae,
    open_world,
    read_vae_weights,
    read_world_weights,
)
from wm_core.config import NVLABS_STREAMING, DiTConfig
from wm_core.dit import WorldDiT

GRID = (3, 2, 2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_checkpoints(folder)
    return folder


def velocity(model: WorldDiT) -> torch.Tensor:
    cond = random_conditions(TINY_WORLD, GRID, dtype=torch.float32)
    x = draw_latents((1, TINY_WORLD.in_channels, *GRID), dtype=torch.float32)
    with torch.no_grad():
        return model(x, torch.tensor([[0.0, 0.5, 0.9]]), cond)[0]


def rounded(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    return model.to(dtype).to(torch.float32)


@pytest.mark.parametrize("name", WORLDS)
def test_world_says_what_it_is(tiny, name):
    row, opened = WORLDS[name], open_world(tiny / WORLDS[name].path)
    assert opened.config.reference.name == row.reference
    assert {**vars(opened.config), "reference": None} == {**vars(TINY_WORLD), "reference": None}
    info = opened.info
    assert (info.variant, info.sampling) == (row.variant, row.sampling)
    assert info.source.startswith(row.source) and row.names in info.layout
    assert opened.file.prefix == row.prefix and opened.file.outside == tuple(row.beside)
    assert ".safetensors" not in info.name and info.parameters == sum(map(math.prod, opened.file.shapes.values()))


@pytest.mark.parametrize("name", WORLDS)
def test_world_is_the_model_that_was_written(tiny, name):
    row = WORLDS[name]
    model = load_world_model(tiny / row.path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "a CPU computes in float32"
    assert not model.training and not any(p.requires_grad or p.is_meta for p in model.parameters())
    # Two references differ in arithmetic, so the source model follows the file's.
    source = WorldDiT(model.config)
    source.load_state_dict(rounded(tiny_world(), row.dtype).state_dict())
    assert_close(velocity(model), velocity(source), 1e-6)
    if row.dtype != torch.float32 and row.reference == "nvlabs":
        assert_close(velocity(model), velocity(tiny_world()), 0.1)


@pytest.mark.parametrize("name", VAES)
def test_vae_is_the_model_that_was_written(tiny, name, generator):
    row = VAES[name]
    model, source = load_video_vae(tiny / row.path), rounded(tiny_vae(row.config), row.dtype)
    assert model.config == row.config
    stride = row.config.stride
    x = torch.randn(1, 3, stride.t + 1, stride.h, stride.w, generator=generator)
    z = torch.randn(1, row.config.latent_channels, 2, 1, 2, generator=generator)
    assert_close(model.encode(x), source.encode(x), 1e-6)
    assert_close(model.decode(z), source.decode(z), 1e-6)


def test_files_are_the_same_bytes_each_time_and_small(tiny, tmp_path):
    make_tiny_checkpoints(tmp_path)
    files = sorted(p.relative_to(tiny) for p in tiny.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for file in files:
        assert (tiny / file).read_bytes() == (tmp_path / file).read_bytes(), file
        assert (tiny / file).stat().st_size < 1_000_000, file


def test_any_shard_stands_for_all(tiny):
    whole = open_world(tiny / WORLDS["sharded"].path)
    for shard in sorted((tiny / WORLDS["sharded"].path).parent.glob("*.safetensors")):
        assert open_world(shard).file.path == whole.file.path


def test_checkpoint_of_both_models_gives_each(tmp_path):
    world = {f"model.diffusion_model.{key}": tensor for key, tensor in released_tensors(tiny_world()).items()}
    vae = {f"vae.{key}": tensor for key, tensor in tiny_vae().state_dict().items()}
    file = tmp_path / "both.safetensors"
    write_safetensors(file, world | vae, {})
    assert set(read_world_weights(open_world(file))) == set(tiny_world().state_dict())
    assert set(read_vae_weights(*open_vae(file, config=tiny_vae().config))) == set(tiny_vae().state_dict())


def test_what_the_user_chooses_counts_more_than_the_file(tiny):
    opened = open_world(tiny / WORLDS["stamped"].path, variant="bidirectional", reference="diffusers")
    assert (opened.info.variant, opened.info.source) == ("bidirectional", "your choice")
    assert opened.config.reference.name == "diffusers"
    given = open_world(tiny / WORLDS["released"].path, config=TINY_WORLD, reference="nvlabs-streaming")
    assert given.config.reference == NVLABS_STREAMING


def test_dtype_and_reading_keep_what_the_file_has(tiny):
    path = tiny / WORLDS["released_bf16"].path
    assert {t.dtype for t in read_world_weights(open_world(path)).values()} == {torch.bfloat16}
    assert {p.dtype for p in load_world_model(path, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_config_json_of_another_model_in_a_shared_folder_is_not_read(tiny, tmp_path):
    (tmp_path / "config.json").write_text(
        '{"_class_name": "AutoencoderKL", "block_out_channels": [1], "qk_norm": "rms"}'
    )
    for row, opens in ((WORLDS["released"], open_world), (VAES["vae_original"], open_vae)):
        file = tmp_path / "model.safetensors"
        file.write_bytes((tiny / row.path).read_bytes())
        opens(file)


@pytest.mark.parametrize("fields", [{"attn_type": "ChunkCausalGDNTriton"}, {"ffn_type": "ChunkGLUMBConvTemp"}])
def test_config_json_tells_the_variant(tiny, tmp_path, fields):
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "x.safetensors").write_bytes((tiny / WORLDS["released"].path).read_bytes())
    info = open_world(tmp_path).info
    assert info.variant == "chunk-causal" and info.source.startswith("config.json")


def test_a_file_that_the_host_saved_loads_as_the_same_model(tmp_path):
    """Core's Save Model writes the model's own matrices, below its prefix, without our metadata."""
    model = tiny_world()
    state = {f"model.diffusion_model.{name}": tensor for name, tensor in model.state_dict().items()}
    write_safetensors(tmp_path / "saved.safetensors", state, {"prompt": "{}"})
    loaded = load_world_model(tmp_path / "saved.safetensors", dtype=torch.float32)
    assert loaded.config == model.config
    assert all(torch.equal(t, loaded.state_dict()[name]) for name, t in model.state_dict().items())


def test_cross_attention_heads_come_from_what_is_written(tmp_path):
    tensors = released_tensors(tiny_world())
    write_safetensors(tmp_path / "x.safetensors", tensors, {"sana_wm.config": '{"num_attention_heads": 4}'})
    assert open_world(tmp_path).config.num_heads == 4


def test_odd_widths_keep_their_mlp(tmp_path):
    # 49 * (1 / 49) is less than 1 in floating point; 56 * (k / 56) falls short for some k too.
    config = DiTConfig(
        in_channels=2,
        depth=2,
        hidden_size=56,
        num_heads=7,
        head_dim=8,
        mlp_ratio=1.0,
        caption_channels=4,
        plucker_blocks=2,
    )
    for inner in range(50, 70):
        ratio = next(r for r in (inner / 56, math.nextafter(inner / 56, 9)) if int(56 * r) == inner)
        model = WorldDiT(DiTConfig(**{**vars(config), "mlp_ratio": ratio}))
        write_safetensors(tmp_path / "x.safetensors", released_tensors(model), {})
        assert open_world(tmp_path).config.mlp_hidden == inner


MEASURED = """
import sys, torch
from wm_core.checkpoint import open_world, read_world_weights
from wm_core.dit import WorldDiT

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Anonymous:"))

def load(path):
    opened = open_world(path)
    weights = read_world_weights(opened)
    model = WorldDiT(opened.config, device="meta")
    model.load_state_dict(weights, assign=True)
    return model

load(sys.argv[1])
before = anonymous()
model = load(sys.argv[2])
total = sum(p.sum(dtype=torch.float64).item() for p in model.parameters() if p.ndim > 1)
grown = anonymous() - before
mapped = sum(sys.argv[2] in line for line in open("/proc/self/maps"))
print(grown, mapped, {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"})
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_stay_in_the_file(tiny, tmp_path):
    config = DiTConfig(
        in_channels=8,
        depth=10,
        hidden_size=256,
        num_heads=8,
        head_dim=32,
        mlp_ratio=2.0,
        caption_channels=16,
        plucker_blocks=10,
    )
    file = tmp_path / "large.safetensors"
    tensors = {key: t.to(torch.bfloat16) for key, t in released_tensors(WorldDiT(config)).items()}
    write_safetensors(file, tensors, {})
    size = file.stat().st_size
    assert size > 30e6
    command = [sys.executable, "-c", MEASURED, str(tiny / WORLDS["released_bf16"].path), str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    grown, mapped, unconverted = int(output[0]) * 1024, int(output[1]), output[2]
    assert mapped > 0 and unconverted == "True", output
    assert grown < 0.2 * size, f"memory grew by {grown:,} bytes for a file of {size:,}"


def test_loaded_tensors_have_the_bytes_of_the_file(tiny):
    path = tiny / WORLDS["released"].path
    opened, stored = open_world(path), load_file(path)
    for name, tensor in read_world_weights(opened).items():
        assert torch.equal(tensor.flatten(), stored[opened.names[name]].flatten()), name
