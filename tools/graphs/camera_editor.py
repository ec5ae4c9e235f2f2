"""The camera editor: keyframes drawn over a picture, looked at before the run, and the film with its camera drawn on it."""

from __future__ import annotations

from wm_core.camera import Key, Keyframes, write_keyframes
from wm_core.tiny_world import make_scene

from ..tiny_graph import SEED, SIZE, USUAL_FOV
from ..workflows import NOTE, Group, Link, Node
from .tiny_world import ENCODER, VAE, WORLD

FRAMES = 73
BIGGER = 3.0  # the toy's pictures, for the drawing on them to be read
VIEW = round(USUAL_FOV, 1)  # degrees that the start picture is wide
AHEAD, BALL = (0.0, 0.0, 5.3), (0.58, 0.0, 5.27)  # metres; the second is above the yellow ball of the start picture
KEYFRAMES = Keyframes(
    (
        Key(0, fov=VIEW, pivot=AHEAD),
        Key(28, (0.7, 0.0, 1.1), fov=VIEW, pivot=BALL),
        Key(44, (1.2, -0.35, 0.75), fov=VIEW, pivot=BALL),
        Key(72, (0.9, -1.0, -0.2), fov=VIEW, pivot=BALL),
    ),
    FRAMES,
    SIZE,
)

NOTE_TEXT = """### Draw the camera's path

1. **Edit camera path** on the node **Camera** opens the editor. There are four keys: ahead past the red box,
   aside with the eye on the yellow ball, then back and up. Drag them, add some, fly with the keyboard, or drop a camera
   file. Every change is kept in this workflow at once.
2. **Look before you wait** says what the path asks of the model. It and the editor cost nothing.
3. **Queue.** The film is followed by the same film with the camera's way, the keys that would fly it, and the horizon.

All models come with this pack: **a toy** that knows coloured solids and nothing else.

**The picture**: `python3 dev.py serve` has the right *example.png*. In a ComfyUI of your own that name is another
picture, of which the toy makes soft shapes: drop *assets/start_picture.png* of this pack onto **Start picture**.

For SANA-WM itself: copy **Camera** into the template **start** or **stream_minute**, in place of theirs."""


def camera_editor() -> tuple[list[Node], list[Group]]:
    height, width = SIZE
    nodes = [
        Node("world", "SanaWMModelLoader", "World model", (80, 790), (400, 195), {"file": WORLD, "weight_dtype": "auto", "variant": "auto", "reference": "auto"}),
        Node("vae", "SanaWMVAELoader", "Video VAE", (80, 1045), (400, 95), {"file": VAE}),
        Node("encoder", "SanaWMTextEncoderLoader", "Text encoder", (80, 1210), (400, 95), {"file": ENCODER, "device": "default"}),
        Node("picture", "LoadImage", "Start picture", (540, 190), (440, 340), {"image": "example.png"}),
        Node("camera", "SanaWMCameraEditor", "Camera", (540, 590), (440, 540), {"state": write_keyframes(KEYFRAMES), "length": FRAMES, "image": Link("picture"), "fps": KEYFRAMES.fps}),
        Node("prompt", "SanaWMTextEncode", "Prompt", (540, 1190), (440, 115), {"clip": Link("encoder"), "text": make_scene(SEED).prompt("day"), "instruction": True}),
        Node("preflight", "SanaWMCameraPreflight", "Look before you wait", (1040, 190), (760, 1115), {"camera": Link("camera"), "image": Link("picture")}),
        Node("generate", "SanaWMGenerate", "Generate", (1860, 190), (520, 1115), {"model": Link("world"), "vae": Link("vae"), "positive": Link("prompt"), "camera": Link("preflight"), "seed": 42, "length": FRAMES, "width": width, "height": height, "save_prefix": "video/SanaWM_camera_editor", "resume": "auto", "image": Link("picture"), "cfg": 1.0, "timesteps": "1000, 960, 889, 727, 0", "chunk": 3, "window": 2, "sink": True}),
        Node("frames", "GetVideoComponents", "Frames of the film", (2440, 190), (320, 70), {"video": Link("generate")}),
        Node("bigger", "ImageScaleBy", "Bigger", (2440, 320), (320, 85), {"image": Link("frames"), "upscale_method": "bicubic", "scale_by": BIGGER}),
        Node("overlay", "SanaWMCameraOverlay", "Draw the camera on it", (2820, 190), (320, 130), {"images": Link("bigger"), "camera": Link("generate", 5), "way": True, "keys": True, "horizon": True}),
        Node("video", "CreateVideo", "Video", (2820, 380), (320, 80), {"images": Link("overlay"), "fps": Link("frames", 2)}),
        Node("save", "SaveVideo", "What the camera did", (2440, 530), (700, 775), {"video": Link("video"), "filename_prefix": "video/SanaWM_camera_editor_drawn", "format": "auto", "codec": "auto"}),
        Node("note", NOTE, "Read me", (80, 130), (400, 580), {"text": NOTE_TEXT}),
    ]  # fmt: skip
    groups = [
        Group("What is loaded", (60, 720, 440, 605)),
        Group("What is seen and where the camera goes", (520, 100, 480, 1225), "#3f9e5a"),
        Group("What that asks of the model", (1020, 100, 800, 1225), "#b08a3e"),
        Group("How it is made", (1840, 100, 560, 1225), "#8a5aa0"),
        Group("What came of it, with the camera drawn on it", (2420, 100, 740, 1225), "#a06a3f"),
    ]
    return nodes, groups
