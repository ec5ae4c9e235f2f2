"""Make the pictures of the template browser for start and tiny_world, each from a video of its `python3 dev.py demo`.

python3 -m tools.make_thumbnail VIDEO            # of --steps 6: example_workflows/start.jpg
python3 -m tools.make_thumbnail VIDEO --truth    # of no options: example_workflows/tiny_world.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wm_core.camera import path_plan

from .demo import PLAN_SIZE, Request, find_truth, read_frames
from .demo_graph import camera_path, get_input
from .environment import ROOT
from .tiny_graph import USUAL_FOV

FOLDER = ROOT / "example_workflows"
SIDE, GAP, COLUMNS = 800, 10, 3  # the template browser shows squares
BACK, INK, DIM = (24, 26, 31), (232, 234, 238), (150, 154, 162)
WORDS = {"start": ("Picture + prompt", "+ camera = video"), "tiny_world": ("Above: the film,", "below: the truth")}


def main(video: Path, *, truth: bool) -> None:
    name, request = ("tiny_world", Request()) if truth else ("start", Request(steps=6))
    frames, _, (_, size, fps) = read_frames(video, COLUMNS if truth else 2 * COLUMNS)
    workflow = request.workflow()
    if truth:
        frames += find_truth(video, request, workflow, shown=COLUMNS).frames
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    top = place_frames(sheet, frames, size)
    plan_side = SIDE - top - GAP
    plan = Image.fromarray(path_plan(camera_path(workflow, size, fps, fov=USUAL_FOV), (PLAN_SIZE, PLAN_SIZE)))
    sheet.paste(plan.resize((plan_side, plan_side), Image.Resampling.LANCZOS), (GAP, top))
    _write(sheet, (plan_side + 4 * GAP, top + 2 * GAP), WORDS[name], str(get_input(workflow, "Camera", "actions")))
    file = FOLDER / f"{name}.jpg"
    sheet.save(file, quality=88)
    print(f"{file}: {SIDE} x {SIDE}, {file.stat().st_size:,} bytes")


def place_frames(sheet: Image.Image, frames: Sequence[NDArray], size: tuple[int, int]) -> int:
    """Two rows of frames of size (w, h) at the top; where they end."""
    width = (SIDE - (COLUMNS + 1) * GAP) // COLUMNS
    height = width * size[1] // size[0]
    for i, frame in enumerate(frames):
        at = (GAP + i % COLUMNS * (width + GAP), GAP + i // COLUMNS * (height + GAP))
        sheet.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC), at)
    return 2 * (height + GAP) + GAP


def _write(sheet: Image.Image, at: tuple[int, int], words: Sequence[str], actions: str) -> None:
    lines = [
        *((text, 34, INK) for text in words),
        ("", 16, INK),
        (actions, 26 if len(actions) < 24 else 17, INK),
        ("", 90, INK),
        ("made with the tiny world,", 20, DIM),
        ("a toy that ships with the pack", 20, DIM),
    ]
    write_lines(sheet, at, lines)


def write_lines(sheet: Image.Image, at: tuple[int, int], lines: Sequence[tuple[str, int, tuple[int, int, int]]]) -> None:
    """Lines of (text, points, colour), one below the other."""
    draw, (x, y) = ImageDraw.Draw(sheet), at
    for text, points, colour in lines:
        draw.text((x, y), text, fill=colour, font=ImageFont.load_default(points))
        y += round(points * 1.35)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--truth", action="store_true", help="the tiny_world template, a film of the streaming model")
    options = parser.parse_args()
    main(options.video, truth=options.truth)
