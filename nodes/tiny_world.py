"""The tiny world: a first frame for the models that live in it, and the truth that their clips can be compared with."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import CameraPath, field_of_view_deg, fit_crop, preset_path
from ..wm_core.errors import ConfigError
from ..wm_core.tiny_world import HELD_OUT, TIMES, light_between, make_scene, rendered, usual_intrinsics
from .bridge import collected
from .compat import check_choice
from .types import Camera

SAME = "same"
MOST_BYTES = 4e9  # of all frames as one IMAGE


class SanaWMTinyWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        size = {"min": 64, "max": 1024, "step": 16}
        return io.Schema(
            node_id="SanaWMTinyWorld",
            display_name="SANA-WM Tiny World",
            category="SANA-WM/tiny world",
            description="A procedural toy world in which the pack's small models live: a first frame, its field of view "
            "and words for it; with a camera also what that camera would really see. It shows how the system works, "
            "not SANA-WM's quality.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=HELD_OUT,
                    min=0,
                    max=2**63 - 1,
                    control_after_generate=False,
                    tooltip=f"Which scene. The small models were never trained on seeds from {HELD_OUT} on.",
                ),
                io.Int.Input("width", default=224, **size, tooltip="Pixels; the small models were trained at 224."),
                io.Int.Input("height", default=128, **size, tooltip="Pixels; the small models were trained at 128."),
                io.Combo.Input(
                    "time",
                    options=list(TIMES),
                    default="day",
                    tooltip="The light of the first frame: the whole picture's.",
                ),
                io.Combo.Input(
                    "becomes",
                    options=[SAME, *TIMES],
                    default=SAME,
                    optional=True,
                    tooltip="What the light turns to between frames 8 and 40, as in training. The prompt says it; the "
                    "first frame does not show it.",
                ),
                Camera.Input(
                    "camera",
                    optional=True,
                    tooltip="On request the exact render along it: the truth that a generated clip can be compared "
                    "with. Its view is cut to width and height as SANA-WM Image to Video does.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Float.Output(display_name="fov"),
                io.String.Output(display_name="prompt"),
                io.Image.Output(display_name="frames"),
            ],
        )

    @classmethod
    def execute(cls, seed, width, height, time, becomes=SAME, camera=None):
        check_choice("time", time, TIMES)
        check_choice("becomes", becomes, [SAME, *TIMES])
        scene, size, later = make_scene(seed), (height, width), time if becomes == SAME else becomes
        path = _first_view(size) if camera is None else camera.cropped(fit_crop(camera.size, size))
        _check_memory(path)
        light = light_between(time, later, path.frames)
        frames = collected(rendered(scene, path.c2w, path.intrinsics, size, light=light), path.frames, size)
        fov, _ = field_of_view_deg(path.intrinsics[0], size)
        return io.NodeOutput(frames[:1], fov, scene.prompt(later), frames)


def _first_view(size: tuple[int, int]) -> CameraPath:
    """The camera that most training clips start with."""
    return preset_path("hold", frames=1, size=size, intrinsics=usual_intrinsics(size))


def _check_memory(path: CameraPath) -> None:
    height, width = path.size
    each = height * width * 3 * 4  # an IMAGE is float32
    if path.frames * each > MOST_BYTES:
        raise ConfigError(
            f"camera has {path.frames} frames, which take {path.frames * each / 1e9:.1f} GB as images of {width} x "
            f"{height}, wanted at most {MOST_BYTES / 1e9:g} GB or {int(MOST_BYTES // each)} frames; shorten the "
            "camera's path, or choose a smaller width and height"
        )


NODES = [SanaWMTinyWorld]
