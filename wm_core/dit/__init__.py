"""The stage-1 world model."""

from .model import WorldConditions, WorldDiT, WorldPrompt
from .prepared import Prepared
from .state import WorldState

__all__ = ["Prepared", "WorldConditions", "WorldDiT", "WorldPrompt", "WorldState"]
