"""Draw the demo's first frame, assets/start_picture.png: a scene of the trial world that it never saw.

python3 -m tools.make_start_picture
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .trial_scene import HELD_OUT, make_scene, render

FILE = Path(__file__).resolve().parents[1] / "assets" / "start_picture.png"
SIZE = (512, 768)  # shown to people; the demo scales it down to the model's 64 x 96


def main() -> None:
    picture = render(make_scene(HELD_OUT), np.eye(4)[None], SIZE, samples=3)[0]
    Image.fromarray(picture).save(FILE, optimize=True)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
