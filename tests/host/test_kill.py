"""The server is killed in the middle of a rollout, twenty times: the film plays, the session loads, the rest is the same."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import ROOT
from test_growing_film import LENGTH, frames_of, whole_frames
from tiny_graph import on_tiny_models

from tools.client import Client
from wm_core.rollout import load_session

pytestmark = pytest.mark.host
KILLS = 20
SEED = 6


def film(prefix):
    return on_tiny_models("stream_minute", Generate={"length": LENGTH, "save_prefix": prefix})


class Lives:
    """Servers one after the other that write into one output folder; the next one starts while this one works."""

    def __init__(self, start_server, folder, pool):
        self.start_server, self.folder, self.pool, self.count = start_server, folder, pool, 0
        self.output = folder / "output"
        self.output.mkdir()
        self.starting = pool.submit(self._start)

    def next(self):
        server = self.starting.result()
        self.starting = self.pool.submit(self._start) if self.count <= KILLS else None
        return server

    def _start(self):
        folder = self.folder / f"life{self.count}"
        folder.mkdir()
        (folder / "output").symlink_to(self.output, target_is_directory=True)
        self.count += 1
        server = self.start_server(folder)
        server.start()
        return server


def check_what_the_kill_left(folder, undisturbed):
    """(chunks in the session, frames in the film); both are beginnings of the undisturbed film."""
    grown = folder / "film.mp4"
    frames = whole_frames(grown) if grown.exists() and grown.stat().st_size else undisturbed[:0]
    assert np.array_equal(frames, undisturbed[: len(frames)])
    if not (folder / "session.json").exists():
        return 0, len(frames)
    session = load_session(folder)
    assert session.frames <= len(frames), "every frame that the session counts is in the film"
    return session.chunks, len(frames)


def made(client, graph):
    """Numbers of the chunks that a run made."""
    return [e.data["chunk"] for e in client.follow(client.queue(graph)) if e.kind == "sana_wm.chunk"]


def test_twenty_kills_lose_at_most_the_chunk_that_was_being_made(start_server, tmp_path):
    moments, left = random.Random(SEED), []
    with ThreadPoolExecutor(1) as pool:
        lives = Lives(start_server, tmp_path, pool)
        undisturbed = seconds = None
        for k in range(KILLS + 1):
            server = lives.next()
            try:
                with Client(server.url) as client:
                    client.upload_image(ROOT / "assets" / "start_picture.png")
                    if undisturbed is None:
                        made(client, film("warm"))  # models are loaded
                        start = time.perf_counter()
                        assert made(client, film("whole")) == list(range(10))
                        seconds = time.perf_counter() - start
                        undisturbed = frames_of(lives.output / "whole_00001_.mp4")
                    else:
                        goes_on = made(client, film(f"film{k - 1}"))
                        assert goes_on == list(range(left[-1][0], 10)), "nothing that was finished is made again"
                        (video,) = lives.output.glob(f"film{k - 1}_*_.mp4")
                        assert np.array_equal(frames_of(video), undisturbed)
                    if k < KILLS:
                        client.queue(film(f"film{k}"))
                        time.sleep(moments.uniform(0, seconds))
                        server.kill()
                        left.append(check_what_the_kill_left(lives.output / f"film{k}_00001_session", undisturbed))
            finally:
                server.stop()
    print(f"{seconds:.1f} s a film; after each kill (chunks, frames): {left}")
    assert len({chunks for chunks, _ in left}) >= 4, f"the kills came at much the same moment: {left}"
