"""A minute of 720p, 961 frames of 704 x 1280, through the real engine and its files: how much memory the process needs.

The models are tiny, so that it is the frames that count: as one float picture batch they would be 9.7 GiB.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from wm_core.rollout import FILM, finish, open_video

from .apart import peak_mib
from .toy_film import ToyFilm

GRID = (22, 40)
CHUNKS = 40


def make_minute() -> dict[str, float]:
    """peak: MiB of this whole process since it began, Python and torch included. frames: in the finished video."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        film = ToyFilm(GRID, CHUNKS, Path(folder))
        for _ in film.make(CHUNKS):
            pass
        whole = finish(Path(folder, FILM), Path(folder, "whole.mp4"))
        frames = open_video(whole).frames
    wall_s, cpu_s = time.perf_counter() - start, time.process_time()
    return {"peak": peak_mib(), "wall_s": wall_s, "cpu_s": cpu_s, "frames": frames}
