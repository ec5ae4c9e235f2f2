"""Wire types that the host lacks."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.camera import CameraPath


@io.comfytype(io_type="SANAWM_CAMERA")
class Camera(io.ComfyTypeIO):
    """A camera path: poses, intrinsics, frame rate and where they came from."""

    Type = CameraPath
