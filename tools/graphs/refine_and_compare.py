"""The second stage: a streamed film, refined block by block, and both beside each other with what was measured."""

from __future__ import annotations

from ..workflows import NOTE, Group, Link, Node
from .released import CAUSAL_VAE, GEMMA3, PROMPT, REFINER, STREAMING_WORLD, TEXT

NOTE_TEXT = """### A draft, the same film refined, and both compared

1. **Stage 1** is that of the workflow *stream_minute*, with the same models (12.5 GB). Its film is finished and saved
   before the refiner begins, and the refiner never changes it.
2. **The second stage is optional.** Without the refiner: select everything in the two groups on the right and press
   Ctrl+M; the rest runs without it.
3. **Queue.** Stop whenever you like and queue again: finished chunks and finished blocks are not made again.
4. The text above both prompts goes to both stages, each of which has a text encoder of its own.
"""
REFINER_TEXT = f"""### What the refiner needs

* models/diffusion_models/sana_wm_refiner/**transformer** (35.2 GiB) and beside it **connectors** (2.7 GiB): the folders of
  that name in *refiner* of Efficient-Large-Model/SANA-WM_bidirectional, each with its **config.json**. It must be
  SANA-WM's: stock LTX-2 has the same names and gives broken video.
* models/text_encoders: **{GEMMA3["name"]}** (13.2 GB) or *gemma_3_12B_it_fp4_mixed* (9.5 GB), which LTX-2
  users have. A ComfyUI without this encoder reads a folder of Gemma-3-12B instead (config.json, tokenizer, shards).
* **Less memory**: the audio half is never read, which leaves 26 GB. `python3 -m tools.quantize`, run in this pack's folder,
  makes an fp8 file of half of that; put it into *transformer* and choose it here.
* A **red frame** around **Refiner** after queueing: a file is missing. Stage 1 runs all the same, and is not made again
  once the file is there.
"""
JUDGE_TEXT = """### How to judge

**Look at the wipe first**: stage 1 left of the line, refined right of it. The curves say where to look, not which is better.

* *sharpness*: higher is detail, or noise, ringing and false edges.
* *change to the frame before*: spikes in one curve alone are flicker.
* *brightness* and *colour*: both curves follow the camera; a gap between them that grows is drift.
* *likeness when the camera comes back*: this camera returns to where it began, so the same place is seen twice. Blur
  raises it, fine detail lowers it: compare it together with sharpness.

Not convinced? A lower *start_sigma* of **Refine** keeps more of the draft; at 0.7 it takes two steps instead of three.
"""


def refine_and_compare() -> tuple[list[Node], list[Group]]:
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 810), (440, 195), {"file": STREAMING_WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 1060), (440, 110), {"file": CAUSAL_VAE["name"]}, (CAUSAL_VAE,)),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1225), (440, 100), {"file": TEXT["name"], "device": "default"}, (TEXT,)),
        Node("words", "PrimitiveStringMultiline", "What is seen, for both stages", (580, 190), (440, 150), {"value": PROMPT}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (580, 395), (440, 115), {"clip": Link("encoder"), "text": Link("words"), "instruction": True}),
        Node("camera", "SanaWMCameraFromActions", "Camera", (580, 565), (440, 240), {"actions": "w-90,d-90,a-90,s-90", "dialect": "nvlabs-v2", "fov": 0.0, "image": Link("picture"), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}),
        Node("picture", "LoadImage", "Start picture", (580, 860), (440, 465), {"image": "example.png"}),
        Node("generate", "SanaWMGenerate", "Generate", (1080, 190), (480, 1135), {"model": Link("world"), "vae": Link("vae"), "positive": Link("prompt"), "camera": Link("camera"), "seed": 42, "length": 361, "width": 1280, "height": 704, "save_prefix": "video/SanaWM_draft", "resume": "auto", "image": Link("picture"), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True, "start_sigma": 0.909375, "overlap": "off"}),
        Node("refiner", "SanaWMRefinerLoader", "Refiner", (1620, 190), (480, 380), {"file": REFINER, "text_encoder": GEMMA3["name"], "connectors": "auto", "weight_dtype": "auto", "rope": "auto", "resident_blocks": -1, "encoder_device": "default", "use_anyway": False}, (GEMMA3,)),
        Node("refiner_prompt", "CLIPTextEncode", "Prompt for the refiner", (1620, 625), (480, 100), {"clip": Link("refiner", 1), "text": Link("words")}),
        Node("refiner_note", NOTE, "The refiner's files", (1620, 780), (480, 545), {"text": REFINER_TEXT}),
        Node("refine", "SanaWMRefine", "Refine", (2160, 190), (480, 1135), {"refiner": Link("refiner"), "positive": Link("refiner_prompt"), "draft": Link("generate", 2), "fps": 16.0, "mode": "block by block", "start_sigma": 0.909375, "seed": 42, "save_prefix": "video/SanaWM_refined", "resume": "auto", "vae": Link("vae"), "first_frame": 0, "last_frame": -1, "block": 3, "sink": 1, "window": 11}),
        Node("compare", "SanaWMCompare", "Compare", (2700, 190), (900, 810), {"first": Link("generate", 0), "second": Link("refine", 1), "view": "wipe", "save_prefix": "video/SanaWM_compared", "camera": Link("camera"), "fps": 16.0}),
        Node("report", "PreviewAny", "Report", (3660, 835), (900, 490), {"source": Link("compare", 2)}),
        Node("curves", "PreviewImage", "Curves", (3660, 190), (900, 590), {"images": Link("compare", 1)}),
        Node("judge_note", NOTE, "What the curves say", (2700, 1055), (900, 270), {"text": JUDGE_TEXT}),
        Node("note", NOTE, "Read me", (80, 130), (440, 600), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 740, 480, 605)),
        Group("What is seen and where the camera goes", (560, 100, 480, 1245), "#3f9e5a"),
        Group("Stage 1", (1060, 100, 520, 1245), "#8a5aa0"),
        Group("Second stage", (1600, 100, 1060, 1245), "#3f789e"),
        Group("Which is better?", (2680, 100, 1900, 1245), "#b08a3e"),
    ]
    return nodes, groups
