"""The nodes that a user sees. Ids are a public contract: never renamed, only added to."""

from . import (
    camera,
    camera_edit,
    camera_import,
    compare,
    conditioning,
    continue_clip,
    generate,
    intrinsics,
    load,
    load_refiner,
    refine,
    sampling,
    session,
    stitch,
    stream,
    text,
    tiny_world,
    video,
)

_FILES = (
    load,
    load_refiner,
    text,
    camera,
    camera_import,
    camera_edit,
    intrinsics,
    conditioning,
    continue_clip,
    sampling,
    stream,
    generate,
    session,
    refine,
    compare,
    video,
    stitch,
    tiny_world,
)
NODES = [node for file in _FILES for node in file.NODES]
