"""Make example_workflows/start.jpg, the picture of the template browser, from a video of `python3 dev.py demo`.

    python3 -m tools.make_thumbnail VIDEO
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .demo import draw_plan, load_workflow, read_frames
from .trial_graph import on_trial_world

FILE = Path(__file__).resolve().parents[1] / "example_workflows" / "start.jpg"
FRAME, GAP, COLUMNS = (288, 192), 8, 3  # pixels (w, h) of a shown frame
STRIP = 34  # below the pictures, for the label
BACK, INK = (24, 26, 31), (225, 228, 232)


def main(video: Path) -> None:
    frames, _, (_, size, fps) = read_frames(video, 6)
    width, height = COLUMNS * (FRAME[0] + GAP) + GAP, 2 * (FRAME[1] + GAP) + GAP
    sheet = Image.new("RGB", (width + height, height + STRIP), BACK)
    for i, frame in enumerate(frames):
        at = (GAP + i % COLUMNS * (FRAME[0] + GAP), GAP + i // COLUMNS * (FRAME[1] + GAP))
        sheet.paste(Image.fromarray(frame).resize(FRAME, Image.Resampling.BICUBIC), at)
    side = height - 2 * GAP
    plan = draw_plan(on_trial_world(load_workflow()), size, fps)
    sheet.paste(Image.fromarray(np.asarray(plan)).resize((side, side), Image.Resampling.LANCZOS), (width, GAP))
    label = "trial world (toy): frames 0, 6, 13, 19, 26, 32 and the camera from above"
    ImageDraw.Draw(sheet).text((GAP, height), label, fill=INK, font=ImageFont.load_default(20))
    sheet.save(FILE, quality=88)
    print(f"{FILE}: {sheet.size[0]} x {sheet.size[1]}, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    main(parser.parse_args().video)
