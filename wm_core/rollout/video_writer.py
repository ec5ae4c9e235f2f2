"""An MP4 that plays at every moment while it grows, and can be continued after a kill.

A chunk is encoded on its own and appended as one fragment (moof + mdat), so the file is append-only: what was written
never changes, a kill can only cut the last fragment short, and a file that is longer than the session it belongs to is
truncated at a fragment's end. ISO/IEC 14496-12, movie fragments.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError, ShapeError, StorageError

FRAGMENT = "empty_moov+default_base_moof+frag_keyframe+skip_trailer"
TIMESCALE = 90_000  # ticks a second, which any frame rate divides well enough


def eight_bit(pixels: Tensor) -> NDArray:
    """Decoder output (1, 3, f, h, w), about [-1, 1], as (f, h, w, 3) uint8: clamped and truncated, as released."""
    scaled = (pixels[0].float() * 127.5 + 127.5).clamp_(0, 255)
    return rearrange(scaled.to(torch.uint8), "c f h w -> f h w c").cpu().numpy()


class VideoWriter:
    """A growing H.264 file of `size` (h, w) at `fps`. Nothing is held between calls: no handle, no encoder.

    done: frames that are in the file and are kept; what lies behind them is cut off. 0 starts a new file.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float, *, done: int = 0, crf: int = 18):
        if size[0] % 2 or size[1] % 2:
            raise ShapeError(f"H.264 needs an even height and width, got {size[0]} x {size[1]}; choose multiples of 2")
        self.path, self.size, self.fps, self.frames = Path(path), size, fps, done
        # mbtree off: on some processors its fast code gives other bits for the same frames from one time to the next
        self._options = {"crf": str(crf), "preset": "medium", "bf": "0", "g": "1000", "sc_threshold": "0", "mbtree": "0"}
        self._av = import_av()
        if done:
            os.truncate(self.path, _end_of_frame(self.path, done))
        else:
            self._write("wb", b"")

    def append(self, frames: NDArray) -> None:
        """Encode (f, h, w, 3) uint8 frames as the next chunk; they are on the disk when this returns, or StorageError."""
        if frames.dtype != np.uint8 or frames.shape[1:] != (*self.size, 3):
            raise ShapeError(f"frames must be (f, {self.size[0]}, {self.size[1]}, 3) uint8, got {frames.shape}")
        segment = _placed(self._encode(frames), self.frames, round(self.frames * TIMESCALE / self.fps))
        if self.frames:  # the file has its header; the fragment alone is appended
            segment = segment[min(at for kind, at, _ in _boxes(io.BytesIO(segment)) if kind == b"moof") :]
        self._write("ab", segment)
        self.frames += len(frames)

    def _write(self, mode: str, content: bytes) -> None:
        """Write all of it or, where the disk refuses, nothing: a fragment that is cut short would not play."""
        before = self.path.stat().st_size if mode == "ab" else 0
        try:
            with self.path.open(mode, buffering=0) as file:
                written = 0
                while written < len(content):
                    written += file.write(content[written:])
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.is_file():
                os.truncate(self.path, before)
            raise StorageError(
                f"{self.path} cannot be written after {self.frames} frames: {error}; free space there or choose another "
                "folder; the frames before are kept"
            ) from error

    def _encode(self, frames: NDArray) -> bytes:
        """The frames as a file of their own that begins at time 0."""
        content = io.BytesIO()
        with self._av.open(content, "w", format="mp4", options={"movflags": FRAGMENT}) as container:
            stream = container.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1001))
            stream.height, stream.width = self.size
            stream.pix_fmt, stream.options = "yuv420p", self._options
            stream.time_base = stream.codec_context.time_base = Fraction(1, TIMESCALE)
            for i, picture in enumerate(frames):
                frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = round(i * TIMESCALE / self.fps)
                frame.time_base = Fraction(1, TIMESCALE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return content.getvalue()


def import_av():
    """PyAV, or a ConfigError that says how to get it."""
    try:
        import av
    except ImportError as error:
        raise ConfigError("reading and writing video needs PyAV, which ComfyUI ships: pip install av") from error
    return av


def _placed(segment: bytes, sequence: int, ticks: int) -> bytes:
    """A segment whose fragment follows others: its number (mfhd) and its start time (tfdt) are those in the whole."""
    content, file = bytearray(segment), io.BytesIO(segment)
    for kind, start, end in _boxes(file):
        for inner, a, b in _boxes(file, start + 8, end) if kind == b"moof" else ():
            if inner == b"mfhd":
                content[a + 12 : a + 16] = (sequence + 1).to_bytes(4, "big")
            for leaf, at, _ in _boxes(file, a + 8, b) if inner == b"traf" else ():
                if leaf == b"tfdt":  # size, kind, version 1, then 64 bits
                    content[at + 12 : at + 20] = ticks.to_bytes(8, "big")
    return bytes(content)


def _boxes(file: io.BufferedIOBase, start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the whole boxes in a range of a file; one that is cut short ends the walk."""
    stop = file.seek(0, io.SEEK_END) if stop is None else stop
    while start + 8 <= stop:
        file.seek(start)
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if size < 8 or start + size > stop:
            return
        yield kind, start, start + size
        start += size


def _end_of_frame(path: Path, frames: int) -> int:
    """Where the fragment that completes `frames` frames ends, in bytes; ConfigError if no fragment ends there."""
    counted, pending = 0, 0
    with path.open("rb") as file:
        for kind, start, end in _boxes(file):
            if kind == b"moof":
                pending = _samples(file, start, end)
            elif kind == b"mdat":
                counted, pending = counted + pending, 0
                if counted == frames:
                    return end
    raise ConfigError(
        f"{path.name} has {counted} whole frames and no chunk that ends at frame {frames}; rewind to a chunk it has"
    )


def _samples(file: io.BufferedIOBase, start: int, end: int) -> int:
    """Frames of a moof box: the sample count of the run (trun) of its one track."""
    for kind, a, b in _boxes(file, start + 8, end):
        if kind == b"traf":
            for inner, at, _ in _boxes(file, a + 8, b):
                if inner == b"trun":
                    file.seek(at + 12)  # size, kind, version and flags
                    return int.from_bytes(file.read(4), "big")
    return 0


def finish(growing: str | Path, target: str | Path, metadata: dict[str, str] | None = None) -> Path:
    """A copy of a growing file as an ordinary MP4 that seeks at once, with metadata; whole or not at all."""
    av = import_av()
    target = Path(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        options = {"movflags": "faststart+use_metadata_tags"}
        with av.open(str(growing)) as source, av.open(str(partial), "w", format="mp4", options=options) as out:
            out.metadata.update(metadata or {})
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error}; free space there, {growing} is kept") from error
    finally:
        partial.unlink(missing_ok=True)
    return target
