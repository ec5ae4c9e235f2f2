"""The field of view of a photo from what its camera wrote into it, or from a lens and a sensor.

EXIF 2.32 (CIPA DC-008): FocalLengthIn35mmFilm compares picture diagonals, 43.27 mm of the film's; without it FocalLength
and the focal plane's resolution give the size of the sensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from ..errors import CameraError
from .intrinsics import from_fov

FILM_WIDTH_MM = 36.0
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_EXIF, _FOCAL, _FOCAL_35, _PLANE_X, _PLANE_UNIT = 0x8769, 0x920A, 0xA405, 0xA20E, 0xA210
_MM_OF_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_NEXT = "give a field of view or a focal length instead"


@dataclass(frozen=True)
class Photo:
    """What a photo says of its camera: horizontal degrees, its own (h, w) pixels as it is looked at, and how it is known."""

    fov_deg: float
    size: tuple[int, int]
    told: str


def from_focal_length(focal_mm: float, size: tuple[int, int], *, sensor_width_mm: float = FILM_WIDTH_MM) -> NDArray:
    """Intrinsics (4,) of a centred camera with this lens before a sensor as wide as the picture; 36 mm is full frame."""
    for name, value in (("focal length", focal_mm), ("sensor width", sensor_width_mm)):
        if not (math.isfinite(value) and value > 0):
            raise CameraError(
                f"the {name} must be a positive number of mm, got {value}; a phone's lens is about 26 on 36 mm"
            )
    return from_fov(math.degrees(2 * math.atan(sensor_width_mm / 2 / focal_mm)), size)


def read_photo(file: str | Path) -> Photo:
    """The field of view that a JPEG, PNG, TIFF or WebP file carries in its EXIF; CameraError if it has none.

    Rotated photos are read as they are looked at. Zooming in by cropping is not known to EXIF: use the photo as it was taken.
    """
    from PIL import Image, UnidentifiedImageError

    file = Path(file)
    try:
        with Image.open(file) as image:
            exif, (w, h) = image.getexif(), image.size
            detail = exif.get_ifd(_EXIF)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CameraError(f"{file.name} is no picture that can be read ({error}); {_NEXT}") from error
    stands = exif.get(0x0112, 1) in (5, 6, 7, 8)  # turned by a quarter
    size = (w, h) if stands else (h, w)
    film, told = _film_focal(detail, w)
    if film is None:
        raise CameraError(f"{file.name} does not say which lens took it ({told}); {_NEXT}")
    pixels = film / FILM_DIAGONAL_MM * math.hypot(w, h)
    degrees = 2 * math.degrees(math.atan(size[1] / 2 / pixels))
    return Photo(degrees, size, f"EXIF: {told}")


def _film_focal(detail: dict, width: int) -> tuple[float | None, str]:
    """Focal length of the same diagonal on 35 mm film, and in words where it comes from or why there is none."""
    film = _positive(detail.get(_FOCAL_35))
    if film:
        return film, f"{film:g} mm on 35 mm film"
    focal, per_unit = _positive(detail.get(_FOCAL)), _positive(detail.get(_PLANE_X))
    unit = _MM_OF_UNIT.get(detail.get(_PLANE_UNIT, 2))
    if not focal:
        return None, "its EXIF has no focal length"
    if not (per_unit and unit):
        return None, f"its EXIF has a focal length of {focal:g} mm, and not the size of the sensor"
    sensor_mm = width / per_unit * unit
    if not 1 <= sensor_mm <= 100:
        return None, f"its EXIF has a sensor of {sensor_mm:.3g} mm, which none is"
    return focal * FILM_WIDTH_MM / sensor_mm, f"{focal:g} mm before a sensor {sensor_mm:.1f} mm wide"


def _positive(value: object) -> float | None:
    """A number of an EXIF field, which may be a fraction with a zero below; None unless it is above 0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
