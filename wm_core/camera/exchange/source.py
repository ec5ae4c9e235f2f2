"""Opened camera files: there, plain, readable, and not larger than is ever needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...errors import CameraError

MAX_FILE_BYTES = 256 * 2**20


@contextmanager
def open_source(file: Path, limit: int = MAX_FILE_BYTES) -> Iterator[tuple[BinaryIO, int]]:
    """The file opened for reading, and its length in bytes; CameraError if that cannot or should not be done."""
    try:
        if not file.is_file():
            raise CameraError(f"no camera file at {file}; check the name, and the folder it was saved to")
        with file.open("rb") as opened:
            length = os.fstat(opened.fileno()).st_size
            if not length:
                raise CameraError(f"{file} is empty, wanted cameras; write it again")
            if length > limit:
                raise CameraError(
                    f"{file} has {length / 2**20:.0f} MB, wanted at most {limit / 2**20:.0f}; keep only its cameras"
                )
            yield opened, length
    except OSError as error:
        raise CameraError(f"{file} cannot be read: {error}; check the name and the permissions") from error
