"""The example workflows on the tiny streaming models of tools.make_tiny_checkpoints: small, quick, and the same nodes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from cases import ROOT

from tools.make_streaming_models import CAUSAL_VAE, PROMPTS, STREAMING_WORLD
from tools.make_tiny_gemma3 import FOLDERS
from tools.make_tiny_refiner import REFINERS

SIZE = (64, 96)
SETTINGS = {  # title of a node -> inputs
    "World model": {"file": Path(STREAMING_WORLD.path).name},
    "Video VAE": {"file": Path(CAUSAL_VAE.path).name},
    "Start picture": {"image": "start_picture.png"},
    "Generate": {"width": SIZE[1], "height": SIZE[0]},
    "Refiner": {
        "file": REFINERS["diffusers"].transformer.removeprefix("diffusion_models/"),
        "text_encoder": FOLDERS["text_only_sharded"].path,
    },
}
TEXTS = {"Prompt": 0, "Prompt of the branch": 1}


def on_tiny_models(name: str, **settings: dict) -> dict[str, dict]:
    """API form of an example workflow, set up for the tiny models. settings: by title, with _ for spaces."""
    graph = json.loads((ROOT / "example_workflows" / "api" / f"{name}.json").read_text())
    wanted = {title: dict(inputs) for title, inputs in SETTINGS.items()}
    for title, inputs in settings.items():
        wanted.setdefault(title.replace("_", " "), {}).update(inputs)
    for number, node in list(graph.items()):
        title = node["_meta"]["title"]
        if title == "Text encoder":
            del graph[number]
        elif title in TEXTS:
            file = Path(PROMPTS[TEXTS[title]]).name
            graph[number] = {"class_type": "SanaWMLoadTextEmbedding", "inputs": {"file": file}, "_meta": {"title": title}}
        else:
            node["inputs"] |= copy.deepcopy(wanted.pop(title, {}))
    assert not set(wanted) - set(SETTINGS), f"no node has the title of {sorted(wanted)}"
    return graph


def number_of(graph: dict[str, dict], title: str) -> str:
    """The key of the node with that title."""
    (found,) = [number for number, node in graph.items() if node["_meta"]["title"] == title]
    return found
