"""The files of a rollout while it goes on, in one folder: the session, the film that grows, its last frame, a sidecar.

    session.json, *.safetensors         what the next chunk depends on (session_file.py)
    film.mp4                            all finished frames; grows, never changes (video_writer.py)
    last_frame.png                      the last of them, lossless
    film.json                           what the film was made with, frame by frame; written when the rollout stops

Written in the order film, picture, session, so that after a kill the film has at least the session's frames; what it has
more is cut off when the rollout goes on. A chunk writes as much at the end of an hour as at its beginning.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..camera import CameraPath
from ..errors import CheckpointError, ConfigError, StorageError
from .refined_file import RefinedKey
from .run import RolloutEvent
from .session import Session
from .session_file import save_session
from .stages import Stages
from .video_writer import VideoWriter, eight_bit

FILM, SIDECAR, LAST_FRAME = "film.mp4", "film.json", "last_frame.png"
DRAFT = "draft"  # a folder: the session as stage 1 alone made it, where there is a refiner
SIDECAR_VERSION = 1
CARRIED_SECONDS = 60.0  # 1.6 GB now and then, not with every chunk


def record(events: Iterable[RolloutEvent], writer: VideoWriter) -> Iterator[tuple[RolloutEvent, NDArray]]:
    """Each event once it is on the disk, with its frames (f, h, w, 3) uint8. StorageError if it cannot be written.

    What the models carry is written every CARRIED_SECONDS and when the rollout stops: at the end, or because this
    generator is closed, or because a chunk failed. After a kill it is made again for the chunks since then.
    """
    folder, session, written = writer.path.parent, None, time.monotonic()
    try:
        for event in events:
            frames = eight_bit(event.pixels)
            writer.append(frames)
            _write_picture(folder / LAST_FRAME, frames[-1])
            is_time = time.monotonic() - written > CARRIED_SECONDS
            save_session(event.session, folder, with_carried=is_time)
            session, written = event.session, time.monotonic() if is_time else written
            yield event, frames
    except BaseException:
        with contextlib.suppress(StorageError):  # what stopped the rollout is what the user hears of
            _close(session, folder)
        raise
    _close(session, folder)


def _close(session: Session | None, folder: Path) -> None:
    if session is not None:
        save_session(session, folder)
        write_sidecar(session, folder / SIDECAR, FILM)


def open_film(
    folder: Path, session: Session, stages: Stages, *, fps: float, copy_of: Path | None = None
) -> VideoWriter:
    """The film of a folder, cut to the session's frames, to be gone on with.

    copy_of: another folder's film that has these frames. Where a film is missing or damaged it is made again from the
    session's latents, which gives the same frames.
    """
    film = folder / FILM
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if copy_of is not None and copy_of.is_file() and session.chunks:
            shutil.copyfile(copy_of, film)
    except OSError as error:
        raise StorageError(f"{film} cannot be written: {error}; free space there or choose another folder") from error
    try:
        return VideoWriter(film, session.size, fps, done=session.frames)
    except (ConfigError, OSError):
        if not session.chunks:
            raise
    writer = VideoWriter(film, session.size, fps)
    tails = None
    for chunk in range(session.chunks):
        start, stop = session.recipe.span(chunk)
        pixels, tails = stages.decode(session.shown[:, :, start:stop], tails)
        writer.append(eight_bit(pixels))
    return writer


def write_sidecar(session: Session, path: Path, video: str) -> None:
    """What a film was made with, as JSON: seeds, prompts, model, and the camera of every frame. Whole or not at all."""
    camera, done = session.camera, session.frames
    content = {
        "format": "sana-wm-film",
        "version": SIDECAR_VERSION,
        "video": video,
        "frames": done,
        "fps": camera.fps,
        "size": {"height": session.size[0], "width": session.size[1]},
        "model": session.model,
        "vae": session.vae,
        "recipe": asdict(session.recipe),
        "refiner": None if session.refiner is None else asdict(session.refiner),
        "chunks": [
            {"frames": list(session.span(i)), "latent_frames": list(session.recipe.span(i)), **asdict(r)}
            for i, r in enumerate(session.records)
        ],
        "camera": _cameras(camera, done),
    }
    _whole(path, lambda partial: partial.write_text(json.dumps(content)))


def write_refined_sidecar(
    path: Path, video: str, key: RefinedKey, *, vae: str, frames: int, size: tuple[int, int], camera: CameraPath | None
) -> None:
    """The same for a refined film. Every frame of the draft is in it, so row n of the cameras is that of frame n."""
    content = {
        "format": "sana-wm-film",
        "version": SIDECAR_VERSION,
        "video": video,
        "frames": frames,
        "fps": key.fps,
        "size": {"height": size[0], "width": size[1]},
        "refined": key.as_json(),
        "vae": vae,
        "camera": None if camera is None else _cameras(camera, min(frames, camera.frames)),
    }
    _whole(path, lambda partial: partial.write_text(json.dumps(content)))


def _cameras(camera: CameraPath, frames: int) -> dict:
    return {
        "convention": "c2w, OpenCV axes, metres; intrinsics fx, fy, cx, cy in pixels of `size`; one row a frame",
        **asdict(camera.provenance),
        "c2w": camera.c2w[:frames].reshape(frames, 16).tolist(),
        "intrinsics": camera.intrinsics[:frames].tolist(),
    }


def read_last_frame(folder: Path) -> NDArray:
    """(h, w, 3) uint8; CheckpointError if it is missing."""
    from PIL import Image

    file = folder / LAST_FRAME
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; restore it, or make the film again with resume set to never")
    with Image.open(file) as picture:
        return np.array(picture.convert("RGB"))


def _write_picture(path: Path, picture: NDArray) -> None:
    from PIL import Image

    _whole(path, lambda partial: Image.fromarray(picture).save(partial, "PNG"))


def _whole(path: Path, write) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}; free space there or choose another folder") from error
    finally:
        partial.unlink(missing_ok=True)
