"""Frames of a video file, a few at a time: size, frame rate and exact count first, then pieces of RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, StorageError
from .video_writer import import_av

PIECE = 32  # frames


@dataclass(frozen=True, eq=False)
class VideoClip:
    """What a video file holds. size: (h, w) pixels. fps: frames per second, their average where they vary."""

    source: Path | io.BytesIO
    size: tuple[int, int]
    fps: float
    frames: int
    has_audio: bool = False

    @property
    def name(self) -> str:
        return _name(self.source)

    def pieces(self, count: int = PIECE) -> Iterator[NDArray]:
        """All frames in order, (f, h, w, 3) uint8, `count` to a piece; ConfigError if there are not `frames` of them."""
        av = import_av()
        done, piece = 0, []
        try:
            with _opened(av, self.source) as container:
                for frame in container.decode(container.streams.video[0]):
                    piece.append(frame.to_ndarray(format="rgb24"))
                    done += 1
                    if len(piece) == count:
                        yield np.stack(piece)
                        piece = []
        except av.FFmpegError as error:
            raise ConfigError(
                f"{self.name} breaks off at frame {done} of {self.frames} ({error.strerror}); make or copy it again"
            ) from error
        if done != self.frames:
            raise ConfigError(
                f"{self.name} must have {self.frames} frames, {done} can be decoded; the file is damaged: make it again"
            )
        if piece:
            yield np.stack(piece)


def open_video(source: str | Path | io.BytesIO) -> VideoClip:
    """Look at a video file, or at one in memory: its packets are counted, not decoded.

    StorageError if there is no such file, ConfigError if it is not a video or holds no frame.
    """
    av = import_av()
    source = source if isinstance(source, io.BytesIO) else Path(source)
    name = _name(source)
    if isinstance(source, Path) and not source.is_file():
        raise StorageError(f"there is no video {source}; choose another or make it again")
    try:
        with _opened(av, source) as container:
            if not container.streams.video:
                raise ConfigError(f"{name} has no pictures, only sound; give a video")
            stream = container.streams.video[0]
            packets = [packet.is_discard for packet in container.demux(stream) if packet.size]
            if stream.frames > len(packets):
                raise ConfigError(
                    f"{name} should have {stream.frames} frames, {len(packets)} are there; it was cut short: copy or make "
                    "it again"
                )
            frames = packets.count(False)
            if not frames or not stream.average_rate:
                raise ConfigError(f"{name} holds no video frame; the file is damaged or unfinished: make it again")
            size = (stream.codec_context.height, stream.codec_context.width)
            return VideoClip(source, size, float(stream.average_rate), frames, bool(container.streams.audio))
    except av.FFmpegError as error:
        raise ConfigError(
            f"{name} is not a video that can be read ({error.strerror}); give an MP4, WebM or MKV file that plays"
        ) from error


def _opened(av, source: Path | io.BytesIO):
    if isinstance(source, Path):
        return av.open(str(source))
    source.seek(0)
    return av.open(source)


def _name(source: Path | io.BytesIO) -> str:
    return source.name if isinstance(source, Path) else "the video"
