"""Sessions as files: keep a rollout under a name, take it up again on another day or another machine."""

from __future__ import annotations

import shutil

from comfy_api.latest import io, ui

from ..wm_core.camera import describe
from ..wm_core.errors import CheckpointError, StorageError
from ..wm_core.rollout import FILM, LAST_FRAME, finish, load_session, read_last_frame, save_session, write_sidecar
from .bridge import image_of
from .place import Place, all_places, new_place, place_below_output
from .rolling import open_rollout, session_of, video_metadata
from .types import Camera, OpenRollout, RolloutSession

CATEGORY = "SANA-WM/rollout"


class SanaWMSaveSession(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMSaveSession",
            display_name="Save SANA-WM Session",
            category=CATEGORY,
            description="Keep a rollout under a name of its own: its state, its film, and the video beside them.",
            inputs=[
                RolloutSession.Input("session", tooltip="From Generate or Extend."),
                io.String.Input(
                    "save_prefix",
                    default="sessions/SanaWM",
                    tooltip="Name below the output folder; a number is added. May name a subfolder.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Full path of the session's folder.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, session, save_prefix="sessions/SanaWM"):
        place = new_place(save_prefix, session.session.size)
        metadata = video_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        with place.nothing_half_done():
            _copy(session, place, metadata)
        return io.NodeOutput(str(place.folder), ui=ui.PreviewText(str(place.folder)))


class SanaWMLoadSession(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMLoadSession",
            display_name="Load SANA-WM Session",
            category=CATEGORY,
            description="Take up a rollout that was finished, stopped or saved, to extend or branch it.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=all_places(),
                    tooltip="A folder ..._session in the output folder, newest first. Press R to refresh the list.",
                )
            ],
            outputs=[
                RolloutSession.Output(display_name="session"),
                io.Latent.Output(display_name="latent"),
                Camera.Output(display_name="camera", tooltip="The path of the finished frames."),
                io.Image.Output(display_name="last_frame"),
                io.String.Output(display_name="summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, file=None):
        place = place_below_output(file) if file else None
        return place and (place.folder / "session.json").stat().st_mtime_ns

    @classmethod
    def execute(cls, file):
        place = place_below_output(file)
        if place is None:
            raise CheckpointError(f"there is no session {file!r} in the output folder; press R and choose another")
        session = load_session(place.folder)
        path = session.camera.slice(0, session.frames)
        summary = f"{session.chunks} chunks, {session.frames} frames, {session.size[1]} x {session.size[0]}. "
        return io.NodeOutput(
            open_rollout(session, place.folder),
            {"samples": session.latents},
            path,
            image_of(read_last_frame(place.folder)),
            summary + describe(path),
        )


def _copy(rollout: OpenRollout, place: Place, metadata: dict[str, str]) -> None:
    """The session, and the film and picture that belong to it, into a folder of their own."""
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        for name in (FILM, LAST_FRAME):
            shutil.copyfile(rollout.folder / name, place.folder / name)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing, so the session has no film; restore it") from error
    except OSError as error:
        raise StorageError(f"{place.folder} cannot be written: {error}; free space or choose another prefix") from error
    finish(place.folder / FILM, place.video, metadata)
    write_sidecar(rollout.session, place.video.with_suffix(".json"), place.video.name)
    save_session(session_of(rollout, "cpu"), place.folder)  # last: with it the copy is whole


NODES = [SanaWMSaveSession, SanaWMLoadSession]
