"""Strict loading of released weights."""

from .files import PICKLES, WeightFile, open_weights
from .load import (
    load_connectors,
    load_refiner,
    load_video_vae,
    load_world_model,
    read_connector_weights,
    read_refiner_weights,
    read_vae_weights,
    read_world_weights,
)
from .pickle_file import open_training_pickle
from .refiner_file import ConnectorFile, RefinerFile, check_belongs, find_connectors, open_connectors, open_refiner
from .refiner_guard import Verdict, judged, refuse_wrong
from .vae_file import open_vae
from .world_file import VARIANTS, WorldFile, WorldInfo, open_world

__all__ = [
    "PICKLES",
    "VARIANTS",
    "ConnectorFile",
    "RefinerFile",
    "Verdict",
    "WeightFile",
    "WorldFile",
    "WorldInfo",
    "check_belongs",
    "find_connectors",
    "judged",
    "load_connectors",
    "load_refiner",
    "load_video_vae",
    "load_world_model",
    "open_connectors",
    "open_refiner",
    "open_training_pickle",
    "open_vae",
    "open_weights",
    "open_world",
    "read_connector_weights",
    "read_refiner_weights",
    "read_vae_weights",
    "read_world_weights",
    "refuse_wrong",
]
