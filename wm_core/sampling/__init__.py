"""From noise to latents: schedules are functions that return sigmas, samplers are functions of a velocity."""

from .euler import euler
from .guidance import guided
from .schedule import released_schedule, shifted

__all__ = ["euler", "guided", "released_schedule", "shifted"]
