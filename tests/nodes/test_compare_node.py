"""Compare Refined: two clips frame by frame, from files and latents, seen and measured, and no half file ever."""

import re

import numpy as np
import pytest
import torch
from rollout_nodes import frames_of
from test_stitch_node import as_file, as_video
from tiny_clips import call

SIZE = (64, 96)
FRAMES = 41  # two pieces


@pytest.fixture(scope="module")
def compare(pack):
    from sana_wm_pack.nodes.compare import SanaWMCompare

    def run(first, second, view="side by side", **options):
        return call(SanaWMCompare, first, second, view, **options)

    return run


@pytest.fixture(scope="module")
def clips():
    """A moving scene and the same with more contrast and a little brighter, (f, h, w, 3) uint8."""
    y, x, t = np.meshgrid(np.arange(64) / 7, np.arange(96) / 7, np.arange(FRAMES) / 12, indexing="ij")
    waves = np.stack([np.sin(x + t + y / 3), np.cos(x - t), np.sin(y + t) * np.cos(x)]).transpose(3, 1, 2, 0)
    return (118 + 40 * waves).round().astype(np.uint8), (124 + 60 * waves).round().astype(np.uint8)


@pytest.fixture(scope="module")
def latents(parts):
    generator = torch.Generator().manual_seed(5)
    return [{"samples": torch.randn(1, 8, 3, 2, 3, generator=generator)} for _ in range(2)]


@pytest.fixture(autouse=True)
def temp(host_folders, host):
    import folder_paths

    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(host_folders / "temp"))
    yield host_folders / "temp"
    folder_paths.set_temp_directory(before)


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def far(got, wanted):
    """Mean difference in levels; below 4 it is the codec's."""
    return np.abs(got.astype(float) - wanted).mean()


def camera_over(frames, reach_m, returns):
    """A path of `frames` frames that goes `reach_m` metres ahead, and comes back if it `returns`."""
    from sana_wm_pack.wm_core.camera import CameraPath

    share = np.linspace(0, 2 if returns else 1, frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 2, 3] = reach_m * (1 - np.abs(1 - share) if returns else share)
    return CameraPath(c2w, np.tile([80.0, 80, 48, 32], (frames, 1)), SIZE, 4.0)


def test_both_clips_stand_side_by_side_frame_by_frame(compare, clips):
    video, curves, report = compare(*map(as_video, clips))
    frames = frames_of(video)
    assert frames.shape == (FRAMES, 64, 2 * 96 + 4, 3) and video.get_frame_rate() == 16
    for left, clip in zip((0, 100), clips):
        shown = frames[:, 22:, left : left + 96]
        nearest = [int(np.abs(clip[:, 22:] - frame.astype(float)).mean((1, 2, 3)).argmin()) for frame in shown]
        assert nearest == list(range(FRAMES)) and far(shown, clip[:, 22:]) < 4
    assert curves.shape == (1, 624, 1120, 3) and curves.std() > 0.05
    assert report.startswith("41 frames of 96 x 64, 2.6 s at 16 fps; stage 1 is first, refined second.")


def test_the_report_measures_what_was_done(compare):
    texture = np.random.default_rng(3).uniform(-1, 1, (5, *SIZE, 3))
    clips = [(level + contrast * texture).round().astype(np.uint8) for level, contrast in ((118, 40), (124, 60))]
    report = compare(*map(as_video, clips))[2]
    ratio = float(re.search(r"ratio ([\d.]+)\. Detail raises it", report)[1])
    assert ratio == pytest.approx((60 / 40) ** 2, rel=0.02), "sharpness goes with the square of contrast"
    change = re.search(r"mean change .*: stage 1 ([\d.]+), refined ([\d.]+)\.", report)
    assert float(change[2]) / float(change[1]) == pytest.approx(1.5, rel=0.02)
    brightness = float(re.search(r"mean over all frames .*: brightness ([+-][\d.]+)", report)[1])
    wanted = (clips[1].astype(float) - clips[0]).mean((0, 1, 2)) @ (0.299, 0.587, 0.114)
    assert brightness == pytest.approx(wanted, abs=0.06)
    error = ((clips[1].astype(float) - clips[0]) ** 2).mean() / 255**2
    assert float(re.search(r"two: ([\d.]+) dB", report)[1]) == pytest.approx(-10 * np.log10(error), abs=0.06)
    assert "no camera is connected" in report


def test_the_wipe_line_is_where_the_tooltip_says(compare):
    dark, light = (np.full((FRAMES, *SIZE, 3), value, np.uint8) for value in (40, 170))
    frames = frames_of(compare(as_video(dark), as_video(light), "wipe")[0]).astype(int)
    assert frames.shape == (FRAMES, *SIZE, 3)
    for number in (4, 16, 28, 40):  # a quarter of a second, one, 1.75; then 2.5 s, on its way back
        line = round(96 * (number / 32 if number <= 32 else 2 - number / 32))
        row = frames[number, 44].mean(-1)
        assert abs(row[: line - 3] - 40).max() < 12 and abs(row[line + 3 :] - 170).max() < 12
        assert abs(int(row.argmax()) - line) <= 1 and row.max() > 215, "the line itself"


def test_the_difference_is_grey_where_nothing_changed(compare, clips):
    first = clips[0]
    half = first.copy()
    half[:, 32:] = np.minimum(half[:, 32:].astype(int) + 10, 255)
    frames = frames_of(compare(as_video(first), as_video(half), "difference")[0]).astype(float)
    assert frames.shape == (FRAMES, *SIZE, 3)
    assert abs(frames[:, :30].mean() - 128) < 2 and abs(frames[:, 34:].mean() - 168) < 2


def test_the_same_clip_twice_has_nothing_between(compare, clips):
    report = compare(as_video(clips[0]), as_video(clips[0]), "difference")[2]
    assert "ratio 1.00" in report and "PSNR between the two: infinite, they are the same" in report
    assert "brightness +0.0, chroma 0.0" in report


def test_files_latents_and_mixtures_give_the_same(compare, parts, latents, tmp_path):
    from sana_wm_pack.nodes.stages import decode_frames

    vae = parts[1]
    decoded = [np.concatenate(list(decode_frames(vae, latent["samples"]))) for latent in latents]
    size = decoded[0].shape[1:3]
    wanted, _, report = compare(*map(as_video, decoded))
    by_latent, _, told = compare(*latents, vae=vae)
    np.testing.assert_array_equal(frames_of(by_latent), frames_of(wanted))
    assert told == report and f"{len(decoded[0])} frames of {size[1]} x {size[0]}" in told
    files = [as_file(tmp_path / f"{n}.mp4", frames) for n, frames in enumerate(decoded)]
    coded = [as_video(frames_of(file)) for file in files]
    np.testing.assert_array_equal(frames_of(compare(*files)[0]), frames_of(compare(*coded)[0]))
    mixed, wanted = compare(files[0], latents[1], vae=vae)[0], compare(coded[0], as_video(decoded[1]))[0]
    np.testing.assert_array_equal(frames_of(mixed), frames_of(wanted))


@pytest.mark.parametrize("view", ["side by side", "wipe", "difference"])
def test_odd_sizes_become_even(compare, clips, view):
    odd = [clip[:3, :63, :95] for clip in clips]
    frames = frames_of(compare(*map(as_video, odd), view)[0])
    assert frames.shape == (3, 64, 194 if view == "side by side" else 96, 3)


def test_revisits_are_measured_where_the_camera_comes_back(compare, clips):
    first = clips[0].copy()
    first[21:] = first[19::-1][: FRAMES - 21]  # what is seen on the way back is what was seen on the way there
    videos = [as_video(frames, fps=4) for frames in (first, clips[1])]
    plain = compare(*videos)[1]
    _, curves, report = compare(*videos, camera=camera_over(FRAMES, 8.0, returns=True))
    line = re.search(r"revisit SSIM.*\(frames (.*)\), mean: stage 1 ([\d.]+), refined (-?[\d.]+)\.", report)
    pairs = [tuple(map(int, pair.split(" and "))) for pair in line[1].split(", ")]
    assert pairs and all(later == 40 - first and later - first >= 20 for first, later in pairs)
    assert float(line[2]) > 0.9 and float(line[3]) < 0.6
    assert (curves - plain)[:, 460:].abs().max() > 0.3, "bars in place of the words"


def test_a_path_without_revisits_says_so_and_its_length_is_told(compare, clips):
    videos = [as_video(frames, fps=4) for frames in clips]
    report = compare(*videos, camera=camera_over(FRAMES, 8.0, returns=False))[2]
    assert "revisit SSIM: no revisits in this camera path." in report and "the camera has" not in report
    report = compare(*videos, camera=camera_over(30, 8.0, returns=False))[2]
    assert "no revisits" in report and "the camera has 30 frames, the clips 41: it was held at its last." in report


def test_a_prefix_saves_the_video_numbered_and_leaves_nothing_in_temp(compare, clips, host_folders, temp):
    videos = [as_video(clip[:3]) for clip in clips]
    for number in (1, 2):
        saved = compare(*videos, save_prefix="compare/night")[0]
        assert saved.get_stream_source() == str(host_folders / "output" / "compare" / f"night_{number:05}_.mp4")
        assert len(frames_of(saved)) == 3 and not files_below(temp)
    kept = compare(*videos)[0].get_stream_source()
    assert files_below(temp) == [temp / kept.rsplit("/", 1)[1]]


def test_the_node_shows_its_video(pack, clips, temp):
    from sana_wm_pack.nodes.compare import SanaWMCompare

    clone = SanaWMCompare.PREPARE_CLASS_CLONE(None)
    clone.hidden = type(clone.hidden).from_dict(None)
    (shown,) = clone.execute(*(as_video(clip[:3]) for clip in clips), "wipe").ui.as_dict()["images"]
    assert (temp / shown["filename"]).is_file() and (shown["subfolder"], shown["type"]) == ("", "temp")


def test_sound_is_dropped_and_said_to_be(compare, clips):
    sound = {"waveform": torch.zeros(1, 1, 16000), "sample_rate": 8000}
    report = compare(as_video(clips[0][:3]), as_video(clips[1][:3], audio=sound))[2]
    assert "sound is not kept" in report


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (lambda clip: as_video(clip[:, :, :80]), "one picture size, got 96 x 64 and 80 x 64; resize"),
        (lambda clip: as_video(clip[:-1]), "one frame count, got 41 and 40; frame n is compared with frame n"),
        (lambda clip: as_video(clip, fps=24), "one frame rate, got 16 and 24 frames a second"),
        (lambda clip: {"samples": torch.zeros(1, 8, 3, 2, 3)}, "second is a latent and no vae is connected"),
        (lambda clip: {"samples": torch.zeros(1, 8, 2, 3)}, r"second must be a video, got a latent \(1, 8, 2, 3\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, clips, temp, second, match):
    with pytest.raises(ValueError, match=match):
        compare(as_video(clips[0]), second(clips[1]))
    assert not files_below(temp)


def test_an_unknown_view_is_refused(compare, clips):
    with pytest.raises(ValueError, match="view must be one of side by side, wipe, difference, got 'flicker'"):
        compare(*map(as_video, clips), "flicker")


def test_a_cancel_leaves_no_file(compare, clips, temp, host_folders):
    import comfy.model_management as management
    import comfy.utils

    def cancel(value, total, *_args, **_kwargs):
        assert (value, total) == (32, FRAMES) and files_below(temp), "it has begun to write"
        management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            compare(*map(as_video, clips), save_prefix="compare/night")
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        management.interrupt_current_processing(False)
    assert not files_below(temp) and not files_below(host_folders / "output")


def test_a_damaged_file_leaves_no_half_video(compare, clips, temp, tmp_path):
    from comfy_api.latest import InputImpl

    frames = np.random.default_rng(0).integers(0, 256, (60, *SIZE, 3), dtype=np.uint8)
    as_file(tmp_path / "whole.mp4", frames)
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(ValueError, match=r"cut\.mp4"):
        compare(as_video(frames), InputImpl.VideoFromFile(str(tmp_path / "cut.mp4")), save_prefix="compare/night")
    assert not files_below(temp)
