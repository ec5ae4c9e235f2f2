"""Second stage: the LTX-2 refiner, its text connectors, and the keys and values that it carries from block to block."""

from .connectors import CONTEXT_TOKENS, TextConnector
from .kv_ring import KVRing, RingSize
from .model import PromptKeys, VideoRefiner
from .part import Keeps, Level, Part, Past
from .rope import Rotation

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
