"""The nodes that a user sees. Ids are a public contract: never renamed, only added to."""

from . import (
    camera,
    compare,
    conditioning,
    continue_clip,
    generate,
    load,
    sampling,
    session,
    stitch,
    stream,
    text,
    video,
)

_FILES = (load, text, camera, conditioning, continue_clip, sampling, stream, generate, session, video, stitch, compare)
NODES = [node for file in _FILES for node in file.NODES]
