"""Memory that is freed stays with the process: a training step on the CPU asks for the same big pieces again and again.

glibc hands big pieces back to the system and takes them anew, page by page. A training step of the world model (8 clips of 65
frames, two cores of an AMD EPYC, 2026-11-25) took 1.25 to 1.30 s so, and 1.12 to 1.18 s with what is here.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # of malloc.h
NEVER = 2**31 - 1  # bytes of free memory on the heap's top before it is given back
GROWTH = 256 * 2**20  # bytes that the heap grows by


def keep_freed_memory() -> bool:
    """For the rest of the process; False where the C library has no such thing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(*setting) == 1 for setting in ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, GROWTH)))
