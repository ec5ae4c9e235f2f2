"""A minute in one go: the streaming model, saved as it grows."""

from __future__ import annotations

from ..workflows import NOTE, Group, Link, Node
from .released import CAUSAL_VAE, PROMPT, STREAMING_WORLD, TEXT

NOTE_TEXT = f"""### A minute, made chunk by chunk

1. **Models** (about 12.5 GB)
   * models/diffusion_models: **{STREAMING_WORLD}**. It is released as a training pickle that no node opens:
     download *sana_dit/model.pt* of SANA-WM_streaming and, in this pack's folder, run
     `python3 -m tools.convert model.pt --precision bf16`
   * models/vae: **{CAUSAL_VAE["name"]}** (*ltx2_causal_vae* of the same repository, saved under this name)
   * models/text_encoders: **{TEXT["name"]}** (5 GB)
2. **Queue.** The preview shows the last frame of each finished chunk (24 frames). The film grows in
   output/video/..._session/film.mp4 and plays at any moment.
3. **Stop whenever you like.** What is finished stays. Queue again: it goes on where it stopped, and the result is
   the same, bit for bit.
4. **Change the end of the camera path** and queue again: only the chunks from there on are made anew."""


def stream_minute() -> tuple[list[Node], list[Group]]:
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 690), (400, 195), {"file": STREAMING_WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 945), (400, 60), {"file": CAUSAL_VAE["name"]}, (CAUSAL_VAE,)),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1065), (400, 90), {"file": TEXT["name"], "device": "default"}, (TEXT,)),
        Node("picture", "LoadImage", "Start picture", (540, 690), (440, 465), {"image": "example.png"}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 190), (440, 150), {"clip": Link("encoder"), "text": PROMPT, "instruction": True}),
        Node("camera", "SanaWMCameraFromActions", "Camera", (540, 395), (440, 240), {"actions": "w-240,dw-120,w-240,aw-120,w-240", "dialect": "nvlabs-v2", "fov": 0.0, "image": Link("picture"), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}),
        Node("preview", "SanaWMCameraPreview", "Look before you wait", (1800, 690), (760, 465), {"camera": Link("camera"), "image": Link("picture")}),
        Node("generate", "SanaWMGenerate", "Generate", (1040, 190), (700, 965), {"model": Link("world"), "vae": Link("vae"), "positive": Link("prompt"), "camera": Link("camera"), "seed": 42, "length": 961, "width": 1280, "height": 704, "save_prefix": "video/SanaWM_minute", "resume": "auto", "image": Link("picture"), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True}),
        Node("last", "PreviewImage", "Where it ended", (1800, 190), (760, 430), {"images": Link("generate", 3)}),
        Node("note", NOTE, "Read me", (80, 130), (400, 480), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 620, 440, 555)),
        Group("What is seen and where the camera goes", (520, 100, 480, 1075), "#3f9e5a"),
        Group("How it is made", (1020, 100, 740, 1075), "#8a5aa0"),
        Group("Before and after", (1780, 100, 800, 1075), "#a06a3f"),
    ]
    return nodes, groups
