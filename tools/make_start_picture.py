"""Draw the demo's first frame, assets/start_picture.png: a scene of the tiny world that its models never saw.

python3 -m tools.make_start_picture
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from wm_core.tiny_world import USUAL_FOCAL, make_scene, render

from .tiny_graph import PICTURE, SEED, SIZE

FILE = Path(__file__).resolve().parents[1] / "assets" / PICTURE


def main() -> None:
    height, width = SIZE
    focal = USUAL_FOCAL * width
    picture = render(make_scene(SEED), np.eye(4)[None], np.array([[focal, focal, width / 2, height / 2]]), SIZE)[0]
    Image.fromarray(picture).save(FILE, optimize=True)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
