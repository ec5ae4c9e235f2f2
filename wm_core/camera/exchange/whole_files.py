"""Whole files: several written together, all or none, as formats.save_path writes one."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from ...errors import StorageError


def write_whole(contents: Mapping[Path, bytes]) -> list[Path]:
    """Write every file and return their names. StorageError, and all as it was before, if one cannot be written.

    A single file changes at once even for a reader or a crash. Several change one after the other, at the end.
    """
    tag = uuid.uuid4().hex
    parts = {file: file.with_name(f".{file.name}.{tag}.part") for file in contents}
    try:
        for file, data in contents.items():
            if file.is_dir():
                raise IsADirectoryError(f"{file} is a folder")
            parts[file].write_bytes(data)
        _replace_all(parts, tag)
    except OSError as error:
        names = ", ".join(str(file) for file in contents)
        raise StorageError(f"{names} cannot be written: {error}; free space there or choose another folder") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink()
    return list(contents)


def _replace_all(parts: Mapping[Path, Path], tag: str) -> None:
    if len(parts) == 1:
        ((file, part),) = parts.items()
        os.replace(part, file)
        return
    replaced: dict[Path, Path | None] = {}  # the file, and where its old content waits
    try:
        for file, part in parts.items():
            old = file.with_name(f".{file.name}.{tag}.old") if file.exists() else None
            if old:
                os.replace(file, old)
            replaced[file] = old
            os.replace(part, file)
    except OSError:
        for file, old in replaced.items():
            file.unlink(missing_ok=True)
            if old:
                os.replace(old, file)
        raise
    for old in filter(None, replaced.values()):
        old.unlink()
