"""The nodes that a user sees. Ids are a public contract: never renamed, only added to."""

from . import camera, conditioning, load, sampling, stream, text

NODES = [*load.NODES, *text.NODES, *camera.NODES, *conditioning.NODES, *sampling.NODES, *stream.NODES]
