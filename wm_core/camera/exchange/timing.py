"""Frame times: the rate a file's time stamps tell, or the one that is assumed where it has none."""

from __future__ import annotations

import numpy as np

from ...errors import CameraError
from .stored import StoredCameras

ASSUMED_FPS = 16.0  # what the released model makes
UNEVEN = 0.1
MIN_FPS, MAX_FPS = 0.01, 10_000.0
_CLOCK = 1e-4  # nearer to a whole rate than this, the difference is the rounding of the time stamps


def choose_fps(stored: StoredCameras, fps: float | None) -> tuple[float, tuple[str, ...]]:
    """Frames per second, and where they come from, in words. A rate that the caller gives wins.

    Time stamps that are not evenly spaced are refused: played at one rate, such a path would slow down and speed up
    where the camera did not, and nothing in the pictures would tell why. Giving `fps` is the way to say that every
    camera is one frame whatever its time, which is also right for programs that write frame numbers there.
    """
    if fps is not None:
        timed = stored.times_s is not None or stored.fps is not None
        return fps, (f"fps {fps:g} given, the file's times not used",) if timed else ()
    if stored.fps is not None:
        return stored.fps, ()
    if stored.times_s is None or len(stored.times_s) < 2:
        return ASSUMED_FPS, (f"fps {ASSUMED_FPS:g} assumed",)
    rate = _rate(stored.times_s)
    return rate, (f"fps {rate:g} from its time stamps",)


def _rate(times_s: np.ndarray) -> float:
    with np.errstate(over="ignore"):  # absurd times become inf, which no comparison below accepts
        gaps = np.diff(times_s)
        typical = float(np.median(gaps))
        uneven = ~(np.abs(gaps - typical) <= UNEVEN * typical)
    if not typical > 0:
        raise CameraError("time stamps must increase from frame to frame; sort the file, or give fps to ignore them")
    if uneven.any():
        frame = int(uneven.argmax()) + 1
        raise CameraError(
            f"time stamps must be even to {UNEVEN:.0%}, frame {frame} comes {gaps[frame - 1]:.6g} s after the one "
            f"before and most come after {typical:.6g} s; resample the file, or give fps to take a camera per frame"
        )
    rate = len(gaps) / float(times_s[-1] - times_s[0])
    if not MIN_FPS <= rate <= MAX_FPS:
        raise CameraError(
            f"time stamps tell {rate:.3g} frames per second, wanted {MIN_FPS:g} to {MAX_FPS:g}; "
            "they must be in the unit of the format, or give fps to ignore them"
        )
    return float(round(rate)) if abs(rate - round(rate)) <= _CLOCK * rate else rate
