"""The tiny world: everything that ships with the pack, in under a minute without a graphics card or a download."""

from __future__ import annotations

from pathlib import Path

from ..tiny_world.files import DIALECT, REFINER, REFINER_PROMPT, TEXT, VAES, WORLDS
from ..tiny_world.settings import load_settings
from ..workflows import NOTE, Group, Link, Node

SEED = 900_001
FRAMES = 97
SIZE = (128, 224)  # (h, w)
ACTIONS = "d-20,j-16,w-24,wl-20,a-16"
WORLD, VAE, ENCODER = (Path(file).name for file in (WORLDS["student"].path, VAES["causal_decoder"], TEXT))
START_SIGMA = load_settings().refiner.recipe.sigmas[0]  # that the small refiner was trained to start at

NOTE_TEXT = """### The tiny world: try everything in a minute

**A toy.** These models have 3 million parameters where SANA-WM has 2600, and they have seen nothing but coloured solids
on patterned ground. They show how the system works, not what SANA-WM looks like. All of it comes with this pack.

1. **Queue.** A scene is drawn from its seed, the camera goes where the keys say, the streaming model makes the film
   chunk by chunk.
2. **Compare**: left the film, right what the camera would really have seen, by exact rendering.
3. Change **the keys** (w a s d move, i j k l turn), or **the seed** of *both* scene nodes.
4. Set **becomes** to *night* in both scene nodes: the prompt then says night, and night falls in the film. The words
   these models know: red, orange, yellow, green, blue, purple, white, gray (ground), blue, orange, pink, green, gray
   (sky), day, dusk, night. A first frame settles the colours; the time of day is what words can still change.

For SANA-WM itself open the template **start** or **stream_minute**."""
REFINER_TEXT = """### The film once more, refined

The real second stage is LTX-2 with 13 billion parameters and makes a draft watchable; its template is
**refine_and_compare**. This one has 0.8 million, of the same class and run block by block in the same way, and can only
show how it is done: it brings a film nearer to the truth by less than a tenth of a decibel, and makes nothing sharp.

It was trained to start at **start_sigma** 0.1. More noise hides more of the draft than it can find again; try 0.4.

**Without it**: select this group and press Ctrl+M."""


def tiny_world() -> tuple[list[Node], list[Group]]:
    height, width = SIZE
    scene = {"seed": SEED, "width": width, "height": height, "time": "day", "becomes": "same"}
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 760), (400, 195), {"file": WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 1015), (400, 95), {"file": VAE}),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1180), (400, 90), {"file": ENCODER, "device": "default"}),
        Node("scene", "SanaWMTinyWorld", "Scene", (540, 190), (440, 220), scene),
        Node("camera", "SanaWMCameraFromActions", "Camera", (540, 480), (440, 240), {"actions": ACTIONS, "dialect": DIALECT, "fov": Link("scene", 1), "image": Link("scene", 0), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 790), (440, 130), {"clip": Link("encoder"), "text": Link("scene", 2), "instruction": True}),
        Node("preview", "SanaWMCameraPreview", "Look before you wait", (540, 985), (440, 300), {"camera": Link("camera"), "image": Link("scene", 0)}),
        Node("generate", "SanaWMGenerate", "Generate", (1040, 190), (560, 860), {"model": Link("world"), "vae": Link("vae"), "positive": Link("prompt"), "camera": Link("camera"), "seed": 42, "length": FRAMES, "width": width, "height": height, "save_prefix": "video/SanaWM_tiny_world", "resume": "auto", "image": Link("scene", 0), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True}),
        Node("truth", "SanaWMTinyWorld", "Truth along the camera", (1040, 1115), (560, 240), scene | {"camera": Link("generate", 5)}),
        Node("truth_video", "CreateVideo", "Truth as video", (1660, 985), (300, 80), {"images": Link("truth", 3), "fps": 16.0}),
        Node("compare", "SanaWMCompare", "Film and truth", (1660, 190), (820, 730), {"first": Link("generate"), "second": Link("truth_video"), "view": "side by side", "save_prefix": "", "camera": Link("generate", 5), "fps": 16.0, "first_name": "film", "second_name": "truth"}),
        Node("curves", "PreviewImage", "Sharpness, change, colour", (2000, 985), (480, 300), {"images": Link("compare", 1)}),
        Node("refiner", "SanaWMRefinerLoader", "Refiner", (2540, 190), (440, 330), {"file": Path(REFINER).name, "text_encoder": "none", "connectors": "auto", "weight_dtype": "auto", "rope": "auto", "resident_blocks": -1, "encoder_device": "default", "use_anyway": False}),
        Node("refiner_prompt", "SanaWMLoadTextEmbedding", "The one prompt that it knows", (2540, 590), (440, 90), {"file": Path(REFINER_PROMPT).name}),
        Node("refiner_note", NOTE, "The second stage", (2540, 750), (440, 535), {"text": REFINER_TEXT}),
        Node("refine", "SanaWMRefine", "Refine", (3020, 190), (480, 1095), {"refiner": Link("refiner"), "positive": Link("refiner_prompt"), "draft": Link("generate", 2), "fps": 16.0, "mode": "block by block", "start_sigma": START_SIGMA, "seed": 42, "save_prefix": "video/SanaWM_tiny_world_refined", "resume": "auto", "vae": Link("vae"), "first_frame": 0, "last_frame": -1, "block": 3, "sink": 1, "window": 11}),
        Node("refined_and_truth", "SanaWMCompare", "Refined and truth", (3540, 190), (820, 1095), {"first": Link("refine", 1), "second": Link("truth_video"), "view": "side by side", "save_prefix": "", "camera": Link("generate", 5), "fps": 16.0, "first_name": "refined", "second_name": "truth"}),
        Node("note", NOTE, "Read me", (80, 130), (400, 550), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 690, 440, 615)),
        Group("What is seen and where the camera goes", (520, 100, 480, 1205), "#3f9e5a"),
        Group("How it is made", (1020, 100, 600, 1290), "#8a5aa0"),
        Group("What came of it, beside the truth", (1640, 100, 860, 1205), "#a06a3f"),
        Group("The second stage, if you like", (2520, 100, 1860, 1205), "#3f789e"),
    ]
    return nodes, groups
