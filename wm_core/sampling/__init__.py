"""From noise to latents: schedules are functions that return sigmas, samplers are functions of a velocity."""

from .chunk_flow import chunk_flow_euler, staggered_levels
from .euler import euler
from .guidance import guided
from .quality import QUALITIES, Quality, describe_cost, lowest_guided
from .schedule import released_schedule, shifted
from .self_forcing import STUDENT_SIGMAS, stream_chunk

__all__ = [
    "QUALITIES",
    "STUDENT_SIGMAS",
    "Quality",
    "chunk_flow_euler",
    "describe_cost",
    "euler",
    "guided",
    "lowest_guided",
    "released_schedule",
    "shifted",
    "staggered_levels",
    "stream_chunk",
]
