"""A disk that is full or cannot be written: one clear error, nothing lost, and the rollout goes on once there is room."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from cases import ROOT
from test_growing_film import CHUNKS, LENGTH, failure, frames_of
from tiny_graph import number_of, on_tiny_models

from wm_core.rollout import load_session

pytestmark = [pytest.mark.host, pytest.mark.skipif(sys.platform != "linux", reason="limits a process as Linux does")]


@pytest.fixture
def small_disk(server):
    """small_disk(bytes): no file of the server grows beyond it; small_disk(None) lifts that."""

    def limit(size):
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    yield limit
    limit(None)


@pytest.fixture
def read_only(tmp_path_factory, server):
    """A folder in the server's output that cannot be written, not even by root."""
    folder = server.folders / "output" / "read_only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("root may write everywhere, and no read-only folder can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def film(client, prefix):
    client.upload_image(ROOT / "assets" / "start_picture.png")
    return on_tiny_models("stream_minute", Generate={"length": LENGTH, "save_prefix": prefix})


def test_a_full_disk_keeps_what_is_finished_and_goes_on_when_there_is_room(server, client, small_disk):
    list(client.follow(client.queue(film(client, "room/film"))))
    out = server.folders / "output"
    whole = frames_of(out / "room" / "film_00001_.mp4")
    small_disk((out / "room" / "film_00001_session" / "film.mp4").stat().st_size // 2)
    graph = film(client, "full/film")
    events = list(client.follow(client.queue(graph)))
    error, words = failure(events), [e.data["text"] for e in events if e.kind == "text"]
    assert "StorageError" in error["exception_type"] and "film.mp4 cannot be written" in error["exception_message"]
    assert "free space" in error["exception_message"] and "queue again to go on" in words[-1]
    session = load_session(out / "full" / "film_00001_session")
    assert 3 <= session.chunks <= 6
    film_so_far = frames_of(out / "full" / "film_00001_session" / "film.mp4")
    assert np.array_equal(film_so_far, whole[: session.frames])
    small_disk(None)
    made = [e.data["chunk"] for e in client.follow(client.queue(graph)) if e.kind == "sana_wm.chunk"]
    assert made == list(range(session.chunks, CHUNKS))
    assert np.array_equal(frames_of(out / "full" / "film_00001_.mp4"), whole)
    assert not list((out / "full").rglob("*.part")) and not list((out / "full").rglob(".unfinished"))


def test_a_session_that_does_not_fit_leaves_the_one_before(server, client, small_disk):
    small_disk(110_000)  # less than a session of two chunks, more than a chunk of film
    events = list(client.follow(client.queue(film(client, "tight/film"))))
    assert "StorageError" in failure(events)["exception_type"]
    made = [e for e in events if e.kind == "sana_wm.chunk"]
    folder = server.folders / "output" / "tight" / "film_00001_session"
    assert load_session(folder).chunks == len(made) if made else not folder.exists()


def test_a_read_only_folder_is_one_clear_error(server, client, read_only):
    events = list(client.follow(client.queue(film(client, "read_only/film"))))
    error = failure(events)
    assert error["node_type"] == "SanaWMGenerate" and "StorageError" in error["exception_type"]
    assert "read_only" in error["exception_message"] and "another folder" in error["exception_message"]
    assert not [e for e in events if e.kind == "sana_wm.chunk"]


def test_a_place_outside_the_output_folder_is_refused(server, client):
    graph = film(client, "../../elsewhere/film")
    error = failure(list(client.follow(client.queue(graph))))
    assert error["node_id"] == number_of(graph, "Generate") and "outside" in error["exception_message"]
    assert not (server.folders.parent / "elsewhere").exists()
