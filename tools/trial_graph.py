"""The dense example workflows on the trial world: the same graphs with the toy's files, size and prompt embedding.

The toy knows one constant prompt, so its text nodes are replaced by Load SANA-WM Text Embedding.
"""

from __future__ import annotations

import copy
import math

from .trial_scene import FOCAL, SIZE

NAME = "sana_wm_trial_world"
ACTIONS = "w-12,wd-12,wl-8"  # nvlabs-v1: forward, drifting right, then turning right
_PROMPT = {"class_type": "SanaWMLoadTextEmbedding", "inputs": {"file": f"{NAME}_prompt.safetensors"}}
_TEXT_NODES = ("Prompt", "Negative prompt")
_DROPPED = ("Text encoder",)
_VIEW = {"dialect": "nvlabs-v1", "fov": round(math.degrees(2 * math.atan(0.5 / FOCAL)), 1)}
SETTINGS = {  # title -> inputs; what the file's metadata says it was trained for
    "World model": {"file": f"{NAME}.safetensors"},
    "Video VAE": {"file": f"{NAME}_vae.safetensors"},
    "Start picture": {"image": "start_picture.png"},
    "Camera": {"actions": ACTIONS, **_VIEW},
    "Second camera": {"actions": "l-14,wl-10", **_VIEW},
    "Image to video": {"width": SIZE[1], "height": SIZE[0], "length": 33},
    "Continue video": {"length": 41},
    "Guidance": {"cfg": 1.0},
    "Second guidance": {"cfg": 1.0},
    "Steps": {"steps": 6},
    "Decode": {"tile_size": 256, "overlap": 32, "temporal_size": 64, "temporal_overlap": 8},
}


def on_trial_world(workflow: dict[str, dict]) -> dict[str, dict]:
    """A copy of an API-format graph whose nodes have the example's titles, set up for the trial world."""
    graph = copy.deepcopy(workflow)
    for number, node in list(graph.items()):
        title = node["_meta"]["title"]
        if title in _DROPPED:
            del graph[number]
        elif title in _TEXT_NODES:
            graph[number] = copy.deepcopy(_PROMPT) | {"_meta": {"title": title}}
        else:
            node["inputs"] |= SETTINGS.get(title, {})
    return graph
