"""The shipped tiny world obeys its camera: a clip is nearer to the truth of its command than to its mirror image."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tools.tiny_world.camera_scores import (
    COMMANDS,
    camera_scores,
    command_path,
    held_out_scenes,
    likeness,
    wanted_clips,
)
from tools.tiny_world.files import MODELS, TEXT, VAES, WORLDS
from tools.tiny_world.generate import dense_latents, pixels, start
from tools.tiny_world.text import encode_captions
from wm_core.checkpoint import load_video_vae, load_world_model, open_world
from wm_core.tiny_world import render

SIZE = (128, 224)
SCENES, STEPS = 2, 4
LEAST_MARGIN = 4.0  # dB between the own and the mirrored command's truth, mean over scenes and commands
LEAST_PSNR = 18.0  # dB to the own command's truth, mean


@pytest.fixture(scope="module")
def make():
    """The dense model on the fp16 files, as a user gets them."""
    file = MODELS / WORLDS["world"].path
    world, vae = load_world_model(file), load_video_vae(MODELS / VAES["decoder"])
    sample = partial(dense_latents, world, steps=STEPS, shift=open_world(file).info.sampling.shift)
    return lambda wanted: pixels(vae, sample(begun=start(vae, wanted)))


@pytest.fixture(scope="module")
def scenes():
    return held_out_scenes(SCENES, SIZE)


def prompt_of(scene):
    return encode_captions(MODELS / TEXT, [scene.prompt("day")])[0]


def obeys(scores) -> bool:
    summary = scores.summary()
    print({name: round(value, 3) for name, value in summary.items()})
    return summary["own_beats_mirrored"] == 1 and summary["margin"] >= LEAST_MARGIN and summary["psnr"] >= LEAST_PSNR


@pytest.fixture(scope="module")
def scores(make, scenes):
    return camera_scores(make, scenes, SIZE, prompt_of)


def test_clips_are_nearest_to_their_own_commands(scores):
    assert scores.likeness.shape == (SCENES, len(COMMANDS), len(COMMANDS))
    assert obeys(scores), scores.likeness.round(1)


def test_clips_are_nearer_to_the_truth_than_a_still_picture(scores, scenes):
    for command, own in zip(COMMANDS, scores.own[0]):
        path = command_path(command, SIZE)
        truth = render(scenes[0], path.c2w, path.intrinsics, SIZE) / np.float32(255)
        still = likeness(np.repeat(truth[:1], len(truth), 0), truth)
        print(f"{command}: {own:.1f} dB, standing still {still:.1f}")
        assert own > still + 1.0, command


def test_clips_of_the_mirrored_cameras_fail_it(make, scenes):
    """The control."""
    assert not obeys(camera_scores(make, scenes[:1], SIZE, prompt_of, swapped=True))


def test_the_same_seed_gives_the_same_clip(make, scenes):
    path = command_path("w", SIZE)
    wanted = wanted_clips(scenes[1], [path], prompt_of(scenes[1]))
    one, again = make(wanted), make(wanted)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, make(replace(wanted, seed=wanted.seed + 1)))


def test_metadata_says_how_it_is_sampled():
    sampling = open_world(MODELS / WORLDS["world"].path).info.sampling
    assert (sampling.steps, sampling.shift, sampling.cfg, sampling.dialect) == (6, 4.0, 1.0, "nvlabs-v1")
