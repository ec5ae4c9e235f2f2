"""The LTX-2 video VAE: whole, in tiles, as a causal stream, and in overlapping chunks."""

from .blocks import Tails
from .config import vae_config_from_dict
from .model import VideoVAE
from .overlap import CONTEXT, decode_in_chunks, temporal_reach
from .streaming import decode_chunk, encode_chunk
from .tiling import Tile, decode_tiled, decode_tiled_like_diffusers, encode_tiled

__all__ = [
    "CONTEXT",
    "Tails",
    "Tile",
    "VideoVAE",
    "decode_chunk",
    "decode_in_chunks",
    "decode_tiled",
    "decode_tiled_like_diffusers",
    "encode_chunk",
    "encode_tiled",
    "temporal_reach",
    "vae_config_from_dict",
]
