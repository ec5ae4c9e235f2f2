"""Strict loading of released weights."""

from .files import PICKLES, WeightFile, open_weights
from .load import load_video_vae, load_world_model, read_vae_weights, read_world_weights
from .pickle_file import open_training_pickle
from .vae_file import open_vae
from .world_file import VARIANTS, WorldFile, WorldInfo, open_world

__all__ = [
    "PICKLES",
    "VARIANTS",
    "WeightFile",
    "WorldFile",
    "WorldInfo",
    "load_video_vae",
    "load_world_model",
    "open_training_pickle",
    "open_vae",
    "open_weights",
    "open_world",
    "read_vae_weights",
    "read_world_weights",
]
