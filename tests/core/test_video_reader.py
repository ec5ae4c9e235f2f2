"""Reading a video back: what was written, frame by frame, and clear words for files that cannot be read."""

import io
import wave

import numpy as np
import pytest
from test_video_writer import SIZE, assert_shows, chunk

from wm_core.errors import ConfigError, StorageError
from wm_core.rollout import VideoWriter, finish, open_video


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A finished file of 73 frames, and the growing one it was made from."""
    folder = tmp_path_factory.mktemp("video")
    writer = VideoWriter(folder / "grow.mp4", SIZE, 16)
    for start, count in ((0, 25), (25, 24), (49, 24)):
        writer.append(chunk(start, count))
    return finish(folder / "grow.mp4", folder / "done.mp4"), folder / "grow.mp4"


@pytest.mark.parametrize("kind", ["finished", "growing", "memory"])
@pytest.mark.parametrize("count", [1, 10, 73, 100])
def test_read_is_what_was_written(written, kind, count):
    source = written[1] if kind == "growing" else written[0]
    clip = open_video(io.BytesIO(source.read_bytes()) if kind == "memory" else source)
    assert (clip.size, clip.fps, clip.frames, clip.has_audio) == (SIZE, 16, 73, False)
    pieces = list(clip.pieces(count))
    assert [len(piece) for piece in pieces] == [count] * (73 // count) + [73 % count] * bool(73 % count)
    frames = np.concatenate(pieces)
    assert frames.dtype == np.uint8 and frames.shape == (73, *SIZE, 3)
    assert_shows(frames)
    for i, frame in enumerate(frames):  # and no other frame is nearer
        errors = [np.abs(frame.astype(int) - chunk(n, 1)[0]).mean() for n in range(max(0, i - 2), i + 3)]
        assert int(np.argmin(errors)) == min(i, 2)


def test_a_clip_can_be_read_again(written):
    clip = open_video(io.BytesIO(written[0].read_bytes()))
    first, second = (np.concatenate(list(clip.pieces())) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("fps", [12.5, 24000 / 1001, 60])
def test_frame_rates_come_back(tmp_path, fps):
    VideoWriter(tmp_path / "a.mp4", SIZE, fps).append(chunk(0, 30))
    assert open_video(finish(tmp_path / "a.mp4", tmp_path / "b.mp4")).fps == pytest.approx(fps, rel=1e-4)


def test_files_that_are_no_videos_are_named(tmp_path, written):
    with pytest.raises(StorageError, match=r"there is no video .*nowhere\.mp4; choose another"):
        open_video(tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("not a video at all " * 50)
    with pytest.raises(ConfigError, match=r"text\.mp4 is not a video that can be read \(.+\); give an MP4"):
        open_video(tmp_path / "text.mp4")
    with pytest.raises(ConfigError, match="the video is not a video"):
        open_video(io.BytesIO(b"x" * 4000))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(ConfigError, match=r"sound\.wav has no pictures, only sound"):
        open_video(tmp_path / "sound.wav")
    header = VideoWriter(tmp_path / "new.mp4", SIZE, 16)
    with pytest.raises(ConfigError, match=r"new\.mp4 "):
        open_video(header.path)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.95])
def test_a_truncated_file_is_said_to_be_one(tmp_path, written, share):
    """A finished file says in front what it holds; the part that is missing is missed when it is read."""
    whole = written[0].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match=r"cut\.mp4"):
        list(open_video(tmp_path / "cut.mp4").pieces())
