"""Our world model beside the diffusers class: random weights at configurations no fixture has, and the shipped weights."""

import json
import re
import sys
from dataclasses import dataclass

import pytest
import torch
from cases import assert_close
from safetensors import safe_open

from tools.make_tiny_checkpoints import NOT_IN_DIFFUSERS, diffusers_world_name
from tools.tiny_world.camera_scores import acted
from tools.tiny_world.files import MODELS, WORLDS
from wm_core.camera import build_conditions
from wm_core.checkpoint import load_world_model
from wm_core.checkpoint.layouts import fit_world_weights
from wm_core.checkpoint.world_file import open_world
from wm_core.config import DIFFUSERS, DiTConfig
from wm_core.dit import WorldConditions, WorldDiT
from wm_core.shapes import Stride

if sys.version_info < (3, 11):
    pytest.skip("diffusers 0.42.1 needs Python 3.11", allow_module_level=True)

from diffusers import SanaWMTransformer3DModel


@dataclass(frozen=True)
class Settings:
    layers: int
    hidden: int
    head: int
    every: int
    patch: tuple[int, int, int]
    mlp: float
    taps: int


CONFIGS = {
    "two_softmax_blocks": Settings(4, hidden=64, head=32, every=2, patch=(1, 1, 1), mlp=2.0, taps=4),
    "patch_two": Settings(3, hidden=48, head=16, every=3, patch=(1, 2, 2), mlp=3.0, taps=4),
    "no_softmax_odd_taps": Settings(2, hidden=80, head=40, every=4, patch=(1, 1, 1), mlp=2.5, taps=3),
}
SHAPE = (2, 6, 5, 4, 6)
SHIPPED = [file for world in WORLDS.values() if (file := MODELS / world.path).is_file()]


def reference_model(s):
    torch.manual_seed(s.layers)
    model = SanaWMTransformer3DModel(
        in_channels=SHAPE[1],
        num_layers=s.layers,
        hidden_size=s.hidden,
        num_attention_heads=s.hidden // s.head,
        linear_head_dim=s.head,
        softmax_every_n=s.every,
        patch_size=s.patch,
        mlp_ratio=s.mlp,
        conv_kernel_size=s.taps,
        caption_channels=12,
        chunk_plucker_channels=48,
        chunk_plucker_post_attn_blocks=s.layers,
        image_size=32,
    )
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))  # some start at zero, and a dead path proves nothing
    return model.eval()


@pytest.fixture
def exact_softmax(monkeypatch):
    """diffusers rounds softmax operands of a float32 model to bfloat16; compare without that rounding."""
    plain = torch.nn.functional.scaled_dot_product_attention

    def unrounded(query, key, value, *args, **kwargs):
        return plain(*(x.float() for x in (query, key, value)), *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", unrounded)


@pytest.mark.parametrize("name", CONFIGS)
def test_forward_agrees(name, exact_softmax, generator):
    s = CONFIGS[name]
    theirs = reference_model(s)
    config = DiTConfig(
        in_channels=SHAPE[1],
        depth=s.layers,
        hidden_size=s.hidden,
        num_heads=s.hidden // s.head,
        head_dim=s.head,
        mlp_ratio=s.mlp,
        caption_channels=12,
        patch_size=s.patch,
        softmax_every_n=s.every,
        conv_kernel_size=s.taps,
        plucker_blocks=s.layers,
        reference=DIFFUSERS,
    )
    ours = WorldDiT(config).eval()
    ours.load_state_dict(fit_world_weights(theirs.state_dict(), config))
    b, _, t, h, w = SHAPE
    x = torch.randn(SHAPE, generator=generator)
    text = torch.randn(b, 7, 12, generator=generator)
    mask = torch.ones(b, 7, dtype=torch.bool)
    mask[1, 5:] = False
    timestep = torch.tensor([[0.0, 17, 500, 833, 999]] * b)
    raymap = torch.zeros(b, t, 20)
    for i in range(t):
        angle = torch.tensor(0.07 * i)
        pose = torch.eye(4)
        pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
        pose[:3, 3] = torch.tensor([0.05 * i, -0.01 * i, 0.2 * i])
        raymap[:, i, :16] = pose.flatten()
    raymap[..., 16:] = torch.tensor([5.0, 5.2, 3.1, 1.9])
    plucker = torch.randn(b, 48, t, h, w, generator=generator)
    with torch.no_grad():
        want = theirs(
            x,
            timestep[:, None],
            text[:, None],
            mask=mask,
            camera_conditions=raymap,
            chunk_plucker=plucker,
            return_dict=False,
        )[0]
        got, _ = ours(x, timestep / 1000, WorldConditions(text, mask, raymap, plucker))
    assert_close(got, want, 2e-4)


def test_a_file_that_diffusers_saved_opens(tmp_path, generator):
    theirs = reference_model(CONFIGS["patch_two"])
    theirs.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1, "the test wants several shards"
    opened = open_world(tmp_path)
    assert opened.config.patch_size == (1, 2, 2) and opened.config.head_dim == 16 and opened.config.depth == 3
    assert opened.info.variant == "bidirectional" and "diffusers" in opened.info.layout


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_weights_give_the_same(file, exact_softmax, generator):
    """Built from what the file states, at the size and with a camera that it was trained for."""
    with safe_open(file, framework="pt") as opened:
        stated = json.loads(opened.metadata()["sana_wm.config"])
        weights = {diffusers_world_name(key): opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118
    theirs = SanaWMTransformer3DModel.from_config(stated).eval()
    unfilled, unused = theirs.load_state_dict(weights, strict=False)
    assert not unfilled, unfilled
    extra = re.compile(r"blocks\.\d+\.attn\.(recall_gate|A_log|dt_bias|(beta|gate)_proj\.\w+)")
    assert all(key in NOT_IN_DIFFUSERS or extra.fullmatch(key) for key in unused), unused
    ours = load_world_model(file)
    channels, frames, (h, w) = stated["in_channels"], 5, (16, 28)
    camera = build_conditions(acted("wl-32", (8 * h, 8 * w)), (frames, h, w), Stride(8, 8, 8))
    x = torch.randn(1, channels, frames, h, w, generator=generator)
    text = torch.randn(1, 7, stated["caption_channels"], generator=generator)
    mask, timestep = torch.ones(1, 7, dtype=torch.bool), torch.tensor([[0.0, *[700] * (frames - 1)]])
    conditions = {"camera_conditions": camera.raymap, "chunk_plucker": camera.plucker}
    with torch.no_grad():
        want = theirs(x, timestep[:, None], text[:, None], mask=mask, **conditions, return_dict=False)[0]
        got, _ = ours(x, timestep / 1000, WorldConditions(text, mask, camera.raymap, camera.plucker))
    print(f"{file.stem}: largest difference {(got - want).abs().max():.1e} of {want.abs().max():.1f}")
    assert_close(got, want, 2e-4)
