"""wm_core.dit against the golden forwards: every published implementation behind its own switch."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cases import assert_close
from einops import rearrange
from tiny import TINY_DIT, draw_latents, golden_world, random_conditions, random_world

from wm_core.attention import padded_scale
from wm_core.config import DIFFUSERS, NVLABS, NVLABS_FIRST, NVLABS_STREAMING
from wm_core.dit import WorldConditions
from wm_core.dit.ffn import GatedConvFFN
from wm_core.dit.state import next_tail
from wm_core.dit.temporal_conv import ShortConv
from wm_core.errors import ShapeError
from wm_core.gdn import delta_scan
from wm_core.positions import Rotation, inflation, ray_geometry, rotate, rotation_table, within_rms

VARIANTS = {
    "sample": DIFFUSERS,
    "sample_upstream_head": NVLABS,
    "sample_first_release": NVLABS_FIRST,
    "sample_noclamp_padded": NVLABS_STREAMING,
}


def forward(case, reference, **without):
    i = case.inputs
    cond = WorldConditions(i["y"][:, 0], i["mask"].bool(), i["camera_conditions"], i["chunk_plucker"])
    with torch.no_grad():
        velocity, state = golden_world(case, reference)(i["x"], i["timestep"][:, 0] / 1000, replace(cond, **without))
    assert state is None
    return velocity


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("name", ["dense_dit_a", "dense_dit_b"])
def test_dense_forward_matches_golden(golden, name, key):
    case = golden(name)
    case.check(forward(case, VARIANTS[key]), key)


@pytest.mark.parametrize("name", ["dense_dit_a", "dense_dit_b"])
def test_rounded_softmax_matches_golden(golden, name):
    case = golden(name)
    got = forward(case, replace(DIFFUSERS, softmax_bf16=True))
    case.check(got, "sample_bf16sdpa", atol=case.meta["tolerance"]["bf16sdpa_atol"])
    assert (got - case.outputs["sample"]).abs().max() > 1e-4, "the switch does nothing"


@pytest.mark.parametrize("missing", [{"raymap": None}, {"plucker": None}])
def test_each_camera_path_can_be_left_out(golden, missing):
    case = golden("dense_dit_a")
    key = "sample_upstream_head_nocam" if "raymap" in missing else "sample_upstream_head_noplucker"
    case.check(forward(case, NVLABS, **missing), key)


def test_variants_differ(golden):
    """If two switches gave the same numbers on a fixture, the tests above would prove nothing."""
    outputs = golden("dense_dit_a").outputs
    keys = list(VARIANTS)
    for a, b in pairwise(keys):
        if {a, b} != {"sample_upstream_head", "sample_noclamp_padded"}:  # equal at head dim 32, which is not padded
            assert (outputs[a] - outputs[b]).abs().max() > 1e-3, (a, b)


def test_scale_is_that_of_the_padded_head():
    assert [padded_scale(d) for d in (24, 32, 64, 112, 128)] == [128**-0.5, 32**-0.5, 64**-0.5, 128**-0.5, 128**-0.5]


KEY_SCALE = (32 * 6) ** -0.5  # of the unit fixtures: head dim 32, 6 tokens a frame


def feature(x, weight):
    """Normalise over all channels, keep what is positive: (b, t, n, h, d)."""
    return torch.nn.functional.rms_norm(x.flatten(-2), (64,), weight, 1e-5).relu().unflatten(-1, (2, 32))


def test_units_gated_scan(golden):
    case = golden("units")
    i, t = case.inputs, case.meta["config"]["T"]
    q, k, v = (rearrange(x, "b (t n) h d -> b t n h d", t=t) for x in i["gdn.qkv"].unbind(2))
    q, k = feature(q, i["gdn.q_norm_weight"]), feature(k, i["gdn.k_norm_weight"]) * KEY_SCALE
    rotation = Rotation(*(rearrange(i[f"rope_{f}"], "(t n) d -> t n 1 d", t=t) for f in ("cos", "sin")))
    beta, decay = i["gdn.beta"], i["gdn.decay"]

    def run(chunks, frames=slice(None), past=(None, None)):
        at = lambda x: rearrange(x[:, frames], "b t n h d -> b h t d n")
        bd = (beta[:, :, frames], decay[:, :, frames])
        ones = torch.ones_like(at(v)[..., :1, :])
        num, kv = delta_scan(at(rotate(q, rotation)), at(rotate(k, rotation)), at(v), *bd, chunks=chunks, past=past[0])
        den, z = delta_scan(at(q), at(k), ones, *bd, chunks=chunks, past=past[1])
        return rearrange(num / (den + 1e-8), "b h t d n -> b (t n) h d"), (kv, z)

    case.check(run((5,))[0], "gdn.bidirectional")
    case.check(run((3, 2))[0], "gdn.chunk_causal")
    first, state = run((3,), slice(0, 3))
    case.check(first, "gdn.stream.chunk0")
    case.check(state[0], "gdn.stream.S_kv0")
    case.check(state[1].mT, "gdn.stream.S_z0")
    second, state = run((2,), slice(3, 5), state)
    case.check(second, "gdn.stream.chunk1")
    case.check(state[0], "gdn.stream.S_kv1")
    case.check(state[1].mT, "gdn.stream.S_z1")


@pytest.mark.parametrize("kind", ["cam", "cam_clamped"])
def test_units_camera_branch(golden, kind):
    case = golden("units")
    i, (t, h, w) = case.inputs, (5, 2, 3)
    rays = ray_geometry(i["camera_conditions"], (t, h, w), (1, 1, 1), rotation_table((t, h, w), 32, turned=16))
    case.check(rays.to_ray.flatten(1, 2), "raymats")
    case.check(rays.from_ray.flatten(1, 2), "raymats_inv")
    case.check(rays.rotation.cos.flatten(0, 2), "cam.rope_cos")
    case.check(rays.rotation.sin.flatten(0, 2), "cam.rope_sin")
    q, k, v = (rearrange(i[f"cam.{x}"], "b (t n) h d -> b t n h d", t=t) for x in "qkv")
    q, k = feature(q, i["gdn.q_norm_weight"]), feature(k, i["gdn.k_norm_weight"]) * KEY_SCALE
    limit = within_rms if kind == "cam_clamped" else lambda moved, before: moved
    moved = [limit(rays.queries(q), q), limit(rays.keys(k), k), limit(rays.keys(v), v)]
    for name, x in zip("qkv", moved):
        case.check(rearrange(x, "b t n h d -> b h d (t n)"), f"{kind}.{name}")
    grown = inflation(moved[1], k)
    per_token = rearrange(case.outputs[f"{kind}.inflation_sq"], "b h (t n) -> b h t n", t=t)
    assert_close(grown, per_token.mean(-1), 2e-5, 1e-4)
    beta = i["gdn.beta"] / grown.clamp_min(1.0)[..., None]
    case.check(beta, f"{kind}.beta")
    read, _ = delta_scan(*(rearrange(x, "b t n h d -> b h t d n") for x in moved), beta, i["gdn.decay"], chunks=(t,))
    case.check(rearrange(read, "b h t d n -> b h d (t n)"), f"{kind}.scan_bidirectional")
    out = rays.outputs(rearrange(read, "b h t d n -> b t n h d"))
    case.check(rearrange(out, "b t n h d -> b (t n) (h d)"), f"{kind}.out")


def test_units_short_convolution(golden):
    case = golden("units")
    conv = ShortConv(64, 4)
    conv.load_state_dict({"weight": case.weights["short_conv.weight"]})
    x = rearrange(case.inputs["conv.x"], "b (t n) c -> b t n c", t=5)
    tokens = lambda y: rearrange(y, "b t n c -> b (t n) c")
    with torch.no_grad():
        case.check(tokens(conv(x, (5,))), "conv.bidirectional")
        case.check(tokens(conv(x[:, :3], (3,))), "conv.stream.chunk0")
        tail = next_tail(x[:, :3], None, 3)
        case.check(rearrange(tail, "b t n c -> (b n) t c"), "conv.stream.cache0")
        case.check(tokens(conv(x[:, 3:], (2,), tail)), "conv.stream.chunk1")
    # The fixture's second cache has only the chunk's 2 frames; ours keeps the third from before, as the law asks.
    tail = next_tail(x[:, 3:], tail, 3)
    case.check(rearrange(tail[:, 1:], "b t n c -> (b n) t c"), "conv.stream.cache1")
    assert torch.equal(tail[:, 0], x[:, 2])


def test_units_ffn(golden):
    case = golden("units")
    ffn = GatedConvFFN(64, 128, 3, torch.nn)
    own = ffn.state_dict()
    ffn.load_state_dict({k: case.weights[f"mlp.{k}"].reshape(own[k].shape) for k in own})
    x = rearrange(case.inputs["mlp.x"], "b (t n) c -> b t n c", t=5)
    tokens = lambda y: rearrange(y, "b t n c -> b (t n) c")
    with torch.no_grad():
        case.check(tokens(ffn(x, (2, 3), (5,))[0]), "mlp.whole")
        first, tail = ffn(x[:, :3], (2, 3), (3,))
        case.check(tokens(first), "mlp.stream.chunk0")
        case.check(rearrange(tail, "b t n c -> b c t n"), "mlp.stream.cache0")
        second, tail = ffn(x[:, 3:], (2, 3), (2,), tail)
        case.check(tokens(second), "mlp.stream.chunk1")
        case.check(rearrange(tail, "b t n c -> b c t n"), "mlp.stream.cache1")


def test_bad_shapes_are_named():
    model, grid = random_world(), (3, 2, 3)
    cond, x = random_conditions(TINY_DIT, grid), draw_latents((1, 8, *grid))
    with pytest.raises(ShapeError, match="latents must be"):
        model(x[:, :7], torch.ones(1, 3), cond)
    with pytest.raises(ShapeError, match="sigma must be"):
        model(x, torch.ones(1), cond)
    with pytest.raises(ShapeError, match="prompt embedding"):
        model(x, torch.ones(1, 3), replace(cond, text=cond.text[..., :4]))
    with pytest.raises(ShapeError, match="3 latent frames"):
        model(x, torch.ones(1, 3), replace(cond, raymap=cond.raymap[:, :2]))
    with pytest.raises(ShapeError, match="sum to 3"):
        model(x, torch.ones(1, 3), cond, chunks=(2, 2))
