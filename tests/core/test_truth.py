"""tools/truth.py: what the demo shows under a film is the exact render along its camera, and the figure is of the two."""

import numpy as np
import pytest
from cases import ROOT
from PIL import Image

from tools.demo_graph import DENSE, camera_path
from tools.tiny_graph import PICTURE, SEED, SIZE, on_tiny_world
from tools.truth import compare_film, true_frames
from wm_core.rollout import VideoWriter, finish
from wm_core.tiny_world import make_scene, render

SMALL = (64, 112)


def path_of(size=SMALL, frames=9):
    return camera_path(on_tiny_world(DENSE.load()), size[::-1], 16.0).with_length(frames)


def truth_of(path, prompt="day"):
    return np.stack(list(true_frames(make_scene(SEED), path, prompt)))


@pytest.fixture
def film(tmp_path):
    """film(frames): a video file of them."""

    def write(frames):
        writer = VideoWriter(tmp_path / "film.part.mp4", frames.shape[1:3], 16.0)
        writer.append(frames)
        return finish(writer.path, tmp_path / "film.mp4")

    return write


def test_the_truth_starts_at_the_shipped_picture():
    picture = np.asarray(Image.open(ROOT / "assets" / PICTURE))
    assert picture.shape == (*SIZE, 3)
    assert np.array_equal(truth_of(path_of(SIZE, 1))[0], picture)


def test_the_truth_is_the_render_along_the_workflows_camera():
    path = path_of()
    assert np.array_equal(truth_of(path), render(make_scene(SEED), path.c2w, path.intrinsics, SMALL))
    assert not np.array_equal(truth_of(path)[0], truth_of(path)[-1]), "it moves"


def test_a_time_of_day_in_the_prompt_comes_as_in_training():
    path = path_of(frames=45)
    path = path.slice(0, 1).with_length(45)
    day, night = truth_of(path, "a red day"), truth_of(path, "Blue ground, night")
    assert np.array_equal(day[0], night[0]) and np.array_equal(day[0], day[-1])
    assert night[-1].mean() < 0.5 * day[-1].mean()


def test_a_film_that_is_the_truth_scores_high_and_a_still_low(film):
    truth = truth_of(path_of(frames=33))
    same = compare_film(film(truth), iter(truth), [0, 4, 8])
    assert [np.array_equal(a, b) for a, b in zip(same.frames, truth[[0, 4, 8]])] == [True] * 3
    still = compare_film(film(truth[:1].repeat(33, 0)), truth, [])
    assert same.psnr > 28 and still.psnr < same.psnr - 6, (same.psnr, still.psnr)


def test_the_first_frame_does_not_count(film):
    truth = truth_of(path_of())
    other = truth.copy()
    other[0] = 255 - other[0]
    video = film(truth)
    assert compare_film(video, other, []).psnr == compare_film(video, truth, []).psnr
