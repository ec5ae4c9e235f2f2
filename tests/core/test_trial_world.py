"""The trained trial world obeys its camera: clips are nearer to the truth of their command than to its mirror image."""

import numpy as np
import pytest
import torch
from cases import ROOT
from einops import rearrange

from tools.trial_scene import FOCAL, HELD_OUT, SIZE, make_scene, render
from wm_core.camera import actions_to_path, build_conditions
from wm_core.checkpoint import load_video_vae, load_world_model, open_world
from wm_core.dit import WorldConditions
from wm_core.metrics import psnr
from wm_core.sampling import euler, released_schedule
from wm_core.text import load_embedding

MODELS = ROOT / "assets" / "models"
WORLD = MODELS / "diffusion_models" / "sana_wm_trial_world.safetensors"
SCENES = (HELD_OUT, HELD_OUT + 1)
MIRRORED = {"d-32": "a-32", "a-32": "d-32", "w-32": "s-32", "s-32": "w-32"}
FRAMES = 33


@pytest.fixture(scope="module")
def models():
    return load_world_model(WORLD), load_video_vae(MODELS / "vae" / "sana_wm_trial_world_vae.safetensors")


@pytest.fixture(scope="module")
def sampling():
    return open_world(WORLD).info.sampling


def path_of(actions, sampling):
    focal = FOCAL * SIZE[1]
    intrinsics = (focal, focal, SIZE[1] / 2, SIZE[0] / 2)
    return actions_to_path(actions, dialect=sampling.dialect, size=SIZE, intrinsics=intrinsics)


def as_video(frames):
    """(f, h, w, 3) uint8 -> (1, 3, f, h, w) in [-1, 1]."""
    return rearrange(torch.tensor(frames), "f h w c -> 1 c f h w").float() / 127.5 - 1


@torch.no_grad()
def generate(models, picture, path, sampling, seed=0):
    world, vae = models
    first = vae.encode(as_video(picture[None]))
    frames = (FRAMES - 1) // vae.config.stride.t + 1
    noise = torch.randn(1, first.shape[1], frames, *first.shape[-2:], generator=torch.Generator().manual_seed(seed))
    noise[:, :, :1] = first
    camera = build_conditions(path, (frames, *first.shape[-2:]), vae.config.stride)
    prompt = load_embedding(MODELS / "sana_wm_text" / "sana_wm_trial_world_prompt.safetensors")
    cond = WorldConditions(prompt.embedding, prompt.mask.bool(), camera.raymap, camera.plucker)
    given = torch.arange(frames)[None] == 0
    sigmas = released_schedule(sampling.steps, sampling.shift)
    latents = euler(lambda x, sigma, past: world(x, sigma, cond, past=past), noise, sigmas, given=given)
    assert torch.equal(latents[:, :, :1], first)
    return vae.decode(latents).clamp(-1, 1)


def likeness(video, frames):
    """PSNR in dB over all frames but the given first one."""
    return psnr(video[:, :, 1:], as_video(frames)[:, :, 1:], peak=2.0)


@pytest.mark.parametrize("seed", SCENES)
def test_a_clip_is_nearest_to_its_own_command(models, sampling, seed):
    scene = make_scene(seed)
    truth = {actions: render(scene, path_of(actions, sampling).c2w) for actions in MIRRORED}
    for actions, mirrored in MIRRORED.items():
        video = generate(models, truth[actions][0], path_of(actions, sampling), sampling)
        own, other = likeness(video, truth[actions]), likeness(video, truth[mirrored])
        frozen = likeness(video, np.repeat(truth[actions][:1], FRAMES, 0))
        assert own > other + 1.0, f"{actions} in scene {seed}: {own:.2f} dB to its truth, {other:.2f} to {mirrored}"
        assert own > frozen, f"{actions} in scene {seed}: {own:.2f} dB to its truth, {frozen:.2f} to standing still"


def test_swapping_the_camera_is_noticed(models, sampling):
    """The control: a clip made with the mirrored camera must fail the test above."""
    scene = make_scene(SCENES[0])
    truth = render(scene, path_of("d-32", sampling).c2w)
    wrong = generate(models, truth[0], path_of("a-32", sampling), sampling)
    assert likeness(wrong, truth) < likeness(wrong, render(scene, path_of("a-32", sampling).c2w))


def test_the_same_seed_gives_the_same_clip(models, sampling):
    picture = render(make_scene(SCENES[1]), path_of("w-1", sampling).c2w)[0]
    first, second = (generate(models, picture, path_of("w-32", sampling), sampling, seed=3) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, generate(models, picture, path_of("w-32", sampling), sampling, seed=4))


def test_metadata_says_what_the_toy_was_trained_for(sampling):
    opened = open_world(WORLD)
    assert (sampling.shift, sampling.cfg, sampling.dialect) == (4.0, 1.0, "nvlabs-v1")
    assert opened.config.reference.name == "diffusers"
    assert open_world(WORLD, reference="nvlabs").config.reference.name == "nvlabs", "the user's choice wins"
