"""Make example_workflows/start.jpg, the picture of the template browser, from a video of `python3 dev.py demo`.

python3 -m tools.make_thumbnail VIDEO
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from wm_core.camera import path_plan

from .demo import PLAN_SIZE, camera_path, get_input, load_workflow, read_frames
from .tiny_graph import on_tiny_world

FILE = Path(__file__).resolve().parents[1] / "example_workflows" / "start.jpg"
SIDE, GAP, COLUMNS = 800, 10, 3  # the template browser shows squares
BACK, INK, DIM = (24, 26, 31), (232, 234, 238), (150, 154, 162)


def main(video: Path) -> None:
    frames, _, (_, size, fps) = read_frames(video, 6)
    workflow = on_tiny_world(load_workflow())
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    width = (SIDE - (COLUMNS + 1) * GAP) // COLUMNS
    height = width * size[1] // size[0]
    for i, frame in enumerate(frames):
        at = (GAP + i % COLUMNS * (width + GAP), GAP + i // COLUMNS * (height + GAP))
        sheet.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC), at)
    top = 2 * (height + GAP) + GAP
    plan_side = SIDE - top - GAP
    plan = Image.fromarray(path_plan(camera_path(workflow, size, fps), (PLAN_SIZE, PLAN_SIZE)))
    sheet.paste(plan.resize((plan_side, plan_side), Image.Resampling.LANCZOS), (GAP, top))
    _write(sheet, (plan_side + 4 * GAP, top + 2 * GAP), get_input(workflow, "Camera", "actions"))
    sheet.save(FILE, quality=88)
    print(f"{FILE}: {SIDE} x {SIDE}, {FILE.stat().st_size:,} bytes")


def _write(sheet: Image.Image, at: tuple[int, int], actions: object) -> None:
    draw = ImageDraw.Draw(sheet)
    lines = [
        ("Picture + prompt", 34, INK),
        ("+ camera = video", 34, INK),
        ("", 16, INK),
        (str(actions), 26, INK),
        ("", 90, INK),
        ("made with the tiny world,", 20, DIM),
        ("a toy that ships with the pack", 20, DIM),
    ]
    x, y = at
    for text, points, colour in lines:
        draw.text((x, y), text, fill=colour, font=ImageFont.load_default(points))
        y += round(points * 1.35)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    main(parser.parse_args().video)
