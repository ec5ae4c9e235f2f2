"""The nodes that a user sees. Ids are a public contract: never renamed, only added to."""

from . import camera, conditioning, generate, load, sampling, session, stream, text, video

_FILES = (load, text, camera, conditioning, sampling, stream, generate, session, video)
NODES = [node for file in _FILES for node in file.NODES]
