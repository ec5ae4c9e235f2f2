"""The example workflows as the demo uses them: which one, where each of its options goes, and what it reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wm_core.camera import DEFAULT_DIALECT, CameraPath, actions_to_path

from .environment import ROOT
from .steps import StepError

FOLDER = ROOT / "example_workflows" / "api"
Workflow = dict[str, dict]  # API format: node id -> {"class_type", "inputs", "_meta": {"title"}}
Place = tuple[str, str]  # title of a node, name of its input

MODEL = ("World model", "file")  # of every route; only read, for the caption


@dataclass(frozen=True)
class Route:
    """A workflow; inputs: option of the demo -> the input it sets; film: title of the node whose video is the film.

    scene: where the seed of its scene stands, if the workflow draws one.
    """

    file: Path
    inputs: Mapping[str, Place]
    film: str
    scene: Place | None = None

    def load(self) -> Workflow:
        if not self.file.is_file():
            raise StepError(f"There is no workflow {self.file}.", "Restore it from the repository.")
        return json.loads(self.file.read_text(encoding="utf-8"))

    def get(self, workflow: Workflow, option: str) -> object:
        """What an option is set to; None if the workflow has no such input, or something else decides it."""
        value = get_input(workflow, *self.inputs[option]) if option in self.inputs else None
        return None if isinstance(value, list) else value


DENSE = Route(
    FOLDER / "start.json",
    {
        "image": ("Start picture", "image"),
        "prompt": ("Prompt", "text"),
        "actions": ("Camera", "actions"),
        "frames": ("Image to video", "length"),
        "seed": ("Noise", "noise_seed"),
        "steps": ("Steps", "steps"),
    },
    film="Save",
)
STREAMING = Route(
    FOLDER / "tiny_world.json",
    {
        "prompt": ("Prompt", "text"),
        "actions": ("Camera", "actions"),
        "frames": ("Generate", "length"),
        "seed": ("Generate", "seed"),
    },
    film="Generate",
    scene=("Scene", "seed"),
)


def set_input(workflow: Workflow, title: str, name: str, value: object) -> None:
    """Set input `name` of the node with that title."""
    inputs = find_node(workflow, title)["inputs"]
    if name not in inputs:
        raise StepError(
            f"Node '{title}' has no input '{name}', only {', '.join(inputs)}.",
            "Mend the routes in tools/demo_graph.py.",
        )
    inputs[name] = value


def get_input(workflow: Workflow, title: str, name: str) -> object:
    """Input `name` of the node with that title; None if there is none."""
    titles = {node.get("_meta", {}).get("title") for node in workflow.values()}
    return find_node(workflow, title)["inputs"].get(name) if title in titles else None


def find_node(workflow: Workflow, title: str) -> dict:
    found = [node for node in workflow.values() if node.get("_meta", {}).get("title") == title]
    if len(found) != 1:
        titles = ", ".join(sorted(title_of(node) for node in workflow.values()))
        raise StepError(
            f"{len(found)} nodes of the workflow have the title '{title}', wanted 1; titles: {titles}.",
            "Give the node that title, or mend the routes in tools/demo_graph.py.",
        )
    return found[0]


def title_of(node: dict) -> str:
    return node.get("_meta", {}).get("title") or node["class_type"]


def camera_path(
    workflow: Workflow, size: tuple[int, int], fps: float, *, fov: float | None = None
) -> CameraPath | None:
    """The camera that the workflow's action string gives a video of (width, height); None if it is not made from one.

    fov: degrees, for a workflow that gets it from another node.
    """
    actions, dialect, stated = (get_input(workflow, "Camera", name) for name in ("actions", "dialect", "fov"))
    if not isinstance(actions, str):
        return None
    degrees = fov if isinstance(stated, list) else stated or None
    return actions_to_path(actions, dialect=dialect or DEFAULT_DIALECT, size=size[::-1], fov_deg=degrees, fps=fps)
