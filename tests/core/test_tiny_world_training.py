"""The tools that train the tiny world: autograd through the core's layers is exact, budgets and checkpoints hold."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import assert_close
from refiner_models import random_refiner
from tiny import random_world

from tools.make_tiny_checkpoints import TINY_VAE, TINY_WORLD
from tools.tiny_world.export import unpack_set
from tools.tiny_world.generate import constant_prompt
from tools.tiny_world.gradients import Gradients
from tools.tiny_world.latents import encode_clips, load_latents
from tools.tiny_world.muon import Muon, orthogonal
from tools.tiny_world.settings import Rates, load_settings, with_batch
from tools.tiny_world.train_refiner import block_loss, lessons_of, ready_stage
from tools.tiny_world.train_student import STEPS, detached, first_lesson, learn_rollout
from tools.tiny_world.train_vae import look_back
from tools.tiny_world.train_world import Batch, begun_world, draw_given, draw_noise, draw_sigma, flow_loss, mean_of_made
from tools.tiny_world.training import Stage
from wm_core.camera.reshaping import mirrored
from wm_core.config import RefinerRecipe
from wm_core.dit import WorldConditions
from wm_core.vae import VideoVAE
from wm_core.vae.blocks import LayerSpec, VideoConv

RATES = Rates(muon=0.02, adam=0.002, hold=0.5)
SETTINGS = load_settings()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_vae_layers_give_the_same_with_gradients(causal, padding):
    torch.manual_seed(0)
    config = replace(TINY_VAE, decoder_causal=causal, decoder_spatial_padding_mode=padding)
    vae = VideoVAE(config).double()
    x = torch.randn(1, 3, 9, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        z = vae.encoder(x)
        y = vae.decoder(z)
    assert_close(vae.encoder(x), z, 1e-12)
    assert_close(vae.decoder(z), y, 1e-12)


def test_gradients_of_the_vae_are_the_slopes_of_its_loss():
    torch.manual_seed(1)
    vae = VideoVAE(TINY_VAE).double()
    x = torch.randn(1, 3, 9, 64, 64, dtype=torch.float64)
    weights = [p for p in vae.parameters() if p.ndim == 5]
    direction = [torch.randn_like(p) for p in weights]

    def loss() -> torch.Tensor:
        return vae.decoder(vae.encoder(x)).square().mean()

    slope = sum((g * d).sum() for g, d in zip(torch.autograd.grad(loss(), weights), direction))
    step = 1e-5  # below it shows that the norms add up in float32, above it that the loss is curved
    with torch.no_grad():
        ends = []
        for sign in (1, -2):
            for p, d in zip(weights, direction):
                p.add_(d, alpha=sign * step)
            ends.append(loss())
    assert abs(((ends[0] - ends[1]) / (2 * step) - slope) / slope) < 1e-3


@torch.no_grad()
def test_a_layer_that_looks_back_gives_what_one_that_looks_ahead_gives_of_what_stands_still():
    torch.manual_seed(2)
    ahead, back = (
        VideoConv(3, 4, LayerSpec(torch.nn, causal, "zeros", 1e-6, torch.float64)) for causal in (False, True)
    )
    back.load_state_dict(ahead.state_dict())
    still = torch.randn(1, 3, 1, 4, 4, dtype=torch.float64).expand(-1, -1, 5, -1, -1)
    want = ahead(still)
    moving = torch.randn(1, 3, 5, 4, 4, dtype=torch.float64)
    at_first = back(moving)
    look_back(back)
    assert_close(back(still), want, 1e-12)
    error = lambda y: (y - ahead(moving)).square().mean()
    assert error(back(moving)) < 0.7 * error(at_first), "and nearer to it of what moves"


def test_the_refiner_gives_the_same_with_gradients_and_learns_from_them():
    refiner = random_refiner(dtype=torch.float32).requires_grad_(True)
    recipe = RefinerRecipe(sigmas=(0.7, 0.4, 0.0), block=2, window=4)
    c = refiner.config.in_channels
    draft, truth, noise = (torch.randn(2, c, 7, 2, 3, generator=torch.Generator().manual_seed(s)) for s in (0, 1, 3))
    lesson, inner, context = lessons_of(recipe, 7)[3], ready_stage(refiner, recipe), constant_prompt(refiner.config)
    assert (lesson.spans[-1], lesson.step) == (range(3, 5), 1)
    with torch.no_grad():
        still = block_loss(inner, recipe, lesson, context, draft, truth, noise)
    moving = block_loss(inner, recipe, lesson, context, draft, truth, noise)
    assert_close(moving.detach(), still, 1e-5)
    moving.backward()
    silent = [name for name, p in refiner.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent


def test_the_refiner_learns_every_step_of_every_block():
    lessons = lessons_of(RefinerRecipe(sigmas=(0.7, 0.4, 0.0), block=3), 6)
    first, last = range(1, 4), range(4, 6)
    assert [(lesson.spans[-1], lesson.step) for lesson in lessons] == [(first, 0), (first, 1), (last, 0), (last, 1)]


def test_an_orthogonal_update_has_even_singular_values():
    matrix = torch.randn(24, 200, generator=torch.Generator().manual_seed(0))
    for shape in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonal(shape))
        assert 0.6 < values.min() and values.max() < 1.3
        assert (orthogonal(shape) * shape).sum() > 0, "it points where the matrix points"


def test_muon_goes_down():
    torch.manual_seed(0)
    weight, wanted = torch.nn.Parameter(torch.randn(8, 4, 3)), torch.randn(8, 4, 3)
    optimizer = Muon([weight], lr=0.05)
    first = (weight - wanted).square().mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        (weight - wanted).square().mean().backward()
        optimizer.step()
    assert (weight - wanted).square().mean().item() < 0.1 * first


def stage_of(folder, layer, minutes, of=None):
    return Stage("layer", folder, SETTINGS, {"layer": layer}, layer.parameters(), RATES, minutes, of)


def train(stage, layer, steps):
    x = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
    return [stage.learn((layer(x) - x).square().mean()) for _ in range(steps)]


def test_a_stage_goes_on_where_it_stopped(tmp_path):
    torch.manual_seed(0)
    straight, halved = torch.nn.Linear(20, 20), torch.nn.Linear(20, 20)
    halved.load_state_dict(straight.state_dict())
    start = {name: p.clone() for name, p in straight.state_dict().items()}
    train(stage_of(tmp_path / "a", straight, 60, of=100), straight, 8)
    first = stage_of(tmp_path / "b", halved, 60, of=100)
    train(first, halved, 4)
    first.save()
    again = torch.nn.Linear(20, 20)
    second = stage_of(tmp_path / "b", again, 60, of=100)
    assert second.step == 4 and second.seconds >= first.spent
    train(second, again, 4)
    for name, p in straight.state_dict().items():
        assert_close(again.state_dict()[name], p, 1e-4)  # the rates follow the clock, which differs by milliseconds
        assert (p - start[name]).norm() > 0.01
    assert '"stage": "layer"' in (tmp_path / "b" / "layer.jsonl").read_text()


def test_a_stage_ends_with_its_minutes_and_its_rates_fall(tmp_path):
    layer = torch.nn.Linear(20, 20)
    stage = stage_of(tmp_path, layer, minutes=0.02)
    rates = []

    def step():
        rates.append(stage.rate())
        return {"norm": train(stage, layer, 1)[0]}

    stage.train(step, lambda: {"looked": 1.0}, look_seconds=0.5)
    rows = [json.loads(row) for row in (tmp_path / "layer.jsonl").read_text().splitlines()]
    assert any("norm" in row and row["looked"] == 1.0 for row in rows)
    assert 1.2 <= stage.seconds < 4
    assert max(rates) > 0.9 and rates[-1] < 0.2 * max(rates)


def tiny_batch(frames: int) -> Batch:
    g = torch.Generator().manual_seed(2)
    b, (h, w) = 2, (4, 6)
    pose = torch.eye(4).flatten().repeat(b, frames, 1)
    pose[:, :, 3] = torch.arange(frames) * 0.1
    raymap = torch.cat([pose, torch.tensor([5.0, 5.0, 3.0, 2.0]).expand(b, frames, 4)], -1)
    cond = WorldConditions(
        torch.randn(b, 5, TINY_WORLD.caption_channels, generator=g),
        torch.ones(b, 5, dtype=torch.bool),
        raymap,
        torch.randn(b, 48, frames, h, w, generator=g),
    )
    latents = torch.randn(b, TINY_WORLD.in_channels, frames, h, w, generator=g)
    return Batch(latents, cond, draw_given(b, frames, 0.0, g))


def test_the_flow_is_learnt():
    torch.manual_seed(0)
    world = begun_world(replace(SETTINGS.world, model=TINY_WORLD))
    optimizer, batch = torch.optim.Adam(world.parameters(), 3e-3), tiny_batch(4)
    losses = []
    for _ in range(60):
        random = torch.Generator().manual_seed(5)
        sigma = draw_sigma(2, (4,), 4.0, random)
        loss = flow_loss(world, batch, (4,), sigma, draw_noise(batch.latents, random))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_noise_levels_are_whole_thousandths_and_one_a_chunk():
    sigma = draw_sigma(50, (3, 2), 4.0, torch.Generator().manual_seed(0))
    assert torch.equal(sigma[:, :3], sigma[:, :1].expand(-1, 3)) and (sigma[:, 0] != sigma[:, 3]).any()
    assert_close(sigma * 1000, (sigma * 1000).round(), 1e-6)
    assert 0 < sigma.min() and sigma.max() <= 1


def test_a_rollout_reaches_every_weight_also_those_that_only_write_the_state():
    world = random_world(TINY_WORLD, dtype=torch.float32)
    batch = tiny_batch(9)
    losses = learn_rollout(world, batch, torch.randn_like(batch.latents), first=0)
    assert len(losses) == 3
    silent = [name for name, p in world.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent


def test_given_frames_do_not_count():
    error = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 3, 1, 1).expand(2, 5, 3, 2, 2)
    given = torch.tensor([[True, False, False], [False, False, False]])
    assert_close(mean_of_made(error, given), torch.tensor((2 + 4 + 1 + 2 + 4) / 5), 1e-6)


def test_gradients_are_those_of_the_last_call_only():
    weight = torch.nn.Parameter(torch.ones(3))

    def gather(key, x):
        loss = (weight * x).sum() * key
        loss.backward()
        return loss

    gradients = Gradients(gather, [weight], "cpu")
    gradients(5, torch.ones(3))
    loss = gradients(2, torch.arange(3.0))
    assert not loss.requires_grad and loss == 6
    assert_close(weight.grad, 2 * torch.arange(3.0), 0)


def test_rollouts_of_few_chunks_teach_every_step_in_every_chunk():
    chunks = 3
    lessons = {(i, (first_lesson(turn, chunks) + i) % STEPS) for turn in range(STEPS) for i in range(chunks)}
    assert len(lessons) == chunks * STEPS
    assert {first_lesson(turn, 8) for turn in range(9)} == {0}, "of many chunks one recording is enough"


def test_another_batch_size_is_in_the_record():
    settings = with_batch(SETTINGS, 24)
    assert settings.world.batch == settings.causal.batch == settings.student.batch == settings.vae.batch == 24
    assert (
        replace(settings, source="") != replace(SETTINGS, source="") and load_settings(text=settings.source) == settings
    )


def test_encoded_clips_are_kept_until_more_or_longer_ones_are_asked_for(tmp_path):
    unpack_set(SETTINGS, tmp_path)
    small = replace(SETTINGS, size=(64, 64))
    encode_clips(small, tmp_path, "few", range(1), 9)
    (file,) = (tmp_path / "latents").iterdir()
    first, written = load_latents(tmp_path, "few"), file.stat().st_mtime_ns
    assert first.latents.shape == (2, 24, 2, 8, 8) and first.c2w.shape == (2, 9, 4, 4)
    encode_clips(small, tmp_path, "few", range(1), 9)
    assert file.stat().st_mtime_ns == written
    encode_clips(small, tmp_path, "few", range(2), 9)
    again = load_latents(tmp_path, "few")
    assert again.latents.shape[0] == 4 and np.array_equal(again.c2w[:2], first.c2w)
    paths = again.path(0, small.size), again.path(1, small.size)
    assert np.array_equal(mirrored(paths[0]).c2w, paths[1].c2w), "each clip is there as it is and mirrored"


def test_detached_state_has_the_same_values():
    world = random_world(TINY_WORLD, dtype=torch.float32)
    batch = tiny_batch(3)
    _, state = world(batch.latents, torch.zeros(2, 3), batch.cond, past=world.begin())
    still = detached(state)
    assert state.blocks[0].mixer.kv.requires_grad and not still.blocks[0].mixer.kv.requires_grad
    assert torch.equal(state.blocks[0].mixer.kv, still.blocks[0].mixer.kv) and still.frames == 3
