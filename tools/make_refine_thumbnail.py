"""Make example_workflows/refine_and_compare.jpg: a wipe and its curves as SANA-WM Compare Refined draws them.

    python3 -m tools.make_refine_thumbnail

An illustration, and the picture says so: no refiner made it. "refined" is a rendered scene of the tiny world, "stage 1"
the same frames softened; view, names, curves and figures are the node's own code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wm_core.camera import CameraPath, actions_to_path
from wm_core.metrics import PairMeter
from wm_core.rollout import PairView, draw_pair
from wm_core.tiny_world import make_scene, render, usual_intrinsics

from .make_thumbnail import BACK, DIM, GAP, INK, SIDE
from .make_workflows import FOLDER
from .tiny_graph import DIALECT, SEED

FILE = FOLDER / "refine_and_compare.jpg"
WIDTH = SIDE - 2 * GAP
SIZE = (WIDTH * 704 // 1280 // 2 * 2, WIDTH)  # pixels of a frame, shaped like a film of the released model
FPS = 16.0
ACTIONS = "w-10,wd-20"
SHOWN = 17  # the frame whose wipe is shown: its line is right of the middle
SOFTENED = 6  # pixels that become one and are drawn up again
CHARTS = (44, 236)  # rows of the curves' picture: sharpness and change


def main() -> None:
    path = _path()
    refined = render(make_scene(SEED), path.c2w, path.intrinsics, SIZE)
    draft = np.stack([_softened(frame) for frame in refined])
    meter = PairMeter()
    meter.add(torch.from_numpy(draft), torch.from_numpy(refined))
    curves = draw_pair(meter.curves(), FPS, None)[slice(*CHARTS)]
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    sheet.paste(Image.fromarray(PairView("wipe", FPS).draw(draft[SHOWN], refined[SHOWN], SHOWN)), (GAP, GAP))
    strip = Image.fromarray(curves)
    strip = strip.resize((WIDTH, strip.height * WIDTH // strip.width), Image.Resampling.LANCZOS)
    top = SIZE[0] + 2 * GAP
    sheet.paste(strip, (GAP, top))
    _write(sheet, top + strip.height + 2 * GAP)
    sheet.save(FILE, quality=88)
    print(f"{FILE}: {SIDE} x {SIDE}, {FILE.stat().st_size:,} bytes")


def _path() -> CameraPath:
    return actions_to_path(ACTIONS, dialect=DIALECT, size=SIZE, intrinsics=usual_intrinsics(SIZE))


def _softened(frame: NDArray) -> NDArray:
    picture = Image.fromarray(frame)
    return np.asarray(picture.reduce(SOFTENED).resize(picture.size, Image.Resampling.BICUBIC))


def _write(sheet: Image.Image, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    lines = [
        ("A draft, refined, and both compared", 38, INK),
        ("frame by frame, with curves and figures", 28, INK),
        ("an illustration: a rendered toy scene, softened and sharp", 24, DIM),
    ]
    for text, points, colour in lines:
        draw.text((2 * GAP, top), text, fill=colour, font=ImageFont.load_default(points))
        top += round(points * 1.45)


if __name__ == "__main__":
    main()
