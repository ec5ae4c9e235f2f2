"""Two clips joined in time: the second starts at the end of the first, and the seam is drawn."""

from __future__ import annotations

from ..workflows import NOTE, Group, Link, Node
from .released import PROMPT, TEXT, VAE, WORLD

NOTE_TEXT = f"""### A longer shot from two clips

1. **Models** (about 17 GB, into these folders)
   * models/diffusion_models: **{WORLD["name"]}** (10 GB)
   * models/vae: **{VAE["name"]}** (2.3 GB; save the download under this name)
   * models/text_encoders: **{TEXT["name"]}** (5 GB)
2. **Continue video** keeps the first clip's last 2 latent frames (*anchor*): the second clip starts with them, and
   its camera goes on where the first one stood. It tells **Stitch** how many frames both clips share.
3. **Stitch** matches the colours, blends those frames and writes the video piece by piece. Look at **The seam**:
   frames around it, and curves that should run through it without a step.
4. **Other uses**: another prompt for the second clip, a new seed for it alone (the first stays as it is), or
   *rule* cut for a hard cut. For a third clip, copy the second's nodes and a Stitch."""


def stitch_two_clips() -> tuple[list[Node], list[Group]]:
    """Two clips joined in time: the second starts at the end of the first, and the seam is drawn."""
    view = {"dialect": "nvlabs-v2", "fov": 0.0, "image": Link("picture"), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}  # fmt: skip
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 690), (400, 195), {"file": WORLD["name"], "weight_dtype": "auto", "variant": "auto", "reference": "auto"}, (WORLD,)),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 945), (400, 60), {"file": VAE["name"]}, (VAE,)),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1065), (400, 90), {"file": TEXT["name"], "device": "default"}, (TEXT,)),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 190), (440, 150), {"clip": Link("encoder"), "text": PROMPT, "instruction": True}),
        Node("negative", "SanaWMTextEncode", "Negative prompt", (540, 395), (440, 112), {"clip": Link("encoder"), "text": "", "instruction": True}),
        Node("picture", "LoadImage", "Start picture", (540, 562), (440, 340), {"image": "example.png"}),
        Node("camera", "SanaWMCameraFromActions", "Camera", (540, 957), (440, 240), {"actions": "w-80,dw-40,w-40", **view}),
        Node("camera2", "SanaWMCameraFromActions", "Second camera", (540, 1252), (440, 240), {"actions": "w-60,aw-40,w-44", **view}),
        Node("start", "SanaWMImageToVideo", "Image to video", (1040, 190), (340, 260), {"positive": Link("prompt"), "negative": Link("negative"), "vae": Link("vae"), "image": Link("picture"), "camera": Link("camera"), "width": 1280, "height": 704, "length": 161}),
        Node("noise", "RandomNoise", "Noise", (1040, 505), (340, 85), {"noise_seed": 42}),
        Node("guider", "CFGGuider", "Guidance", (1040, 645), (340, 100), {"model": Link("world"), "positive": Link("start", 0), "negative": Link("start", 1), "cfg": 5.0}),
        Node("euler", "KSamplerSelect", "Sampler kind", (1040, 800), (340, 60), {"sampler_name": "euler"}),
        Node("schedule", "SanaWMScheduler", "Steps", (1040, 915), (340, 82), {"steps": 60, "shift": 0.0, "model": Link("world")}),
        Node("sampler", "SamplerCustomAdvanced", "Sampler", (1040, 1052), (340, 110), {"noise": Link("noise"), "guider": Link("guider"), "sampler": Link("euler"), "sigmas": Link("schedule"), "latent_image": Link("start", 2)}),
        Node("continue", "SanaWMContinueVideo", "Continue video", (1440, 190), (340, 260), {"positive": Link("prompt"), "negative": Link("negative"), "vae": Link("vae"), "previous": Link("sampler"), "previous_camera": Link("camera"), "camera": Link("camera2"), "length": 161, "anchor": 2}),
        Node("noise2", "RandomNoise", "Second noise", (1440, 505), (340, 85), {"noise_seed": 43}),
        Node("guider2", "CFGGuider", "Second guidance", (1440, 645), (340, 100), {"model": Link("world"), "positive": Link("continue", 0), "negative": Link("continue", 1), "cfg": 5.0}),
        Node("sampler2", "SamplerCustomAdvanced", "Second sampler", (1440, 1052), (340, 110), {"noise": Link("noise2"), "guider": Link("guider2"), "sampler": Link("euler"), "sigmas": Link("schedule"), "latent_image": Link("continue", 2)}),
        Node("stitch", "SanaWMStitch", "Stitch", (1840, 190), (400, 290), {"first": Link("sampler"), "second": Link("sampler2"), "overlap": Link("continue", 4), "rule": "blend", "match_colour": True, "vae": Link("vae"), "camera_first": Link("camera"), "camera_second": Link("continue", 3), "return_over": -1, "fps": 16.0}),
        Node("report", "PreviewAny", "Report", (1840, 535), (400, 160), {"source": Link("stitch", 3)}),
        Node("save", "SaveVideo", "Save", (2300, 190), (920, 505), {"video": Link("stitch", 0), "filename_prefix": "video/SanaWM_stitched", "format": "auto", "codec": "auto"}),
        Node("seam", "PreviewImage", "The seam", (1840, 755), (680, 407), {"images": Link("stitch", 2)}),
        Node("preview", "SanaWMCameraPreview", "The whole path", (2560, 755), (660, 407), {"camera": Link("stitch", 1)}),
        Node("note", NOTE, "Read me", (80, 130), (400, 480), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 620, 440, 555)),
        Group("What is seen and where the camera goes", (520, 100, 480, 1412), "#3f9e5a"),
        Group("First clip", (1020, 100, 380, 1082), "#8a5aa0"),
        Group("Second clip, from the end of the first", (1420, 100, 380, 1082), "#8a5aa0"),
        Group("Both in one, and how well they hold together", (1820, 100, 1420, 1082), "#b08a3e"),
    ]
    return nodes, groups
