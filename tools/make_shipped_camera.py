"""Make the camera file that the template camera_from_file loads: a made-up walk with a shaky hand, in TUM's format.

python3 -m tools.make_shipped_camera
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from wm_core.camera import CameraPath, Key, Keyframes, export_path, keyframed_path, reshaping
from wm_core.camera.rotation import rigid, yaw_rotation

from .graphs.camera_from_file import FILE

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "cameras"
FPS = 30.0
SHAKE = {"degrees": 0.7, "metres": 0.015, "rate_hz": 2.0}
KEYS = (
    Key(0),
    Key(48, (-0.55, 0.0, 0.9), yaw=10.0),
    Key(96, (-0.45, 0.0, 1.9), yaw=22.0),
    Key(144, (0.4, 0.0, 2.5), yaw=6.0),
    Key(192, (1.05, 0.0, 3.1), yaw=-16.0),
)
START = (1.9, -0.6, 4.2)  # metres: where the walk begins in the world of the program that would have recorded it,
HEADING_DEG = 130.0  # and which way


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (file,) = export_path(walk(), FOLDER / FILE, format="tum")
    print(f"{file}: {file.stat().st_size:,} bytes")


def walk() -> CameraPath:
    """Through the scene of the template, in a world whose origin is elsewhere. TUM keeps neither lens nor size."""
    path = reshaping.shaken(keyframed_path(Keyframes(KEYS, KEYS[-1].frame + 1, (128, 224), FPS)), 7, **SHAKE)
    return replace(path, c2w=rigid(yaw_rotation(np.radians([HEADING_DEG])), np.array([START])) @ path.c2w)


if __name__ == "__main__":
    main()
