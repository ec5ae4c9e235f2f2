"""Wire types that the host lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from comfy_api.latest import io

from ..wm_core.camera import CameraPath
from ..wm_core.rollout import Session


@io.comfytype(io_type="SANAWM_CAMERA")
class Camera(io.ComfyTypeIO):
    """A camera path: poses, intrinsics, frame rate and where they came from."""

    Type = CameraPath


@dataclass(frozen=True)
class OpenRollout:
    """A rollout that can go on, on the CPU and without what the models carry.

    folder: where its film and whole session lie, see wm_core.rollout.film. rolling.session_of puts it together.
    """

    session: Session
    folder: Path


@io.comfytype(io_type="SANAWM_SESSION")
class RolloutSession(io.ComfyTypeIO):
    """What Generate and Extend hand on, and Load Session reads."""

    Type = OpenRollout
