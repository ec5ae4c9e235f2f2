"""A procedural world of known geometry: what the small trained models have seen, and the truth to compare them with."""

from .render import render, rendered
from .scene import (
    CAMERA_HEIGHT,
    DARK,
    GROUNDS,
    HELD_OUT,
    SKIES,
    TIMES,
    USUAL_FOCAL,
    Scene,
    light_between,
    make_scene,
    usual_intrinsics,
)

__all__ = [
    "CAMERA_HEIGHT",
    "DARK",
    "GROUNDS",
    "HELD_OUT",
    "SKIES",
    "TIMES",
    "USUAL_FOCAL",
    "Scene",
    "light_between",
    "make_scene",
    "render",
    "rendered",
    "usual_intrinsics",
]
