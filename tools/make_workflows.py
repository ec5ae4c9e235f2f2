"""Write example_workflows/ from the graphs in tools/graphs: NAME.json for the browser, api/NAME.json for programs.

python3 -m tools.make_workflows [--comfyui PATH]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .graphs.camera_editor import camera_editor
from .graphs.camera_from_file import camera_from_file
from .graphs.continue_and_branch import continue_and_branch
from .graphs.refine_and_compare import refine_and_compare
from .graphs.start import start
from .graphs.stitch_two_clips import stitch_two_clips
from .graphs.stream_minute import stream_minute
from .graphs.tiny_world import tiny_world
from .workflows import api_form, ui_form

FOLDER = Path(__file__).resolve().parents[1] / "example_workflows"

EXAMPLES = (
    start,
    tiny_world,
    stream_minute,
    continue_and_branch,
    stitch_two_clips,
    refine_and_compare,
    camera_editor,
    camera_from_file,
)
GRAPHS = {graph.__name__: graph for graph in EXAMPLES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", help="folder of a ComfyUI; by default the one that set-up installed")
    arguments = parser.parse_args()
    from . import host
    from .client import Client
    from .server import Server

    ready = host.prepare("host", arguments.comfyui)
    with Server(ready.folder) as server, Client(server.url) as client:
        object_info = client.object_info()
    for name, graph in GRAPHS.items():
        write(name, *forms(graph, object_info))


def forms(graph, object_info: dict) -> tuple[dict, dict]:
    """(UI form, API form) of a graph."""
    nodes, groups = graph()
    return ui_form(nodes, groups, object_info), api_form(nodes)


def write(name: str, ui: dict, api: dict) -> None:
    for file, content in ((FOLDER / f"{name}.json", ui), (FOLDER / "api" / f"{name}.json", api)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(file.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
