"""The LTX-2 video VAE: whole, in tiles, and as a causal stream."""

from .blocks import Tails
from .config import vae_config_from_dict
from .model import VideoVAE
from .streaming import decode_chunk, encode_chunk
from .tiling import Tile, decode_tiled, decode_tiled_like_diffusers, encode_tiled

__all__ = [
    "Tails",
    "Tile",
    "VideoVAE",
    "decode_chunk",
    "decode_tiled",
    "decode_tiled_like_diffusers",
    "encode_chunk",
    "encode_tiled",
    "vae_config_from_dict",
]
