"""Where a token is, as attention uses it: rotary angles of time, row and column, and the ray that it sees along."""

from .rope import Rotation, rotate, rotate_halves, rotation_table
from .ucpe import RayGeometry, inflation, ray_geometry, within_rms

__all__ = ["RayGeometry", "Rotation", "inflation", "ray_geometry", "rotate", "rotate_halves", "rotation_table", "within_rms"]
