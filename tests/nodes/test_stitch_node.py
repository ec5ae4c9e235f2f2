"""Stitch Clips: every frame once, a seam that is measured and shown, cameras in one path, and no half file ever."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from tiny_clips import SIZE, call, path_of, tiny_world


@pytest.fixture(scope="module")
def nodes(pack):
    from sana_wm_pack import nodes

    return nodes


@pytest.fixture(scope="module")
def world(pack):
    return tiny_world()


@pytest.fixture(scope="module")
def walk(nodes, world):
    """A clip, the one that continues it, their cameras and their overlap, as Image to Video and Continue Video make them."""
    first, camera = world.start(nodes, actions="w-12,wd-12,wl-8")
    second, camera_second, overlap = world.go_on(nodes, first, camera, actions="wl-16,w-16", length=41)
    return {
        "first": first,
        "second": second,
        "camera_first": camera,
        "camera_second": camera_second,
        "overlap": overlap,
    }


@pytest.fixture(scope="module")
def decoded(world, walk):
    """Frames of both clips, (f, h, w, 3) uint8."""
    return [world.frames(walk[name]) for name in ("first", "second")]


@pytest.fixture(scope="module")
def given(walk, decoded):
    """The same as `walk` with videos in place of latents: quicker where it does not matter."""
    return {**walk, **dict(zip(("first", "second"), map(as_video, decoded)))}


@pytest.fixture(scope="module")
def elsewhere(nodes, world):
    """A clip of another scene."""
    return world.start(nodes, scene=3)[0]


@pytest.fixture(autouse=True)
def temp(host, tmp_path):
    import folder_paths

    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path / "temp"))
    yield tmp_path / "temp"
    folder_paths.set_temp_directory(before)


def stitch(nodes, first, second, overlap=1, rule="blend", match_colour=True, **given):
    return call(nodes.stitch.SanaWMStitch, first, second, overlap, rule, match_colour, **given)


def frames_of(video):
    source = video if isinstance(video, str) else video.get_stream_source()
    with av.open(source) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def as_video(frames, fps=16, audio=None):
    from comfy_api.latest import InputImpl
    from comfy_api.util import VideoComponents

    pictures = torch.from_numpy(frames.astype(np.float32) / 255)
    return InputImpl.VideoFromComponents(VideoComponents(images=pictures, audio=audio, frame_rate=Fraction(fps)))


def as_file(path, frames, fps=16):
    from comfy_api.latest import InputImpl
    from sana_wm_pack.wm_core.rollout import VideoWriter, finish

    writer = VideoWriter(path.with_suffix(".part.mp4"), frames.shape[1:3], fps)
    writer.append(frames)
    return InputImpl.VideoFromFile(str(finish(writer.path, path)))


def jump_of(report):
    (line,) = [line for line in report.splitlines() if "greatest change" in line]
    return float(line.split(": ")[1].split(" x")[0])


def test_a_continued_clip_is_joined_without_a_visible_seam(nodes, world, walk, elsewhere):
    from sana_wm_pack.wm_core.rollout import pose_jump
    from sana_wm_pack.wm_core.rollout.seam import VISIBLE_JUMP

    video, camera, picture, report = stitch(nodes, vae=world.vae, **walk)
    frames = frames_of(video)
    assert frames.shape == (33 + 41 - 17, *SIZE, 3) and camera.frames == len(frames) and camera.size == SIZE
    assert "blended over 17 frames, colours matched" in report and "33 and 41 frames became 57" in report
    assert jump_of(report) < 1.5 < VISIBLE_JUMP and "hard to see" in report
    assert "WARNING" not in report and "was moved" not in report
    poses = [pose_jump(camera, frame) for frame in range(1, camera.frames)]
    assert max(metres for metres, _ in poses) < 1e-3 and max(degrees for _, degrees in poses) < 0.02
    np.testing.assert_array_equal(camera.c2w[:33], walk["camera_first"].c2w)
    np.testing.assert_allclose(camera.c2w[33:], walk["camera_second"].c2w[17:], atol=1e-5)
    assert picture.shape[0] == 1 and picture.shape[2] == 1120 and picture.std() > 0.05
    control = stitch(nodes, walk["first"], elsewhere, 0, "cut", vae=world.vae)[3]
    print(f"seam {jump_of(report)} x the usual, control {jump_of(control)} x")
    assert jump_of(control) > 3 * VISIBLE_JUMP and "can be seen" in control and "hard cut before frame 33" in control


def test_every_frame_is_shown_once(nodes, given, decoded):
    """The video's frames are those of the clips: the first's, then the second's; none of the overlap comes again."""
    from sana_wm_pack.wm_core.rollout import join_clips

    wanted = join_clips(*map(torch.from_numpy, decoded), overlap=17).frames.numpy().astype(float)
    got = frames_of(stitch(nodes, **given)[0]).astype(float)
    assert np.abs(got - wanted).mean() < 3, "but for the codec"
    nearest = [int(np.abs(wanted - frame).mean((1, 2, 3)).argmin()) for frame in got]
    assert nearest == list(range(57))


def test_videos_are_joined_as_their_latents_are(nodes, world, walk, decoded, tmp_path):
    by_latent = frames_of(stitch(nodes, walk["first"], walk["second"], 17, vae=world.vae)[0])
    pictures = [as_video(frames) for frames in decoded]
    np.testing.assert_array_equal(frames_of(stitch(nodes, *pictures, 17)[0]), by_latent)
    files = [as_file(tmp_path / f"{i}.mp4", frames) for i, frames in enumerate(decoded)]
    assert np.abs(frames_of(stitch(nodes, *files, 17)[0]).astype(float) - by_latent).mean() < 3
    mixed = stitch(nodes, files[0], walk["second"], 17, vae=world.vae)[0]
    assert np.abs(frames_of(mixed).astype(float) - by_latent).mean() < 3


def test_a_cut_is_labelled_and_changes_no_frame(nodes, given, decoded):
    from sana_wm_pack.wm_core.rollout import join_clips

    video, _, _, report = stitch(nodes, given["first"], given["second"], 17, "cut", False)
    assert report.startswith("hard cut before frame 33; 33 and 41 frames became 57")
    wanted = join_clips(*map(torch.from_numpy, decoded), overlap=17, rule="cut", match_colour=False).frames.numpy()
    assert np.abs(frames_of(video).astype(float) - wanted).mean() < 3


def test_exposure_is_matched_and_the_gain_reported(nodes, decoded):
    first = decoded[0]
    light = (first[20:].astype(np.float64) / 255) ** 2.2 * 0.7
    darker = np.round(255 * light ** (1 / 2.2)).astype(np.uint8)
    clips = as_video(first), as_video(darker)
    matched, _, _, report = stitch(nodes, *clips, 13)
    gain = [float(word) for word in report.split("gain ")[1].split(",")[0].split()]
    np.testing.assert_allclose(gain, 1 / 0.7, rtol=0.03)
    assert np.abs(frames_of(matched)[20:].astype(float) - first[20:]).mean() < 3
    unmatched = stitch(nodes, *clips, 13, "cut", False)[3]
    assert "gain" not in unmatched and "matched" not in unmatched


def test_the_second_clip_may_go_back_to_its_own_colours(nodes, decoded):
    first, second = decoded
    brighter = np.minimum(second.astype(int) + 20, 255).astype(np.uint8)
    kept, back = (
        frames_of(stitch(nodes, as_video(first), as_video(brighter), 17, return_over=n)[0]).astype(float)
        for n in (-1, 8)
    )
    assert np.abs(back[-10:] - brighter[-10:]).mean() < 3 < np.abs(kept[-10:] - brighter[-10:]).mean()


def test_without_two_cameras_only_the_camera_is_missing(nodes, given):
    from comfy_execution.graph_utils import ExecutionBlocker

    for one in ({}, {"camera_first": given["camera_first"]}):
        video, camera, picture, report = stitch(nodes, given["first"], given["second"], 17, **one)
        assert isinstance(camera, ExecutionBlocker) and "connect camera_first and camera_second" in camera.message
        assert len(frames_of(video)) == 57 and picture.ndim == 4 and "camera" not in report


def test_cameras_that_do_not_go_on_are_reported(nodes, given):
    backwards = stitch(nodes, **{**given, "camera_second": path_of("s-40")})[3]
    assert "WARNING: that can be seen" in backwards and "paths differ by up to 1." in backwards
    assert "the second camera was moved by" in backwards
    own = stitch(nodes, **{**given, "camera_second": given["camera_second"].relative_to_first()})
    assert "WARNING" not in own[3] and "the second camera was moved by 0.8" in own[3]
    np.testing.assert_allclose(own[1].c2w, stitch(nodes, **given)[1].c2w, atol=1e-5)


def test_cameras_are_cut_and_held_as_their_clips_were(nodes, given):
    longer = given["camera_first"].then(path_of("w-9"))
    _, camera, _, report = stitch(nodes, **{**given, "camera_first": longer})
    assert camera.frames == 57 and "the first camera has 42 frames, its clip 33: it was cut" in report
    np.testing.assert_array_equal(camera.c2w[:33], given["camera_first"].c2w)


def test_frame_rates_come_from_video_then_camera_then_widget(nodes, world, walk, decoded):
    from dataclasses import replace

    latents = walk["first"], walk["second"]
    assert stitch(nodes, *latents, 17, vae=world.vae, fps=12.0)[0].get_frame_rate() == 12
    cameras = {name: replace(walk[name], fps=24.0) for name in ("camera_first", "camera_second")}
    assert stitch(nodes, *latents, 17, vae=world.vae, fps=12.0, **cameras)[0].get_frame_rate() == 24
    videos = [as_video(frames, fps=20) for frames in decoded]
    video, camera, _, _ = stitch(nodes, *videos, 17, fps=12.0, **cameras)
    assert video.get_frame_rate() == 20 and camera.fps == 20


def test_sound_is_dropped_and_said_to_be(nodes, given, decoded, tmp_path):
    from comfy_api.latest import InputImpl

    sound = {"waveform": torch.zeros(1, 1, 16000), "sample_rate": 8000}
    first = as_video(decoded[0], audio=sound)
    first.save_to(str(tmp_path / "loud.mp4"))
    content = io.BytesIO((tmp_path / "loud.mp4").read_bytes())
    for clip in (first, InputImpl.VideoFromFile(str(tmp_path / "loud.mp4")), InputImpl.VideoFromFile(content)):
        report = stitch(nodes, clip, given["second"], 17)[3]
        assert "sound is not kept" in report
    assert "sound" not in stitch(nodes, **given)[3]


def test_a_video_that_the_host_has_cut_is_joined_as_cut(nodes, given, decoded, tmp_path):
    """Newer hosts cut a video by noting where; the file behind it stays whole."""
    from comfy_api.latest import InputImpl

    frames = decoded[0]
    whole = as_file(tmp_path / "whole.mp4", frames)

    class CutVideo(InputImpl.VideoFromFile):
        def get_frame_count(self):
            return 9

        def save_to(self, path, **_):
            as_file(tmp_path / "part.mp4", frames[:9])
            path.write((tmp_path / "part.mp4").read_bytes())

    video = stitch(nodes, CutVideo(whole.get_stream_source()), given["second"], 0)[0]
    assert len(frames_of(video)) == 9 + 41


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"vae": None}, "first is a latent and no vae is connected; connect Load LTX-2 Video VAE, or give a video"),
        ({"overlap": 40}, "overlap must be 0 to 33 frames for clips of 33 and 41 frames, got 40"),
        ({"rule": "wipe"}, "rule must be one of blend, cut, got 'wipe'"),
        ({"second": {"samples": torch.zeros(1, 24, 5, 8, 8)}}, "one picture size, got 224 x 128 and 64 x 64; resize"),
        ({"second": {"samples": torch.zeros(1, 4, 8, 8)}}, r"second must be a video, got a latent \(1, 4, 8, 8\)"),
    ],
)
def test_what_cannot_be_joined_is_refused(nodes, world, walk, temp, change, match):
    with pytest.raises(ValueError, match=match):
        stitch(nodes, **{**walk, "vae": world.vae, **change})
    assert not temp.exists() or not list(temp.iterdir())


def test_clips_of_other_frame_rates_are_refused(nodes, world, walk, decoded):
    video = as_video(decoded[0], fps=24)
    with pytest.raises(ValueError, match="one frame rate, got 24 and 16 frames a second"):
        stitch(nodes, video, walk["second"], 17, vae=world.vae)


def test_a_cancel_leaves_no_file(nodes, given, temp):
    import comfy.model_management as management
    import comfy.utils

    told = []

    def cancel(value, total, *_args, **_kwargs):
        told.append((value, total))
        assert list(temp.iterdir()), "it has begun to write"
        management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            stitch(nodes, **given)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        management.interrupt_current_processing(False)
    assert told == [(32, 57)] and not list(temp.iterdir())
    assert len(frames_of(stitch(nodes, **given)[0])) == 57


def test_an_error_on_the_way_leaves_no_file(nodes, given, temp, tmp_path):
    from comfy_api.latest import InputImpl

    frames = np.random.default_rng(0).integers(0, 256, (60, *SIZE, 3), dtype=np.uint8)
    as_file(tmp_path / "whole.mp4", frames)
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(ValueError, match=r"cut\.mp4"):
        stitch(nodes, given["first"], InputImpl.VideoFromFile(str(tmp_path / "cut.mp4")), 1)
    assert not temp.exists() or not list(temp.iterdir())
