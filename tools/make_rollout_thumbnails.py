"""Make the pictures of the template browser for stream_minute and continue_and_branch: their camera paths, chunk by chunk.

python3 -m tools.make_rollout_thumbnails

Drawn from the workflows themselves. No frames are shown: they are for the released model, not for the toy that ships.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wm_core.camera import CameraPath, actions_to_path

FOLDER = Path(__file__).resolve().parents[1] / "example_workflows"
SIDE, OVERSAMPLING = 800, 2
BACK, INK, DIM = (24, 26, 31), (232, 234, 238), (150, 154, 162)
KEPT, MORE, OTHER = (118, 185, 0), (90, 160, 235), (240, 160, 80)
CHUNK = 24  # frames
SIZE = (704, 1280)


def main() -> None:
    minute = _camera("stream_minute", "Camera")
    _draw("stream_minute", [(minute, KEPT)], ["One minute, 24 frames at a time", "stop, queue again: it goes on"])
    begin, on, off = (_camera("continue_and_branch", name) for name in ("Camera", "Camera that follows", "Camera of the branch"))
    kept = begin.slice(0, 4 * CHUNK + 1)
    paths = [(begin.then(on), MORE), (kept.then(off), OTHER), (begin, KEPT)]
    _draw("continue_and_branch", paths, ["One beginning, two futures", "extend it, or branch it from any chunk"])


def _camera(workflow: str, title: str) -> CameraPath:
    """The path of a workflow's camera node."""
    graph = json.loads((FOLDER / "api" / f"{workflow}.json").read_text(encoding="utf-8"))
    inputs = next(node["inputs"] for node in graph.values() if node["_meta"]["title"] == title)
    return actions_to_path(inputs["actions"], dialect=inputs["dialect"], size=SIZE)


def _draw(workflow: str, paths: list[tuple[CameraPath, tuple[int, int, int]]], words: list[str]) -> None:
    """Paths from above, forward is up, a dot where each chunk ends; the words below."""
    side = SIDE * OVERSAMPLING
    sheet = Image.new("RGB", (side, side), BACK)
    draw = ImageDraw.Draw(sheet)
    place = _placing([path.c2w[:, [0, 2], 3] for path, _ in paths], (0.1 * side, 0.08 * side, 0.9 * side, 0.74 * side))
    for path, colour in paths:
        points = [tuple(point) for point in place(path.c2w[:, [0, 2], 3])]
        draw.line(points, colour, side // 130, joint="curve")
        for frame in range(CHUNK, path.frames, CHUNK):
            _dot(draw, points[frame], side // 110, colour)
        _dot(draw, points[0], side // 55, INK)
    for n, (text, points) in enumerate(zip(words, (50, 32))):
        font = ImageFont.load_default(points * OVERSAMPLING)
        draw.text((side / 2, (0.84 + 0.085 * n) * side), text, INK if n == 0 else DIM, font, anchor="mm")
    file = FOLDER / f"{workflow}.jpg"
    sheet.reduce(OVERSAMPLING).save(file, quality=88)
    print(f"{file.relative_to(FOLDER.parent)}: {file.stat().st_size:,} bytes")


def _placing(tracks: list[np.ndarray], box: tuple[float, float, float, float]):
    """Metres (x right, z forward) to pixels, all tracks in the box, one scale for both axes."""
    every = np.concatenate(tracks)
    low, high = every.min(0), every.max(0)
    left, top, right, bottom = box
    scale = min((right - left) / max(high[0] - low[0], 0.1), (bottom - top) / max(high[1] - low[1], 0.1))
    middle, centre = (low + high) / 2, np.array([(left + right) / 2, (top + bottom) / 2])
    return lambda track: centre + (track - middle) * scale * np.array([1, -1])


def _dot(draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    x, y = at
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


if __name__ == "__main__":
    main()
