"""A camera from a file: a walk as a tracking program writes it, its shake smoothed away, and the truth beside the film."""

from __future__ import annotations

from wm_core.tiny_world import HELD_OUT

from ..workflows import NOTE, Group, Link, Node
from .tiny_world import ENCODER, SIZE, VAE, WORLD

SEED = HELD_OUT + 40
FRAMES = 97
FILE = "sana_wm_handheld_walk.txt"  # in assets/cameras, by tools/make_shipped_camera.py

NOTE_TEXT = f"""### A camera from another program

1. **Camera file** loads *{FILE}*, which comes with this pack: a walk with a shaky hand, made up, 193 cameras at 30 a
   second in TUM's format, as tracking programs write it. TUM has no lens, so **fov** comes from the scene; **fps** 16
   makes each camera a frame.
2. **Edit** makes 97 frames of them, the same six seconds at the model's 16 a second, and smooths the shake away. **As it
   came** and **Look before you wait** show the path before and after.
3. **Queue.** Left the film, right what the camera would really have seen, by exact rendering.

**A file of your own** goes into ComfyUI's *input* folder; press R and choose it. COLMAP, nerfstudio, KITTI,
RealEstate10K, .npy, .npz, glTF of Blender and OmniCam are told apart by themselves. If it moves the wrong way or far too
fast, the help page of **Camera file** says what to choose.

The models are **a toy** that comes with this pack; for SANA-WM copy **Camera file** and **Edit** into the template
**start** or **stream_minute**."""


def camera_from_file() -> tuple[list[Node], list[Group]]:
    height, width = SIZE
    scene = {"seed": SEED, "width": width, "height": height, "time": "day", "becomes": "same"}
    untouched = {"first_frame": 0, "last_frame": -1, "backwards": False, "timing": "keep", "speed": 0.0, "scale": 1.0, "mirror": False, "on_ground": False, "look_at": "", "hold_start": 0, "hold_end": 0, "close": 0, "shake": 0.0, "shake_seed": 0, "shake_rate": 1.2}  # fmt: skip
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 980), (400, 195), {"file": WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 1235), (400, 95), {"file": VAE}),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1400), (400, 95), {"file": ENCODER, "device": "default"}),
        Node("scene", "SanaWMTinyWorld", "Scene", (540, 190), (440, 220), scene),
        Node("file", "SanaWMCameraLoad", "Camera file", (540, 480), (440, 460), {"file": FILE, "convention": "auto", "matrices": "auto", "metres": 1.0, "fov": Link("scene", 1), "image": Link("scene"), "format": "auto", "intrinsics": "", "fps": 16.0, "transposed": False}),
        Node("came", "SanaWMCameraPreview", "As it came", (540, 1010), (440, 310), {"camera": Link("file"), "image": Link("scene")}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 1390), (440, 120), {"clip": Link("encoder"), "text": Link("scene", 2), "instruction": True}),
        Node("edit", "SanaWMCameraEdit", "Edit", (1040, 190), (560, 600), {"camera": Link("file"), "frames": FRAMES, "smooth": 0.8, **untouched}),
        Node("preflight", "SanaWMCameraPreflight", "Look before you wait", (1040, 860), (560, 650), {"camera": Link("edit"), "image": Link("scene")}),
        Node("generate", "SanaWMGenerate", "Generate", (1660, 190), (520, 1320), {"model": Link("world"), "vae": Link("vae"), "positive": Link("prompt"), "camera": Link("preflight"), "seed": 42, "length": FRAMES, "width": width, "height": height, "save_prefix": "video/SanaWM_camera_from_file", "resume": "auto", "image": Link("scene"), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True}),
        Node("truth", "SanaWMTinyWorld", "Truth along the camera", (2240, 190), (440, 250), scene | {"camera": Link("generate", 5)}),
        Node("truth_video", "CreateVideo", "Truth as video", (2740, 190), (320, 80), {"images": Link("truth", 3), "fps": 16.0}),
        Node("compare", "SanaWMCompare", "Film and truth", (2240, 510), (820, 1000), {"first": Link("generate"), "second": Link("truth_video"), "view": "side by side", "save_prefix": "", "camera": Link("generate", 5), "fps": 16.0, "first_name": "film", "second_name": "truth"}),
        Node("note", NOTE, "Read me", (80, 130), (400, 700), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 910, 440, 620)),
        Group("The scene, and the camera of the file", (520, 100, 480, 1430), "#3f9e5a"),
        Group("The camera as it will be", (1020, 100, 600, 1430), "#b08a3e"),
        Group("How it is made", (1640, 100, 560, 1430), "#8a5aa0"),
        Group("What came of it, beside the truth", (2220, 100, 860, 1430), "#a06a3f"),
    ]
    return nodes, groups
