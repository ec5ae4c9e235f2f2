"""Text encoders to choose from: single files, and folders as transformers writes them."""

from __future__ import annotations

from pathlib import Path

import folder_paths

_FOLDER = "text_encoders"
_CONFIG = "config.json"


def encoder_choices() -> list[str]:
    """Names below models/text_encoders. Files that lie beside a config.json are one choice, their folder."""
    choices = set()
    for name in folder_paths.get_filename_list(_FOLDER):
        path = folder_paths.get_full_path(_FOLDER, name)
        folder = Path(name).parent.as_posix()
        in_folder = path and folder != "." and (Path(path).parent / _CONFIG).is_file()
        choices.add(folder if in_folder else name)
    return sorted(choices)


def encoder_path(name: str) -> str | None:
    """Full path of a choice; None if it is not there (any more)."""
    path = folder_paths.get_full_path(_FOLDER, name)
    if path is not None:
        return path
    for base in folder_paths.get_folder_paths(_FOLDER):
        folder = (Path(base) / name).resolve()
        if folder.is_relative_to(Path(base).resolve()) and (folder / _CONFIG).is_file():
            return str(folder)
    return None
