"""The first workflow: one clip along an action string, core nodes wherever core has them."""

from __future__ import annotations

from ..workflows import NOTE, Group, Link, Node
from .released import PROMPT, TEXT, VAE, WORLD

NOTE_TEXT = f"""### SANA-WM: a picture, a prompt, a camera path

1. **Models** (about 17 GB, into these folders)
   * models/diffusion_models: **{WORLD["name"]}** (10 GB)
   * models/vae: **{VAE["name"]}** (2.3 GB; save the download under this name)
   * models/text_encoders: **{TEXT["name"]}** (5 GB)
2. **Picture**: choose the first frame. It is resized to cover the video and cut at the centre.
3. **Camera**: write what is pressed for how many frames. Look at the preview before you queue:
   it costs nothing, the video costs minutes.
4. Describe the **scene**, not the camera: the model was trained on captions without camera words.

60 steps are the released recipe. Below 40 the camera is followed less closely."""


def start() -> tuple[list[Node], list[Group]]:
    """The first workflow: one clip along an action string, core nodes wherever core has them."""
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 670), (400, 195), {"file": WORLD["name"], "weight_dtype": "auto", "variant": "auto", "reference": "auto"}, (WORLD,)),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 925), (400, 60), {"file": VAE["name"]}, (VAE,)),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1075), (400, 90), {"file": TEXT["name"], "device": "default"}, (TEXT,)),
        Node("picture", "LoadImage", "Start picture", (540, 945), (360, 470), {"image": "example.png"}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 190), (440, 170), {"clip": Link("encoder"), "text": PROMPT, "instruction": True}),
        Node("negative", "SanaWMTextEncode", "Negative prompt", (540, 420), (440, 112), {"clip": Link("encoder"), "text": "", "instruction": True}),
        Node("camera", "SanaWMCameraFromActions", "Camera", (540, 612), (440, 240), {"actions": "w-80,dw-40,w-40", "dialect": "nvlabs-v2", "fov": 0.0, "image": Link("picture"), "fps": 16.0, "translation_speed": 0.0, "rotation_speed": 0.0}),
        Node("preview", "SanaWMCameraPreview", "Look before you wait", (940, 945), (820, 470), {"camera": Link("camera"), "image": Link("picture")}),
        Node("start", "SanaWMImageToVideo", "Image to video", (1040, 190), (340, 260), {"positive": Link("prompt"), "negative": Link("negative"), "vae": Link("vae"), "image": Link("picture"), "camera": Link("camera"), "width": 1280, "height": 704, "length": 161}),
        Node("noise", "RandomNoise", "Noise", (1040, 505), (340, 85), {"noise_seed": 42}),
        Node("guider", "CFGGuider", "Guidance", (1420, 190), (320, 100), {"model": Link("world"), "positive": Link("start", 0), "negative": Link("start", 1), "cfg": 5.0}),
        Node("euler", "KSamplerSelect", "Sampler kind", (1040, 640), (340, 60), {"sampler_name": "euler"}),
        Node("schedule", "SanaWMScheduler", "Steps", (1040, 760), (340, 82), {"steps": 60, "shift": 0.0, "model": Link("world")}),
        Node("sampler", "SamplerCustomAdvanced", "Sampler", (1420, 350), (320, 110), {"noise": Link("noise"), "guider": Link("guider"), "sampler": Link("euler"), "sigmas": Link("schedule"), "latent_image": Link("start", 2)}),
        Node("decode", "VAEDecodeTiled", "Decode", (1420, 520), (320, 150), {"samples": Link("sampler"), "vae": Link("vae"), "tile_size": 512, "overlap": 64, "temporal_size": 96, "temporal_overlap": 32}),
        Node("video", "CreateVideo", "Video", (1420, 750), (320, 80), {"images": Link("decode"), "fps": 16.0}),
        Node("save", "SaveVideo", "Save", (1800, 190), (560, 480), {"video": Link("video"), "filename_prefix": "video/SanaWM", "format": "auto", "codec": "auto"}),
        Node("note", NOTE, "Read me", (80, 130), (400, 420), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 580, 440, 635)),
        Group("What is seen and where the camera goes", (520, 100, 480, 785), "#3f9e5a"),
        Group("How it is made", (1020, 100, 740, 785), "#8a5aa0"),
    ]
    return nodes, groups
