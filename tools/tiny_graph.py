"""The dense example workflows on the tiny world: the same graphs with the toy's files, size, scene and words."""

from __future__ import annotations

import copy
import math
from pathlib import Path

from wm_core.tiny_world import HELD_OUT, USUAL_FOCAL, make_scene

from .tiny_world.files import DIALECT, TEXT, VAES, WORLDS

SEED = HELD_OUT + 30  # the scene of assets/start_picture.png
SIZE = (128, 224)  # pixels (h, w) that the models were trained at
FRAMES = 33
ACTIONS = "w-10,wl-14,a-8"  # forward, on while turning right, a step to the left; nothing is in the way
PICTURE = "start_picture.png"
USUAL_FOV = math.degrees(2 * math.atan(0.5 / USUAL_FOCAL))
_VIEW = {"dialect": DIALECT, "fov": USUAL_FOV}
SETTINGS = {  # title -> inputs; what the files' metadata say they were trained for
    "World model": {"file": Path(WORLDS["world"].path).name},
    "Video VAE": {"file": Path(VAES["decoder"]).name},
    "Text encoder": {"file": Path(TEXT).name},
    "Prompt": {"text": make_scene(SEED).prompt("day")},
    "Start picture": {"image": PICTURE},
    "Camera": {"actions": ACTIONS, **_VIEW},
    "Second camera": {"actions": "l-14,wl-10", **_VIEW},
    "Image to video": {"width": SIZE[1], "height": SIZE[0], "length": FRAMES},
    "Continue video": {"length": 41},
    "Guidance": {"cfg": 1.0},
    "Second guidance": {"cfg": 1.0},
    "Steps": {"steps": 6},
    "Decode": {"tile_size": 256, "overlap": 32, "temporal_size": 64, "temporal_overlap": 8},
}


def on_tiny_world(workflow: dict[str, dict]) -> dict[str, dict]:
    """A copy of an API-format graph whose nodes have the example's titles, set up for the tiny world."""
    graph = copy.deepcopy(workflow)
    for node in graph.values():
        node["inputs"] |= SETTINGS.get(node["_meta"]["title"], {})
    return graph
