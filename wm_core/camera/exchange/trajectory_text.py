"""Text trajectories: one camera a line, in the formats of TUM RGB-D, KITTI odometry and RealEstate10K."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ..rotation import rigid
from .quaternions import quaternion_to_rotation, rotation_to_quaternion
from .stored import StoredCameras
from .text_lines import number_rows, says_nothing, text_lines, text_rows

TUM_COLUMNS = "timestamp tx ty tz qx qy qz qw"
KITTI_COLUMNS = "r11 r12 r13 tx r21 r22 r23 ty r31 r32 r33 tz"
REALESTATE10K_COLUMNS = f"timestamp fx fy cx cy 0 0 {KITTI_COLUMNS}"
_MICROSECONDS = 1e-6


def read_tum(file: Path) -> StoredCameras:
    """Time stamps in seconds and c2w as position and quaternion.

    https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
    """
    rows = number_rows(text_lines(file), file, TUM_COLUMNS)
    rotation = quaternion_to_rotation(rows[:, [7, 4, 5, 6]])
    return StoredCameras(rigid(rotation, rows[:, 1:4]), times_s=rows[:, 0])


def write_tum(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """The lines of read_tum under a comment that names their columns."""
    quaternion = rotation_to_quaternion(stored.matrices[:, :3, :3])
    poses = np.concatenate([stored.matrices[:, :3, 3], quaternion[:, [1, 2, 3, 0]]], axis=1)
    times = (f"{time:.6f}" for time in stored.times_s.tolist())
    return {file: _text([f"# {TUM_COLUMNS}", *_joined(times, text_rows(poses))])}


def read_kitti(file: Path) -> StoredCameras:
    """c2w as 3x4 matrices row by row. KITTI odometry devkit, readme.txt."""
    return StoredCameras(number_rows(text_lines(file), file, KITTI_COLUMNS).reshape(-1, 3, 4))


def write_kitti(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """The lines of read_kitti."""
    return {file: _text(text_rows(_twelve(stored)))}


def read_realestate10k(file: Path) -> StoredCameras:
    """The address of the video, then time stamps in microseconds, intrinsics as fractions of width and height, w2c 3x4.

    https://google.github.io/realestate10k/download.html
    """
    lines = text_lines(file)
    number, address = next(((n, text) for n, text in lines if text), (1, ""))
    if len(address.split()) > 1:
        raise CameraError(
            f"{file}, line {number}: must be the address of the video, got {address!r:.60}; put any there"
        )
    rows = number_rows(lines, file, REALESTATE10K_COLUMNS)
    distorted = rows[:, 5:7].any(1)
    if distorted.any():
        frame = int(distorted.argmax())
        raise CameraError(
            f"{file}, frame {frame}: columns 6 and 7 must be 0, got {rows[frame, 5]:g} {rows[frame, 6]:g}; "
            "undistort the pictures and write their new intrinsics"
        )
    return StoredCameras(rows[:, 7:].reshape(-1, 3, 4), rows[:, 1:5], "fractions", times_s=rows[:, 0] * _MICROSECONDS)


def write_realestate10k(stored: StoredCameras, file: Path) -> dict[Path, bytes]:
    """The lines of read_realestate10k, with the name of this pack in place of an address."""
    height, width = stored.size
    lens = stored.intrinsics / (width, height, width, height)
    rows = np.concatenate([lens, np.zeros((len(lens), 2)), _twelve(stored)], axis=1)
    times = (str(round(time / _MICROSECONDS)) for time in stored.times_s.tolist())
    return {file: _text(["sana-wm", *_joined(times, text_rows(rows))])}


def is_tum(head: bytes) -> bool:
    return _widths(head)[:1] == [8]


def is_kitti(head: bytes) -> bool:
    return _widths(head)[:1] == [12]


def is_realestate10k(head: bytes) -> bool:
    return _widths(head)[1:2] == [19]


def _widths(head: bytes) -> list[int]:
    """How many words the first two lines that say something have."""
    lines = (line.strip() for line in head.decode("utf-8", "replace").splitlines())
    return [len(line.split()) for line in lines if not says_nothing(line)][:2]


def _twelve(stored: StoredCameras) -> NDArray:
    return stored.matrices[:, :3].reshape(-1, 12)


def _joined(first: Iterable[str], rest: Iterable[str]) -> list[str]:
    return [f"{word} {words}" for word, words in zip(first, rest, strict=True)]


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
