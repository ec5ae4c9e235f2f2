"""Make example_workflows/stitch_two_clips.jpg: the example run on the tiny world, its frames and its seam.

python3 -m tools.make_stitch_thumbnail [--comfyui PATH]
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import host
from .client import Client
from .demo import START_PICTURE, fetch_video, read_frames
from .demo_graph import get_input
from .make_thumbnail import BACK, COLUMNS, DIM, GAP, INK, SIDE
from .make_workflows import FOLDER
from .server import Server
from .tiny_graph import on_tiny_world

FILE = FOLDER / "stitch_two_clips.jpg"
FRAMES = 6
SEAM_SHARE = 0.505  # of the seam's picture, from the top: its frames and the first curve
AMBER = (240, 178, 70)


def main(comfyui: str | None) -> None:
    workflow = on_tiny_world(json.loads((FOLDER / "api" / "stitch_two_clips.json").read_text(encoding="utf-8")))
    (seam_node,) = [number for number, node in workflow.items() if node["_meta"]["title"] == "The seam"]
    ready = host.prepare("host", comfyui)
    with Server(ready.folder) as server, Client(server.url) as client, tempfile.TemporaryDirectory() as folder:
        client.upload_image(START_PICTURE)
        prompt_id = client.queue(workflow)
        list(client.follow(prompt_id))
        film = fetch_video(client, prompt_id, workflow, "Save", Path(folder))
        frames, times, (count, size, fps) = read_frames(film, FRAMES)
        (seam,) = client.history(prompt_id)["outputs"][seam_node]["images"]
        picture = Image.open(io.BytesIO(client.view(seam["filename"], seam["subfolder"], seam["type"]))).convert("RGB")
    lengths = get_input(workflow, "Image to video", "length"), get_input(workflow, "Continue video", "length")
    numbers = [round(time * fps) for time in times]
    words = [_part(number, lengths[0], count - lengths[1]) for number in numbers]
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    top = _place_frames(sheet, frames, words, size)
    top = _place_seam(sheet, picture, top + GAP)
    actions = " then ".join(str(get_input(workflow, title, "actions")) for title in ("Camera", "Second camera"))
    _write(sheet, top + 3 * GAP, actions)
    sheet.save(FILE, quality=88)
    print(f"{FILE}: {SIDE} x {SIDE}, {FILE.stat().st_size:,} bytes")


def _part(frame: int, end: int, start: int) -> str:
    """Which clip a frame of the whole is from: the first ends before `end`, the second begins at `start`."""
    return "first clip" if frame < start else "both" if frame < end else "second clip"


def _place_frames(sheet: Image.Image, frames: list[np.ndarray], words: list[str], size: tuple[int, int]) -> int:
    """Frames in rows with the name of their clip; returns where they end."""
    width = (SIDE - (COLUMNS + 1) * GAP) // COLUMNS
    height = width * size[1] // size[0]
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for i, (frame, word) in enumerate(zip(frames, words)):
        left, top = GAP + i % COLUMNS * (width + GAP), GAP + i // COLUMNS * (height + GAP)
        sheet.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC), (left, top))
        box = (left, top + height - 30, left + font.getlength(word) + 18, top + height)
        draw.rectangle(box, BACK)
        draw.text((left + 9, top + height - 15), word, AMBER if word == "both" else INK, font, anchor="lm")
    return GAP + -(-len(frames) // COLUMNS) * (height + GAP)


def _place_seam(sheet: Image.Image, picture: Image.Image, top: int) -> int:
    part = picture.crop((0, 0, picture.width, round(SEAM_SHARE * picture.height)))
    width = SIDE - 2 * GAP
    part = part.resize((width, part.height * width // part.width), Image.Resampling.LANCZOS)
    sheet.paste(part, (GAP, top))
    return top + part.height


def _write(sheet: Image.Image, top: int, actions: str) -> None:
    draw = ImageDraw.Draw(sheet)
    lines = [
        ("Two clips, one film, and the seam on show", 38, INK),
        (actions, 28, INK),
        ("made with the tiny world, a toy that ships with the pack", 24, DIM),
    ]
    for text, points, colour in lines:
        draw.text((2 * GAP, top), text, fill=colour, font=ImageFont.load_default(points))
        top += round(points * 1.45)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", help="folder of a ComfyUI; by default the one that set-up installed")
    main(parser.parse_args().comfyui)
