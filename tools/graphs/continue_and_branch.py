"""One beginning, two futures: a rollout that is extended, and branched with another prompt and camera."""

from __future__ import annotations

from ..workflows import NOTE, Group, Link, Node
from .released import CAUSAL_VAE, PROMPT, STREAMING_WORLD, TEXT

NIGHT = (
    "A quiet village street at night after rain: wet cobbles mirror warm windows and a lantern by the fountain, the stone "
    "houses are dark shapes, mist between them. The world is still but alive: lamplight flickers, water glitters."
)
NOTE_TEXT = """### One beginning, two futures

**Generate** makes ten seconds and hands on a *session*: everything the next chunk depends on.

* **Extend** goes on with it. Its camera begins where the first one ended: *what follows*.
* **Branch** is Extend too, from an earlier chunk (*from_chunk* under advanced), with another prompt and seed.
  What it came from stays untouched.
* **Save Session** keeps it under a name; **Load SANA-WM Session** takes it up on another day.

Each makes a video of its own that begins with the old frames. A session of 720p has 1.6 GB on the disk:
delete the `..._session` folders that you need no more.

The models are those of the workflow *stream_minute*."""


def continue_and_branch() -> tuple[list[Node], list[Group]]:
    recipe = {"model": Link("world"), "vae": Link("vae"), "resume": "auto"}
    more = {"session": Link("generate", 2), "camera_is": "what follows", **recipe}
    view = {"dialect": "nvlabs-v2", "fov": 0.0, "image": Link("picture"), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 640), (400, 195), {"file": STREAMING_WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 890), (400, 60), {"file": CAUSAL_VAE["name"]}, (CAUSAL_VAE,)),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1005), (400, 90), {"file": TEXT["name"], "device": "default"}, (TEXT,)),
        Node("picture", "LoadImage", "Start picture", (540, 690), (440, 405), {"image": "example.png"}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 190), (440, 150), {"clip": Link("encoder"), "text": PROMPT, "instruction": True}),
        Node("camera", "SanaWMCameraFromActions", "Camera", (540, 395), (440, 240), {"actions": "w-120,none-48", **view}),
        Node("generate", "SanaWMGenerate", "Generate", (1040, 190), (460, 840), {**recipe, "positive": Link("prompt"), "camera": Link("camera"), "seed": 42, "length": 169, "width": 1280, "height": 704, "save_prefix": "video/SanaWM_begin", "image": Link("picture"), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True}),
        Node("keep", "SanaWMSaveSession", "Keep the session", (1040, 1085), (460, 110), {"session": Link("generate", 2), "save_prefix": "sessions/SanaWM"}),
        Node("camera_on", "SanaWMCameraFromActions", "Camera that follows", (1560, 190), (440, 240), {"actions": "dw-60,w-60", **view}),
        Node("extend", "SanaWMExtend", "Extend", (1560, 485), (440, 660), {**more, "camera": Link("camera_on"), "seed": 43, "length": 120, "save_prefix": "video/SanaWM_longer", "from_chunk": -1}),
        Node("other_prompt", "SanaWMTextEncode", "Prompt of the branch", (2060, 190), (440, 150), {"clip": Link("encoder"), "text": NIGHT, "instruction": True}),
        Node("camera_off", "SanaWMCameraFromActions", "Camera of the branch", (2060, 395), (440, 240), {"actions": "aw-60,w-60", **view}),
        Node("branch", "SanaWMExtend", "Branch", (2060, 690), (440, 660), {**more, "camera": Link("camera_off"), "seed": 44, "length": 120, "save_prefix": "video/SanaWM_branch", "positive": Link("other_prompt"), "from_chunk": 4}),
        Node("note", NOTE, "Read me", (80, 130), (400, 430), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 570, 440, 645)),
        Group("What is seen and where the camera goes", (520, 100, 480, 1115), "#3f9e5a"),
        Group("The beginning", (1020, 100, 500, 1115), "#8a5aa0"),
        Group("It goes on", (1540, 100, 480, 1115), "#3f789e"),
        Group("Another future from chunk 4", (2040, 100, 480, 1270), "#a06a3f"),
    ]
    return nodes, groups
