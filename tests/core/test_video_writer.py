"""The growing MP4: readable at every moment, continued after real kills, cut at a chunk's end."""

import os
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import torch
from cases import ROOT

from wm_core.errors import ConfigError, ShapeError
from wm_core.rollout.video_writer import VideoWriter, eight_bit, finish

SIZE = (64, 96)


def chunk(start, count):
    """Frames that say their own number: a bright column that moves one pixel a frame."""
    frames = np.full((count, *SIZE, 3), 40, np.uint8)
    for i in range(count):
        at = 2 * (start + i) % SIZE[1]
        frames[i, :, at : at + 8] = 230
    return frames


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate), dict(container.metadata)


def assert_shows(frames, start=0):
    wanted = chunk(start, len(frames)).astype(float)
    assert np.abs(frames.astype(float) - wanted).mean() < 6


def test_every_frame_is_readable_as_soon_as_it_is_appended(tmp_path):
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, SIZE, 16)
    for start, count in ((0, 25), (25, 24), (49, 24)):
        writer.append(chunk(start, count))
        frames, fps, _ = read(path)
        assert len(frames) == start + count and fps == 16
        assert_shows(frames)
    assert len(read(path)[0]) == 73


def test_continuing_cuts_at_the_frames_that_are_kept(tmp_path):
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, SIZE, 16)
    writer.append(chunk(0, 25))
    writer.append(chunk(500, 24))  # a chunk whose session was never saved
    before = read(path)[0][:25]
    writer = VideoWriter(path, SIZE, 16, done=25)
    assert writer.frames == 25
    writer.append(chunk(25, 24))
    frames, fps, _ = read(path)
    assert len(frames) == 49 and fps == 16
    assert np.array_equal(frames[:25], before), "kept frames are copied, not encoded again"
    assert_shows(frames)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_file_that_is_too_short_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, SIZE, 16)
    writer.append(chunk(0, 9))
    with pytest.raises(ConfigError, match="has 9 whole frames and no chunk that ends at frame 25"):
        VideoWriter(path, SIZE, 16, done=25)
    assert len(read(path)[0]) == 9 and len(list(tmp_path.iterdir())) == 1


KILLED = """
import sys; sys.path[:0] = [{root!r}, {tests!r}]
from test_video_writer import SIZE, VideoWriter, chunk
writer = VideoWriter({path!r}, SIZE, 16)
for start in range(0, 2400, 24):
    writer.append(chunk(start, 24))
    print(writer.frames, flush=True)
"""


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_a_killed_writer_leaves_a_file_that_plays(tmp_path, chunks):
    path = tmp_path / "a.mp4"
    code = KILLED.format(root=str(ROOT), tests=str(ROOT / "tests" / "core"), path=str(path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    for _ in range(chunks):
        told = int(process.stdout.readline())
    time.sleep(0.003 * chunks)
    process.send_signal(signal.SIGKILL)
    process.wait()
    frames, _, _ = read(path)
    assert len(frames) >= told == 24 * chunks
    assert_shows(frames)
    writer = VideoWriter(path, SIZE, 16, done=told)
    writer.append(chunk(told, 24))
    assert_shows(read(path)[0])
    assert len(read(path)[0]) == told + 24


def test_finished_file_has_all_frames_and_metadata(tmp_path):
    writer = VideoWriter(tmp_path / "grow.mp4", SIZE, 16)
    writer.append(chunk(0, 25))
    writer.append(chunk(25, 24))
    target = finish(tmp_path / "grow.mp4", tmp_path / "done.mp4", {"prompt": '{"a": 1}'})
    frames, fps, metadata = read(target)
    assert len(frames) == 49 and fps == 16 and metadata["prompt"] == '{"a": 1}'
    assert np.array_equal(frames, read(tmp_path / "grow.mp4")[0])


def test_eight_bit_truncates_as_released():
    pixels = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).reshape(1, 1, 6, 1, 1).expand(1, 3, 6, 1, 1)
    assert eight_bit(pixels)[:, 0, 0, 0].tolist() == [0, 0, 127, 254, 255, 255]


def test_impossible_pictures_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="even height"):
        VideoWriter(tmp_path / "a.mp4", (63, 96), 16)
    with pytest.raises(ShapeError, match="uint8"):
        VideoWriter(tmp_path / "b.mp4", SIZE, 16).append(np.zeros((1, 64, 95, 3), np.uint8))
