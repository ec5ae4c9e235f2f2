"""wm_core.gdn.triton_branches against the torch form in float64: the kernels, over shapes, chunk lists, states and dtypes."""

from dataclasses import fields, replace

import interpreted
import pytest
import torch
from cases import assert_close

from wm_core.errors import ConfigError, ShapeError
from wm_core.gdn import branches, triton_branches
from wm_core.gdn.branches import Projected
from wm_core.positions import ray_geometry, rotation_table

DEVICE = interpreted.device()
# RMS ratio to float64: the sums are float32 in both, so what is left is the rounding of the operands, 11 or 8 bits
RMS = {torch.float32: 2e-6, torch.float16: 5e-4, torch.bfloat16: 4e-3}
DTYPES = [torch.float32, torch.float16] + [torch.bfloat16] * (DEVICE == "cuda")
# b, (t, h, w), heads, head dim, chunks: tails of every block size, several frames and heads, one token
CASES = {
    "16": (1, (3, 3, 5), 2, 16, (3,)),
    "24, batch, chunks": (2, (3, 3, 7), 2, 24, (2, 1)),
    "32, one token": (1, (3, 1, 1), 2, 32, (1, 1, 1)),
    "112, tail": (1, (3, 5, 13), 1, 112, (1, 2)),
    "128": (1, (2, 4, 8), 1, 128, (2,)),
}


def projected(b, grid, heads, d, dtype, seed=0):
    """Operands as a block hands them over, q and v as views of one projection; the same numbers in float64 beside."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=g)
    t, n, c = grid[0], grid[1] * grid[2], heads * d
    q, _, v = draw(b, t, n, 3 * c).to(DEVICE, dtype).chunk(3, -1)
    k, weights = draw(b, t, n, c), (1 + 0.3 * draw(c), 1 + 0.3 * draw(c))
    beta, decay = draw(b, t, n, heads).sigmoid(), (draw(b, heads, t) + 1).sigmoid()
    x = Projected(q, *(y.to(DEVICE, dtype) for y in (k,)), v, *(w.to(DEVICE, dtype) for w in weights), 1e-6,
                  beta.to(DEVICE, dtype), decay.to(DEVICE))  # fmt: skip
    exact = {f.name: getattr(x, f.name) for f in fields(x)}
    exact = Projected(**{name: y.double() if isinstance(y, torch.Tensor) else y for name, y in exact.items()})
    return x, exact


def rays_of(b, grid, d):
    t, h, w = grid
    raymap = torch.zeros(b, t, 20)
    for i in range(t):
        angle = torch.tensor(0.2 * i + 0.1)
        pose = torch.eye(4)
        pose[0, 0] = pose[2, 2] = angle.cos()
        pose[0, 2], pose[2, 0] = angle.sin(), -angle.sin()
        pose[:3, 3] = torch.tensor([0.3 * i, -0.1, 0.5 * i + 1])
        raymap[:, i, :16] = pose.flatten()
    raymap[..., 16:] = torch.tensor([0.8 * w, 0.8 * w, w / 2, h / 2])
    if b > 1:
        raymap[1, :, 3] += 0.7  # videos of a batch look from different places
    half = rotation_table(grid, d, turned=d // 2, first_frame=3, device=DEVICE)
    return ray_geometry(raymap.to(DEVICE), grid, (1, 1, 1), half)


def memories(b, heads, d, seed=5):
    g = torch.Generator().manual_seed(seed)
    kv, z, camera = (torch.randn(b, heads, e, d, generator=g).to(DEVICE) for e in (d, 1, d))
    return kv, z.abs(), camera  # z adds up what is not negative; another one would bring the denominator to 0


def assert_near(got, want, dtype):
    assert got.isfinite().all(), "something was not written"
    ratio = ((got.double() - want).square().mean() / want.square().mean()).sqrt().item()
    assert ratio <= RMS[dtype], f"RMS ratio {ratio:.2e}, at most {RMS[dtype]:.0e}"


def keeps(chunks):
    """After every chunk."""
    return {sum(chunks[:i]) for i in range(1, len(chunks) + 1)}


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_main_branch_equals_the_torch_form(case, dtype, monkeypatch):
    b, grid, heads, d, chunks = CASES[case]
    x, exact = projected(b, grid, heads, d, dtype)
    rotation = rotation_table(grid, d, first_frame=3, device=DEVICE)
    kv, z, _ = memories(b, heads, d)
    with interpreted.poisoned_empty(monkeypatch):
        for keep, past in [(keep, (kv, z)) for keep in keeps(chunks)] + [(None, (None, None))]:
            got, memory = triton_branches.main_branch(x, rotation, chunks=chunks, past=past, keep=keep)
            wide = tuple(None if p is None else p.double() for p in past)
            want, want_memory = branches.main_branch(replace(exact), rotation, chunks=chunks, past=wide, keep=keep)
            assert got.dtype == dtype and all(m.dtype == torch.float32 for m in memory)
            for a, e in zip((got, *memory), (want, *want_memory)):
                assert_near(a, e, dtype)


@torch.no_grad()
@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_camera_branch_equals_the_torch_form(case, dtype, clamp, monkeypatch):
    b, grid, heads, d, chunks = CASES[case]
    x, exact = projected(b, grid, heads, d, dtype, seed=1)
    rays, past = rays_of(b, grid, d), memories(b, heads, d)[2]
    keep = chunks[0]
    with interpreted.poisoned_empty(monkeypatch):
        got, memory = triton_branches.camera_branch(x, rays, clamp=clamp, chunks=chunks, past=past, keep=keep)
        want, want_memory = branches.camera_branch(
            replace(exact), rays, clamp=clamp, chunks=chunks, past=past.double(), keep=keep
        )
    assert_near(got, want, dtype)
    assert_near(memory, want_memory, dtype)


@torch.no_grad()
def test_one_cameras_rays_serve_a_whole_batch():
    x, _ = projected(2, (2, 2, 3), 2, 16, torch.float32)
    rays = rays_of(1, (2, 2, 3), 16)
    twice = replace(rays, to_ray=rays.to_ray.repeat(2, 1, 1, 1, 1), from_ray=rays.from_ray.repeat(2, 1, 1, 1, 1))
    a, b = (triton_branches.camera_branch(x, r, clamp=True, chunks=(2,)) for r in (rays, twice))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


@torch.no_grad()
def test_chunked_in_one_call_equals_streamed():
    """Dense, chunk-causal and streaming go through the same kernels."""
    grid, chunks = (5, 2, 3), (2, 2, 1)
    x, _ = projected(1, grid, 2, 16, torch.float32)
    rotation, rays = rotation_table(grid, 16, device=DEVICE), rays_of(1, grid, 16)
    whole, after = triton_branches.main_branch(x, rotation, chunks=chunks)
    seen, seen_after = triton_branches.camera_branch(x, rays, clamp=True, chunks=chunks)
    past, camera_past, start = (None, None), None, 0
    for length in chunks:
        span = slice(start, start + length)
        part = replace(x, **{name: getattr(x, name)[:, span] for name in ("q", "k", "v", "beta")}, decay=x.decay[..., span])
        turn = replace(rotation, cos=rotation.cos[span], sin=rotation.sin[span])
        half = replace(rays.rotation, cos=rays.rotation.cos[span], sin=rays.rotation.sin[span])
        own = replace(rays, to_ray=rays.to_ray[:, span], from_ray=rays.from_ray[:, span], rotation=half)
        got, past = triton_branches.main_branch(part, turn, chunks=(length,), past=past)
        got_seen, camera_past = triton_branches.camera_branch(part, own, clamp=True, chunks=(length,), past=camera_past)
        assert_close(got, whole[:, span], 1e-5)
        assert_close(got_seen, seen[:, span], 1e-5)
        start += length
    for a, b in zip((*past, camera_past), (*after, seen_after)):
        assert_close(a, b, 1e-5)


@torch.no_grad()
def test_what_the_kernels_cannot_do_is_refused():
    x, exact = projected(1, (2, 2, 3), 2, 16, torch.float32)
    rotation = rotation_table((2, 2, 3), 16, device=DEVICE)
    run = lambda y, **given: triton_branches.main_branch(y, rotation, **{"chunks": (2,)} | given)
    with pytest.raises(ConfigError, match="float64"):
        run(exact)
    with pytest.raises(ShapeError, match="32 / 3"):
        run(replace(x, beta=x.beta[..., :1].repeat(1, 1, 1, 3)))
    with pytest.raises(ShapeError, match="decay must be"):
        run(replace(x, decay=x.decay[..., :1]))
    with pytest.raises(ShapeError, match="rotation must be"):
        triton_branches.main_branch(x, rotation_table((2, 2, 2), 16, device=DEVICE), chunks=(2,))
    with pytest.raises(ShapeError, match="past must be"):
        run(x, past=(x.q[0, :1, :1], None))
    with pytest.raises(ShapeError, match="end of a chunk"):
        run(x, keep=1)
    with pytest.raises(ShapeError, match="sum to 2"):
        run(x, chunks=(3,))
    with pytest.raises(ShapeError, match="evenly"):
        run(replace(x, k=x.k.transpose(1, 2).contiguous().transpose(1, 2)))
    with torch.enable_grad(), pytest.raises(ConfigError, match="no backward"):
        run(replace(x, q=x.q.clone().requires_grad_()))


needs_gpu = pytest.mark.skipif(DEVICE != "cuda", reason="needs a CUDA device")
RELEASED = ((3, 22, 40), 20, 112)  # grid of a chunk at 720p, heads, head dim


@torch.no_grad()
@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_released_size(dtype):
    grid, heads, d = RELEASED
    x, exact = projected(1, grid, heads, d, dtype)
    kv, z, camera = memories(1, heads, d)
    rotation, rays = rotation_table(grid, d, device=DEVICE), rays_of(1, grid, d)
    got, memory = triton_branches.main_branch(x, rotation, chunks=(3,), past=(kv, z))
    want, want_memory = branches.main_branch(replace(exact), rotation, chunks=(3,), past=(kv.double(), z.double()))
    seen, after = triton_branches.camera_branch(x, rays, clamp=True, chunks=(3,), past=camera)
    want_seen, want_after = branches.camera_branch(replace(exact), rays, clamp=True, chunks=(3,), past=camera.double())
    for a, b in zip((got, *memory, seen, after), (want, *want_memory, want_seen, want_after)):
        assert_near(a, b, dtype)


@torch.no_grad()
@pytest.mark.gpu
@needs_gpu
def test_the_memory_does_not_drift_over_241_frames():
    """The error of the carried memory in bfloat16 is no larger at the end of a minute than after its first chunk."""
    _, heads, d = RELEASED
    grid, errors = (3, 22, 40), []
    past = wide = (None, None)
    rotation = rotation_table(grid, d, device=DEVICE)
    for chunk in range(241 // 3 + 1):
        x, exact = projected(1, grid, heads, d, torch.bfloat16, seed=chunk)
        _, past = triton_branches.main_branch(x, rotation, chunks=(3,), past=past)
        _, wide = branches.main_branch(replace(exact), rotation, chunks=(3,), past=wide)
        errors.append(((past[0].double() - wide[0]).norm() / wide[0].norm()).item())
    assert max(errors) <= RMS[torch.bfloat16]
    early, late = (sum(part) / len(part) for part in (errors[5:25], errors[-20:]))
    assert late <= 1.1 * early, f"RMS ratio {early:.2e} early, {late:.2e} late"
