"""The stage-1 world model."""

from .model import WorldConditions, WorldDiT
from .state import WorldState

__all__ = ["WorldConditions", "WorldDiT", "WorldState"]
