"""Stage 1 and refined beside each other: read, drawn, measured and written piece by piece."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import comfy.model_management as management
import comfy.utils
from comfy_api.latest import InputImpl, io, ui

from ..wm_core.camera import CameraPath, Revisit, find_revisits
from ..wm_core.errors import ConfigError
from ..wm_core.metrics import PairCurves, PairMeter, RevisitLikeness, RevisitMeter
from ..wm_core.rollout import PairView, draw_pair, finish, frame_pairs, report_pair
from ..wm_core.rollout.pair_views import PAIR_NAMES, VIEWS, Names
from .bridge import image_of, say
from .clips import PIECE, Clip, clip_of, fps_input
from .compat import advanced, check_choice
from .place import new_place
from .types import Camera
from .video import video_file


class SanaWMCompare(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        clips = [io.Video, io.Latent]
        return io.Schema(
            node_id="SanaWMCompare",
            display_name="SANA-WM Compare Refined",
            category="SANA-WM/refiner",
            description="Stage 1 and refined in one video, and what the refiner changed in numbers: sharpness, change from "
            "frame to frame, colour drift, and whether a place looks the same when the camera comes back.",
            inputs=[
                io.MultiType.Input("first", clips, tooltip="Stage 1: a video, or a latent (then connect vae)."),
                io.MultiType.Input(
                    "second",
                    clips,
                    tooltip="The refined clip, of the same picture size, frame count and fps: frame n is compared with "
                    "frame n.",
                ),
                io.Combo.Input(
                    "view",
                    options=list(VIEWS),
                    default="side by side",
                    tooltip="side by side: stage 1 left, refined right. wipe: stage 1 left of a line, refined right of it; "
                    "the line goes from the left edge to the right and back every 4 seconds. difference: grey where both "
                    "are the same, 4 times their difference elsewhere, lighter where refined is lighter.",
                ),
                io.String.Input(
                    "save_prefix",
                    default="",
                    tooltip="Name below the output folder; a number is added. May name a subfolder. Empty: the video lies "
                    "in the temp folder until Save Video copies it.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The LTX-2 video VAE; needed for latents."),
                Camera.Input(
                    "camera",
                    optional=True,
                    tooltip="The camera of both clips. It says when a place is seen again: within 0.5 m and 20 degrees, 5 "
                    "seconds or more later.",
                ),
                advanced(fps_input()),
                advanced(_name_input("first_name", PAIR_NAMES[0])),
                advanced(_name_input("second_name", PAIR_NAMES[1])),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                io.Image.Output(display_name="curves"),
                io.String.Output(display_name="report"),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, first, second, view, vae=None, camera=None, save_prefix="", fps=16.0,
        first_name=PAIR_NAMES[0], second_name=PAIR_NAMES[1],
    ):  # fmt: skip
        check_choice("view", view, VIEWS)
        names = first_name.strip() or PAIR_NAMES[0], second_name.strip() or PAIR_NAMES[1]
        clips = [clip_of(name, value, vae, camera, fps) for name, value in (("first", first), ("second", second))]
        _compare(*clips)
        clip, prefix = clips[0], save_prefix.strip()
        if prefix:
            new_place(prefix, clip.size)  # a prefix that cannot be is refused before the work, not after it
        pairs = None if camera is None else find_revisits(replace(camera.with_length(clip.frames), fps=clip.fps))
        with video_file(clip.fps) as (video, append):
            curves, revisits = _write(clips, PairView(view, clip.fps, names), pairs, append)
            picture = image_of(draw_pair(curves, clip.fps, revisits, names))
            lines = [
                _clip_line(clip, names),
                *report_pair(curves, clip.fps, revisits, names),
                *_other_lines(clips, camera),
            ]
        video, shown = _placed(video, prefix, clip.size)
        say("; ".join(line.partition(". ")[0].rstrip(".") for line in lines[:2]), cls.hidden.unique_id)
        report = "\n\n".join(lines)  # the frontend shows text as markdown, in which one line break is a space
        return io.NodeOutput(InputImpl.VideoFromFile(str(video)), picture, report, ui=ui.PreviewVideo([shown]))


def _write(
    clips: list[Clip], view: PairView, pairs: list[Revisit] | None, append
) -> tuple[PairCurves, RevisitLikeness | None]:
    """Append the drawn pairs a piece at a time and measure them; the user's cancel is heard between pieces."""
    meter, bar, done = PairMeter(), comfy.utils.ProgressBar(clips[0].frames), 0
    returns = [RevisitMeter(pairs or ()) for _ in clips]
    for both in frame_pairs(clips[0].pieces(), clips[1].pieces(), PIECE):
        management.throw_exception_if_processing_interrupted()
        meter.add(*both)
        for each, frames in zip(returns, both):
            each.add(frames)
        append(view.draw_piece(*(frames.numpy() for frames in both), done))
        done += len(both[0])
        bar.update_absolute(done)
    if pairs is None:
        return meter.curves(), None
    return meter.curves(), RevisitLikeness(pairs, *(each.likeness() for each in returns))


def _compare(first: Clip, second: Clip) -> None:
    if first.size != second.size:
        (h, w), (other_h, other_w) = first.size, second.size
        raise ConfigError(
            f"both clips must have one picture size, got {w} x {h} and {other_w} x {other_h}; resize or crop one of them"
        )
    if first.frames != second.frames:
        raise ConfigError(
            f"both clips must have one frame count, got {first.frames} and {second.frames}; frame n is compared with frame "
            "n, so give the whole of both, or cut the same frames off both"
        )
    if abs(first.fps - second.fps) > 1e-3 * first.fps:
        raise ConfigError(
            f"both clips must have one frame rate, got {first.fps:g} and {second.fps:g} frames a second; change one of "
            "them, or set fps for latents without a camera"
        )


def _placed(video: Path, prefix: str, size: tuple[int, int]) -> tuple[Path, ui.SavedResult]:
    """The video where the user wants it, and for the node's preview; the temp folder's is gone once it is copied."""
    if not prefix:
        return video, ui.SavedResult(video.name, "", io.FolderType.temp)
    place = new_place(prefix, size)
    finish(video, place.video)
    video.unlink()
    return place.video, place.shown


def _name_input(name: str, default: str) -> io.Input:
    return io.String.Input(
        name,
        default=default,
        optional=True,
        tooltip="What this clip is called in the picture, the curves and the report.",
    )


def _clip_line(clip: Clip, names: Names) -> str:
    h, w = clip.size
    seconds = clip.frames / clip.fps
    return f"{clip.frames} frames of {w} x {h}, {seconds:.1f} s at {clip.fps:g} fps; {names[0]} is first, {names[1]} second."


def _other_lines(clips: list[Clip], camera: CameraPath | None) -> list[str]:
    lines = []
    if camera is not None and camera.frames != clips[0].frames:
        done = "cut" if camera.frames > clips[0].frames else "held at its last"
        lines.append(f"the camera has {camera.frames} frames, the clips {clips[0].frames}: it was {done}.")
    if any(clip.has_audio for clip in clips):
        lines.append("sound is not kept: only pictures are compared.")
    return lines


NODES = [SanaWMCompare]
