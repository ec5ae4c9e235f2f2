"""The tiny world's node: a first frame that fits the camera nodes, and frames that follow a camera exactly."""

import math

import numpy as np
import pytest
import torch
from tiny_clips import call

SIZE = (64, 112)


@pytest.fixture(scope="module")
def nodes(pack):
    from sana_wm_pack import nodes

    return nodes


@pytest.fixture(scope="module")
def look(nodes):
    """image, fov, prompt, frames."""

    def run(seed=900_000, size=SIZE, time="day", **options):
        return call(nodes.tiny_world.SanaWMTinyWorld, seed, size[1], size[0], time, **options)

    return run


@pytest.fixture(scope="module")
def walk(nodes, look):
    """A camera from key presses that starts with the view of a scene, as a graph would make it."""

    def run(actions="dw-6", size=SIZE, **options):
        image, fov, *_ = look(size=size)
        options = {"image": image, "fov": fov, **options}
        return call(nodes.camera.SanaWMCameraFromActions, actions, "nvlabs-v1", **options)[0]

    return run


def bytes_of(images):
    return (images.numpy() * 255).round().astype(np.uint8)


def truth(path, seed=900_000, size=SIZE, light=None):
    from sana_wm_pack.wm_core.tiny_world import make_scene, render

    return render(make_scene(seed), path.c2w, path.intrinsics, size, light=light)


def test_without_a_camera_it_is_the_first_view_of_a_training_clip(look):
    image, fov, prompt, frames = look(size=(128, 224))
    assert image.shape == (1, 128, 224, 3) and image.dtype == torch.float32 and torch.equal(image, frames)
    assert 0 <= image.min() and image.max() <= 1 and image.std() > 0.05
    assert fov == pytest.approx(math.degrees(2 * math.atan(0.5 / 0.7)))
    assert prompt == "green ground, blue sky, day"


def test_its_field_of_view_makes_a_camera_that_starts_at_its_picture(look, walk):
    camera = walk()
    image, fov, _, frames = look(camera=camera)
    assert camera.intrinsics[0] == pytest.approx((78.4, 78.4, 56, 32), abs=1e-4)
    assert torch.equal(image, look()[0]) and torch.equal(image, frames[:1]) and fov == look()[1]


def test_frames_are_the_render_along_the_camera(look, walk):
    camera = walk()
    frames = look(camera=camera)[3]
    assert frames.shape == (7, *SIZE, 3)
    np.testing.assert_array_equal(bytes_of(frames), truth(camera))
    steps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    assert (steps > 0.005).all(), "the camera moves, so must the pictures"


@pytest.mark.parametrize("source", [(480, 640), (200, 900)])
def test_the_camera_s_view_is_cut_as_image_to_video_cuts_it(look, walk, source):
    """Whatever picture the camera is of, truth and the sampler's camera have the same intrinsics."""
    from sana_wm_pack.wm_core.camera import field_of_view_deg, fit_crop

    camera = walk(image=torch.zeros(1, *source, 3), fov=60.0)
    assert camera.size == source
    cut = camera.cropped(fit_crop(source, SIZE))
    image, fov, _, frames = look(camera=camera)
    np.testing.assert_array_equal(bytes_of(frames), truth(cut))
    assert fov == pytest.approx(field_of_view_deg(cut.intrinsics[0], SIZE)[0])
    assert not torch.equal(image, look()[0]), "the picture is what the camera sees, not the usual view"


def test_light_turns_as_in_training_and_the_prompt_says_to_what(look, walk):
    from sana_wm_pack.wm_core.tiny_world import light_between

    camera = walk("none-44")
    image, _, prompt, frames = look(time="dusk", becomes="night", camera=camera)
    assert prompt.endswith("sky, night") and torch.equal(image, look(time="dusk")[0])
    np.testing.assert_array_equal(bytes_of(frames), truth(camera, light=light_between("dusk", "night", 45)))
    assert torch.equal(frames[44:], look(time="night")[0])
    assert look(time="dusk")[2].endswith("sky, dusk"), "same: it stays"


def test_same_inputs_give_the_same_pixels_and_another_seed_does_not(look, walk):
    camera = walk("l-3")
    one, again, other = (look(seed, camera=camera)[3] for seed in (5, 5, 6))
    assert torch.equal(one, again) and (one - other).abs().mean() > 0.02


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"time": "noon"}, "time must be one of day, dusk, night, got 'noon'"),
        ({"becomes": "noon"}, "becomes must be one of same, day, dusk, night, got 'noon'"),
    ],
)
def test_an_unknown_light_is_refused(look, options, match):
    with pytest.raises(ValueError, match=match):
        look(**options)


def test_a_camera_that_would_fill_the_memory_is_refused(look, walk):
    from sana_wm_pack.wm_core.errors import ConfigError

    with pytest.raises(
        ConfigError, match="5001 frames, which take 62.9 GB as images of 1024 x 1024.* or 317 frames; shorten"
    ):
        look(size=(1024, 1024), camera=walk("w-5000"))


def test_progress_is_told_frame_by_frame_and_a_cancel_stops_it(look, walk, told):
    import comfy.model_management as management
    import comfy.utils

    camera, seen = walk("w-9"), []

    def watch(value, total, *_args, **_kwargs):
        seen.append((value, total))
        if value == 4 and len(seen) > 10:
            management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(watch)
    look(camera=camera)
    assert seen == [(n, 10) for n in range(1, 11)]
    with pytest.raises(management.InterruptProcessingException):
        look(camera=camera)
    assert seen[10:] == [(n, 10) for n in range(1, 5)], "no frame after the cancel"
