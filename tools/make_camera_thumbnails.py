"""Make the pictures of the template browser for camera_editor and camera_from_file, from their own films.

python3 -m tools.make_camera_thumbnails [--comfyui PATH]
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wm_core.camera import (
    CameraPath,
    import_path,
    keyframed_path,
    path_plan,
    preview_picture,
    read_keyframes,
    reshaping,
    retiming,
)
from wm_core.tiny_world import make_scene, usual_intrinsics

from . import host
from .client import Client
from .demo import fetch_video, read_frames
from .demo_graph import Workflow, find_node, get_input
from .make_shipped_camera import FOLDER as CAMERAS
from .make_thumbnail import BACK, COLUMNS, DIM, GAP, INK, SIDE, place_frames, write_lines
from .make_workflows import FOLDER
from .server import Server
from .truth import true_frames

SHOWN = 4  # frames with the camera drawn on them
CARD, TURNING = (2048, 1152), (1152, 896, 2020, 1124)  # pixels (w, h) of a preview, and where its chart of turns is
TOY = ("made with the tiny world,", "a toy that ships with the pack")


def main(comfyui: str | None) -> None:
    editor, file = (_load(name) for name in ("camera_editor", "camera_from_file"))
    ready = host.prepare("host", comfyui)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with Server(ready.folder, folders=place, log=place / "server.log") as server, Client(server.url) as client:
            drawn, film = _drawn(client, editor), _film(client, file, place)
        _save("camera_editor", _editor_sheet(editor, drawn))
        _save("camera_from_file", _file_sheet(file, film))


def _load(name: str) -> Workflow:
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def _drawn(client: Client, workflow: Workflow) -> list[Image.Image]:
    """Pictures of Draw the camera on it as they leave that node: the film of them is not coded twice to the same bits."""
    (number,) = [n for n, node in workflow.items() if node is find_node(workflow, "Draw the camera on it")]
    shown = {"class_type": "PreviewImage", "inputs": {"images": [number, 0]}, "_meta": {"title": "Drawn"}}
    prompt_id = client.queue(workflow | {"drawn": shown})
    list(client.follow(prompt_id))
    items = client.history(prompt_id)["outputs"]["drawn"]["images"]
    chosen = [items[round(i)] for i in np.linspace(0, len(items) - 1, SHOWN)]
    files = [client.view(item["filename"], item["subfolder"], item["type"]) for item in chosen]
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in files]


def _film(client: Client, workflow: Workflow, folder: Path) -> Path:
    """The film of a run of the workflow."""
    prompt_id = client.queue(workflow)
    list(client.follow(prompt_id))
    return fetch_video(client, prompt_id, workflow, "Generate", folder)


def _save(name: str, sheet: Image.Image) -> None:
    file = FOLDER / f"{name}.jpg"
    sheet.save(file, quality=88)
    print(f"{file}: {SIDE} x {SIDE}, {file.stat().st_size:,} bytes")


def _editor_sheet(workflow: Workflow, drawn: Sequence[Image.Image]) -> Image.Image:
    """Frames with the camera drawn on them, the way from above, and words."""
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    width = (SIDE - 3 * GAP) // 2
    height = width * drawn[0].height // drawn[0].width
    for i, frame in enumerate(drawn):
        picture = frame.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(picture, (GAP + i % 2 * (width + GAP), GAP + i // 2 * (height + GAP)))
    top = 2 * (height + GAP) + GAP
    keyframes = read_keyframes(str(get_input(workflow, "Camera", "state")))
    side = SIDE - top - GAP
    _paste_plan(sheet, keyframed_path(keyframes), (GAP, top), side)
    words = [
        ("Draw the path,", 38, INK),
        ("see it flown", 38, INK),
        ("", 14, INK),
        (f"{len(keyframes.keys)} keys in a 3-D view", 27, INK),
        ("", 34, INK),
    ]
    write_lines(sheet, (side + 4 * GAP, top + 2 * GAP), [*words, *((line, 22, DIM) for line in TOY)])
    return sheet


def _file_sheet(workflow: Workflow, film: Path) -> Image.Image:
    """The film above its truth, the way from above, how it turned as it came and how it does smoothed, and words."""
    frames, times, (count, size, fps) = read_frames(film, COLUMNS)
    recorded = _recorded(workflow, (size[1], size[0]))
    path = reshaping.smoothed(
        retiming.with_frames(recorded, get_input(workflow, "Edit", "frames")), get_input(workflow, "Edit", "smooth")
    )
    truth = list(true_frames(make_scene(get_input(workflow, "Scene", "seed")), path.with_length(count), "day"))
    sheet = Image.new("RGB", (SIDE, SIDE), BACK)
    top = place_frames(sheet, [*frames, *(truth[round(time * fps)] for time in times)], size)
    side = (SIDE - 3 * GAP) * 2 // 5
    _paste_plan(sheet, path, (GAP, top), side)
    left, down = side + 2 * GAP, top
    for name, which in (("as it came", recorded), ("smoothed", path)):
        write_lines(sheet, (left + GAP, down), [(name, 24, INK)])
        chart = _turning(which, SIDE - GAP - left)
        sheet.paste(chart, (left, down + 34))
        down += (side + GAP) // 2
    words = [("A camera from a file", 38, INK), ("above the film, below it the truth", 26, INK), ("", 6, INK)]
    write_lines(sheet, (2 * GAP, top + side + GAP), [*words, (" ".join(TOY), 22, DIM)])
    return sheet


def _recorded(workflow: Workflow, size: tuple[int, int]) -> CameraPath:
    """What Camera file gives the rest of the workflow. size: (h, w) pixels."""
    file, fps = (get_input(workflow, "Camera file", name) for name in ("file", "fps"))
    return import_path(
        CAMERAS / str(file), size=size, fps=float(fps), intrinsics=usual_intrinsics(size)
    ).relative_to_first()


def _turning(path: CameraPath, width: int) -> Image.Image:
    """The chart of a path's turns, as SANA-WM Camera Preview draws it."""
    chart = Image.fromarray(preview_picture(path, width=CARD[0], height=CARD[1])).crop(TURNING)
    return chart.resize((width, chart.height * width // chart.width), Image.Resampling.LANCZOS)


def _paste_plan(sheet: Image.Image, path: CameraPath, at: tuple[int, int], side: int) -> None:
    sheet.paste(Image.fromarray(path_plan(path, (side, side))), at)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", help="folder of a ComfyUI; by default the one that set-up installed")
    main(parser.parse_args().comfyui)
