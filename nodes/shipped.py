"""What comes with the pack: small models, where the host's loaders look for models, and cameras."""

from __future__ import annotations

from pathlib import Path

import folder_paths

_ASSETS = Path(__file__).resolve().parents[1] / "assets"
MODELS = _ASSETS / "models"
CAMERAS = _ASSETS / "cameras"  # Load SANA-WM Camera offers them


def offer_shipped_models() -> None:
    """Each folder of assets/models becomes one more place for models of the kind it is named after, behind the user's own."""
    for folder in sorted(MODELS.iterdir()) if MODELS.is_dir() else ():
        if folder.is_dir():
            folder_paths.add_model_folder_path(folder.name, str(folder))
