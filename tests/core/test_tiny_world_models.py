"""The shipped tiny world obeys its camera: a clip is nearer to the truth of its command than to its mirror image."""

from dataclasses import replace
from functools import cache

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
from tools.tiny_world.files import MODELS, TEXT, WORLDS
from tools.tiny_world.measure import STREAMING, makers
from tools.tiny_world.settings import load_settings
from tools.tiny_world.text import encode_captions
from wm_core.checkpoint import open_world
from wm_core.tiny_world import render

SIZE = (128, 224)
SCENES = 2
DENSE = "dense, 4 steps"
FIRST_STAGES = (DENSE, "chunk-causal, 4 steps", STREAMING)
LEAST_MARGIN = 5.0  # dB between the own and the mirrored command's truth, mean over scenes and commands
LEAST_PSNR = 20.0  # dB to the own command's truth, mean


@pytest.fixture(scope="module")
def all_makers():
    """The shipped models on the fp16 files, as a user gets them."""
    return {maker.name: maker.make for maker in makers(load_settings())}


@pytest.fixture(scope="module")
def make(all_makers):
    return all_makers[DENSE]


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
def all_scores(all_makers, scenes):
    """Of each maker, measured when it is asked for."""
    return cache(lambda name: camera_scores(all_makers[name], scenes, SIZE, prompt_of))


@pytest.fixture(scope="module")
def scores(all_scores):
    return all_scores(DENSE)


@pytest.mark.parametrize("name", FIRST_STAGES)
def test_clips_are_nearest_to_their_own_commands(all_scores, name):
    found = all_scores(name)
    assert found.likeness.shape == (SCENES, len(COMMANDS), len(COMMANDS))
    assert obeys(found), found.likeness.round(1)


@pytest.mark.parametrize("name", (DENSE, STREAMING))
def test_the_refiner_brings_clips_nearer_to_the_truth(all_makers, name):
    """Of more clips than the other tests: it gains little, and in eight clips of one scene it may not gain in two."""
    more = held_out_scenes(2 * SCENES, SIZE)
    draft, refined = (camera_scores(all_makers[n], more, SIZE, prompt_of) for n in (name, f"{name}, refined"))
    print(f"{draft.own.mean():.2f} -> {refined.own.mean():.2f} dB, nearer {(refined.own > draft.own).mean():.2f}")
    assert (refined.own > draft.own).mean() >= 0.8
    assert obeys(refined)


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
