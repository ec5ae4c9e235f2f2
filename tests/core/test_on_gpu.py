"""On a CUDA device: the same numbers as on the CPU, the same laws between the regimes, and training as it is without a graph."""

import copy
from dataclasses import replace

import pytest
import torch
from cases import assert_close
from refiner_models import random_refiner
from tiny import TINY_DIT, draw_latents, frames_of, random_conditions, random_world

from tools.make_tiny_checkpoints import TINY_VAE
from tools.tiny_world.generate import constant_prompt
from tools.tiny_world.gradients import Gradients
from tools.tiny_world.muon import Muon
from tools.tiny_world.train_refiner import block_loss, lessons_of, ready_stage
from tools.tiny_world.train_student import learn_rollout
from tools.tiny_world.train_world import Batch, flow_loss
from wm_core.config import RefinerRecipe
from wm_core.dit import WorldConditions, WorldDiT
from wm_core.gdn import BACKENDS, delta_scan
from wm_core.positions import rotation_table
from wm_core.sampling.refining import begin_refining, refine_block, refiner_stage
from wm_core.vae import VideoVAE, decode_in_chunks

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GRID = (7, 3, 4)
X = draw_latents((1, TINY_DIT.in_channels, *GRID))
SIGMA = torch.linspace(0, 0.9, GRID[0]).expand(1, -1)
NORMS = 1e-4  # of the largest value: they add up in float32, whatever the dtype
GEOMETRY = 2e-5  # angles and rays are float32, whatever the dtype, and the last bit of a cosine differs
RECIPE = RefinerRecipe(window=6)
BF16 = 0.06  # of the largest value: a few roundings to 8 bits in each of the blocks


def moved(cond: WorldConditions, device: str, dtype: torch.dtype = torch.float64) -> WorldConditions:
    parts = (cond.text, cond.text_mask, cond.raymap, cond.plucker)
    cast = lambda p: p.to(device, dtype) if p.is_floating_point() else p.to(device)
    return WorldConditions(*(p if p is None else cast(p) for p in parts))


@pytest.fixture(scope="module")
def cond() -> WorldConditions:
    return moved(random_conditions(TINY_DIT, GRID), "cuda")


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, GEOMETRY), (torch.float32, 2e-4), (torch.bfloat16, None)])
def test_the_world_model_computes_what_the_cpu_computes(cond, dtype, atol):
    want, _ = random_world()(X, SIGMA, moved(cond, "cpu"))
    world = random_world().to("cuda", dtype)
    got, _ = world(X.to("cuda", dtype), SIGMA.cuda(), moved(cond, "cuda", dtype))
    assert_close(got.cpu(), want, BF16 * want.abs().max().item() if atol is None else atol)


@torch.no_grad()
def test_the_regimes_agree(cond):
    world, x, sigma = random_world().cuda(), X.cuda(), SIGMA.cuda()
    dense, _ = world(x, sigma, cond)
    one_chunk, _ = world(x, sigma, cond, chunks=(7,), past=world.begin())
    assert_close(one_chunk, dense, 1e-10)
    whole, _ = world(x, sigma, cond, chunks=(3, 2, 2))
    state, parts = world.begin(window=-1), []
    for a, b in ((0, 3), (3, 5), (5, 7)):
        part, state = world(x[:, :, a:b], sigma[:, a:b], frames_of(cond, a, b), past=state)
        parts.append(part)
    assert_close(torch.cat(parts, 2), whole, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backends_of_the_delta_rule_agree(dtype):
    g = torch.Generator("cuda").manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=g, device="cuda")
    b, h, t, d, n = 1, 2, 7, 112, 60
    q, k, v = draw(b, h, t, d, n), draw(b, h, t, d, n) * (d * n) ** -0.5, draw(b, h, t, d, n)
    beta, decay = draw(b, h, t, n).sigmoid(), draw(b, h, t).sigmoid()
    operands = [x.to(dtype) for x in (q, k, v, beta)]
    made = [delta_scan(*operands, decay, chunks=(3, 4), backend=name) for name in BACKENDS]
    exact = delta_scan(*(x.cpu().double() for x in (*operands, decay)), chunks=(3, 4), backend="reference")
    for result, memory in made:
        scale = exact[0].abs().max().item()
        assert_close(result.cpu(), exact[0], scale * (1e-5 if dtype == torch.float32 else 1e-2))
        assert_close(memory.cpu(), exact[1], exact[1].abs().max().item() * 1e-5)


@pytest.mark.parametrize("first", [0, 2881])
def test_angles_are_as_exact_as_on_the_cpu(first):
    want, got = (rotation_table((3, 2, 2), 112, first_frame=first, device=device) for device in ("cpu", "cuda"))
    assert_close(got.cos.cpu(), want.cos, 1e-6)
    assert_close(got.sin.cpu(), want.sin, 1e-6)


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
def test_the_vae_computes_what_the_cpu_computes_and_the_causal_one_streams(causal):
    torch.manual_seed(0)
    vae = VideoVAE(replace(TINY_VAE, decoder_causal=causal)).double().eval()
    video = torch.randn(1, 3, 17, 64, 64, dtype=torch.float64)
    latents = vae.encode(video)
    pixels = vae.decode(latents)
    vae.cuda()
    assert_close(vae.encode(video.cuda()).cpu(), latents, NORMS * latents.abs().max().item())
    assert_close(vae.decode(latents.cuda()).cpu(), pixels, NORMS * pixels.abs().max().item())
    if causal:
        streamed = torch.cat(list(decode_in_chunks(vae, latents.cuda(), chunk=1)), 2)
        assert_close(streamed.cpu(), pixels, NORMS * pixels.abs().max().item())


@torch.no_grad()
def test_the_refiner_computes_what_the_cpu_computes():
    refiner = random_refiner(dtype=torch.float32)
    c = refiner.config.in_channels
    draft, noise = (draw_latents((1, c, 4, 2, 3), seed, torch.float32) for seed in (1, 2))
    context = draw_latents((1, 5, refiner.config.caption_channels), 3, torch.float32)
    made = []
    for device in ("cpu", "cuda"):
        stage = refiner_stage(copy.deepcopy(refiner).to(device))
        prompt = stage.prompt_keys(context.to(device))
        state = begin_refining(stage, draft[:, :, :1].to(device), 16.0, RECIPE, frames=4)
        refined, _ = refine_block(stage, state, draft[:, :, 1:].to(device), 1, noise[:, :, 1:].to(device), prompt)
        made.append(refined.cpu())
    assert_close(made[1], made[0], 2e-3 * made[0].abs().max().item())


def training_batch(world: WorldDiT) -> tuple[torch.Tensor, Batch]:
    c, grid = world.config.in_channels, (7, 4, 6)
    cond = random_conditions(world.config, grid, dtype=torch.float32)
    counts = torch.arange(cond.text.shape[1])[None] < cond.text.shape[1] - 2  # the last two are padding
    cond = WorldConditions(cond.text, counts, cond.raymap, cond.plucker)
    noise, latents = (draw_latents((1, c, *grid), seed, torch.float32) for seed in (3, 4))
    given = torch.zeros(1, grid[0], dtype=torch.bool)
    given[:, 0] = True
    on_card = (x.cuda() for x in Batch(latents, cond, given).tensors())
    return noise.cuda(), Batch.of(*on_card)


@pytest.mark.parametrize("kind", ["dense", "causal", "rollout"])
def test_a_recorded_step_gives_the_gradients_of_one_that_is_not(kind):
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    world = random_world(dtype=torch.float32).cuda().requires_grad_(True)
    noise, batch = training_batch(world)
    sigma = torch.full((1, 7), 0.6, device="cuda")

    def gather(key, noise, *tensors):
        if kind == "rollout":
            return learn_rollout(world, Batch.of(*tensors), noise, first=1)
        loss = flow_loss(world, Batch.of(*tensors), (7,) if kind == "dense" else (4, 3), sigma, noise)
        loss.backward()
        return loss

    parameters = list(world.parameters())
    recorded = Gradients(gather, parameters, "cuda")
    recorded(0, torch.zeros_like(noise), *batch.tensors())  # recorded with other numbers than it is asked with
    recorded(1, 2 * noise, *batch.tensors())  # a second recording in the same memory
    torch.nn.utils.clip_grad_norm_(parameters, 1e-3)  # in place, as a step does it
    loss = recorded(0, noise, *batch.tensors())
    gradients = [p.grad.clone() for p in parameters]
    plain = Gradients(gather, parameters, "cpu")
    assert_close(loss, plain(0, noise, *batch.tensors()), 1e-5)
    scale = max(p.grad.abs().max().item() for p in parameters)
    for p, gradient in zip(parameters, gradients, strict=True):
        assert_close(gradient, p.grad, 1e-4 * scale)


def test_muon_does_not_compute_in_tf32():
    torch.manual_seed(0)
    lean = torch.randn(128, 2) @ torch.randn(2, 384) + 0.01 * torch.randn(128, 384)
    updates = []
    for device, precision in (("cpu", "highest"), ("cuda", "high")):
        weight = torch.nn.Parameter(torch.zeros(128, 384, device=device))
        weight.grad = lean.to(device)
        torch.set_float32_matmul_precision(precision)
        try:
            Muon([weight], lr=1.0).step()
        finally:
            torch.set_float32_matmul_precision("highest")
        updates.append(weight.detach().cpu())
    assert torch.linalg.matrix_norm(updates[1], 2) < 1.3
    assert_close(updates[1], updates[0], 1e-3)


def test_a_recorded_lesson_of_the_refiner_gives_the_gradients_of_one_that_is_not():
    torch.backends.cuda.matmul.allow_tf32 = False
    refiner = random_refiner(dtype=torch.float32).cuda().requires_grad_(True)
    c, parameters = refiner.config.in_channels, list(refiner.parameters())
    draft, truth, noise = (draw_latents((2, c, 6, 2, 3), seed, torch.float32).cuda() for seed in (1, 2, 3))
    inner, context = ready_stage(refiner, RECIPE), constant_prompt(refiner.config).cuda()

    def gather(lesson, *clips):
        loss = block_loss(inner, RECIPE, lesson, context, *clips)
        loss.backward()
        return loss

    recorded, plain = (Gradients(gather, parameters, device) for device in ("cuda", "cpu"))
    lessons = lessons_of(RECIPE, 6)
    for lesson in lessons:
        recorded(lesson, torch.zeros_like(draft), truth, noise)  # recorded with other numbers than it is asked with
    for lesson in lessons:
        loss = recorded(lesson, draft, truth, noise)
        gradients = [p.grad.clone() for p in parameters]
        assert_close(loss, plain(lesson, draft, truth, noise), 1e-5)
        scale = max(p.grad.abs().max().item() for p in parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            assert_close(gradient, p.grad, 1e-4 * scale)
