"""Two clips as one: read, joined and written piece by piece, with the seam drawn and measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import comfy.model_management as management
import comfy.utils
from comfy_api.latest import InputImpl, io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..wm_core.camera import CameraPath, fit_crop
from ..wm_core.errors import ConfigError
from ..wm_core.rollout import (
    ColourMatch,
    Join,
    Meeting,
    SeamMeter,
    SeamReport,
    compare_paths,
    draw_seam,
    in_pieces,
    join_paths,
    join_pieces,
)
from ..wm_core.rollout.seam import VISIBLE_JUMP
from ..wm_core.rollout.stitch import RULES
from .bridge import image_of, say
from .clips import PIECE, Clip, clip_of, fps_input
from .compat import advanced, check_choice
from .types import Camera
from .video import video_file

NO_CAMERA = (
    "SANA-WM Stitch Clips was given no two cameras, so it has none to hand on; connect camera_first and camera_second"
)


class SanaWMStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        clips = [io.Video, io.Latent]
        return io.Schema(
            node_id="SanaWMStitch",
            display_name="SANA-WM Stitch Clips",
            category="SANA-WM/video",
            description="Join two clips in time: colours matched and the overlap blended in linear light, cameras joined, "
            "and the seam drawn, so that you see whether it worked.",
            inputs=[
                io.MultiType.Input(
                    "first", clips, tooltip="The earlier clip: a video, or a latent (then connect vae)."
                ),
                io.MultiType.Input("second", clips, tooltip="The clip that follows, of the same picture size and fps."),
                io.Int.Input(
                    "overlap",
                    default=1,
                    min=0,
                    max=100000,
                    tooltip="Frames that both clips show: the first clip's last and the second's first. 1 if the second "
                    "starts at the first's last picture; SANA-WM Continue Video says its own. 0: none, a hard cut.",
                ),
                io.Combo.Input(
                    "rule",
                    options=list(RULES),
                    default=RULES[0],
                    tooltip="blend mixes the overlap's frames from the first clip to the second; cut shows the first "
                    "clip's and then changes at once.",
                ),
                io.Boolean.Input(
                    "match_colour",
                    default=True,
                    tooltip="Bring the second clip's exposure and colour to the first's, as measured over the overlap.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The LTX-2 video VAE; needed for latents."),
                Camera.Input("camera_first", optional=True, tooltip="The first clip's camera."),
                Camera.Input("camera_second", optional=True, tooltip="The second clip's camera."),
                *_advanced_inputs(),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                Camera.Output(display_name="camera"),
                io.Image.Output(display_name="seam"),
                io.String.Output(display_name="report"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        first,
        second,
        overlap,
        rule,
        match_colour,
        vae=None,
        camera_first=None,
        camera_second=None,
        return_over=-1,
        fps=16.0,
    ):
        check_choice("rule", rule, RULES)
        given = (("first", first, camera_first), ("second", second, camera_second))
        clips = [clip_of(name, value, vae, camera, fps) for name, value, camera in given]
        _compare(*clips)
        join = Join(
            clips[0].frames, clips[1].frames, overlap, rule, match_colour, None if return_over < 0 else return_over
        )
        lines = ["sound is not kept: only pictures are joined"] if any(clip.has_audio for clip in clips) else []
        camera: CameraPath | ExecutionBlocker = ExecutionBlocker(NO_CAMERA)
        if camera_first is not None and camera_second is not None:
            paths = [_fitted(path, clip) for path, clip in zip((camera_first, camera_second), clips)]
            camera = join_paths(*paths, overlap)
            lines += _camera_lines(compare_paths(*paths, overlap), overlap)
            lines += _length_lines(zip(("first", "second"), (camera_first, camera_second), clips))
        with video_file(clips[0].fps) as (video, append):
            meter, match = _write(clips, join, append)
        report = meter.report()
        lines = [_seam_line(join, match), _jump_line(report), *_match_lines(match), *lines]
        say("; ".join(lines[:2]), cls.hidden.unique_id)
        picture = image_of(draw_seam(report, meter.strip))
        return io.NodeOutput(InputImpl.VideoFromFile(str(video)), camera, picture, "\n".join(lines))


def _advanced_inputs() -> list[io.Input]:
    return_over = io.Int.Input(
        "return_over",
        default=-1,
        min=-1,
        max=100000,
        tooltip="Frames behind the overlap in which the second clip goes back to its own colours. -1: it keeps the "
        "first one's to its end.",
    )
    return [advanced(return_over), advanced(fps_input())]


def _write(clips: list[Clip], join: Join, append) -> tuple[SeamMeter, ColourMatch | None]:
    """Append the joined frames a piece at a time; the user's cancel is heard between pieces."""
    meter, bar = SeamMeter(join.seam, join.frames), comfy.utils.ProgressBar(join.frames)
    match = None

    def frames() -> Iterator[Tensor]:
        nonlocal match
        for part in join_pieces(clips[0].pieces(), clips[1].pieces(), join):
            management.throw_exception_if_processing_interrupted()
            match = part.match
            yield part.frames

    for piece in in_pieces(frames(), PIECE):
        meter.add(piece)
        append(piece.numpy())
        bar.update_absolute(meter.seen)
    return meter, match


def _compare(first: Clip, second: Clip) -> None:
    if first.size != second.size:
        (h, w), (other_h, other_w) = first.size, second.size
        raise ConfigError(
            f"both clips must have one picture size, got {w} x {h} and {other_w} x {other_h}; resize or crop one of them"
        )
    if abs(first.fps - second.fps) > 1e-3 * first.fps:
        raise ConfigError(
            f"both clips must have one frame rate, got {first.fps:g} and {second.fps:g} frames a second; change one of "
            "them, or set fps for latents without a camera"
        )


def _fitted(path: CameraPath, clip: Clip) -> CameraPath:
    """The camera of each frame of a clip, in its pixels: cut and held as Image to Video does it."""
    path = path.with_length(clip.frames).cropped(fit_crop(path.size, clip.size))
    return replace(path, fps=clip.fps)


def _seam_line(join: Join, match: ColourMatch | None) -> str:
    start, stop = join.seam.start, join.seam.stop
    where = f" (frames {start} to {stop - 1})" if stop > start else ""
    return f"{join.label(match)}{where}; {join.before} and {join.after} frames became {join.frames}"


def _jump_line(report: SeamReport) -> str:
    verdict = "can be seen" if report.jump > VISIBLE_JUMP else "is hard to see"
    line = f"greatest change at the seam: {report.jump:.1f} x the usual, which {verdict}"
    if report.seam.start == report.seam.stop:
        return line
    return f"{line}; sharpness while blending: {report.sharpness_kept:.2f} of that beside it"


def _match_lines(match: ColourMatch | None) -> list[str]:
    if match is None:
        return []
    gain = " ".join(f"{value:.3f}" for value in match.gain)
    offset = " ".join(f"{value:+.4f}" for value in match.offset)
    return [f"colour match (linear red green blue): gain {gain}, offset {offset}"]


def _camera_lines(meeting: Meeting, overlap: int) -> list[str]:
    moves, offset, jump = (f"{metres:.3f} m and {degrees:.2f} degrees" for metres, degrees in _fields(meeting))
    lines = [f"camera at the seam: a jump of {jump}; over the overlap the paths differ by up to {moves}"]
    if meeting.is_visible:
        lines.append("WARNING: that can be seen; give the cameras that the clips were made with, and their overlap")
    if not meeting.in_one_world:
        lines.append(
            f"the second camera was moved by {offset} onto the first one's end; if both were in one world, the pictures "
            "jump by as much"
        )
    return lines


def _fields(meeting: Meeting) -> tuple[tuple[float, float], ...]:
    return meeting.moves, meeting.offset, meeting.jump


def _length_lines(given) -> list[str]:
    return [
        f"the {name} camera has {path.frames} frames, its clip {clip.frames}: it was "
        + ("cut" if path.frames > clip.frames else "held at its last")
        for name, path, clip in given
        if path.frames != clip.frames
    ]


NODES = [SanaWMStitch]
