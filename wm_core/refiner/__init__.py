"""Second stage: the LTX-2 refiner, its text connectors, and the keys and values that it carries from block to block."""

from ..positions import Rotation
from .connectors import CONTEXT_TOKENS, TextConnector
from .kv_ring import KVRing, RingSize
from .model import PromptKeys, VideoRefiner
from .part import Keeps, Level, Part, Past

__all__ = [
    "CONTEXT_TOKENS",
    "KVRing",
    "Keeps",
    "Level",
    "Part",
    "Past",
    "PromptKeys",
    "RingSize",
    "Rotation",
    "TextConnector",
    "VideoRefiner",
]
