"""Rolling generation in a real server: events as it goes, a film that plays at each, stops that lose nothing."""

import contextlib
import json

import av
import numpy as np
import pytest
from cases import ROOT
from tiny_graph import number_of, on_tiny_models

from tools.client import Client
from wm_core.rollout import load_session, read_outline

pytestmark = pytest.mark.host
CHUNKS = 10
LENGTH = 24 * CHUNKS + 1


@pytest.fixture
def minute(client):
    """minute(save_prefix=...): the workflow of a minute, ten chunks of it."""
    client.upload_image(ROOT / "assets" / "start_picture.png")
    return lambda **inputs: on_tiny_models("stream_minute", Generate={"length": LENGTH, **inputs})


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def whole_frames(path):
    """What a player shows of a film that is being written, or was when its writer was killed."""
    frames = []
    with av.open(str(path)) as container, contextlib.suppress(av.error.InvalidDataError):
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
    return np.stack(frames)


def failure(events):
    (error,) = [event for event in events if event.kind == "execution_error"]
    return error.data


@pytest.fixture(scope="module")
def undisturbed(server):
    """Frames of the ten chunks, made in one go."""
    with Client(server.url) as client:
        client.upload_image(ROOT / "assets" / "start_picture.png")
        list(client.follow(client.queue(on_tiny_models("stream_minute", Generate={"length": LENGTH, "save_prefix": "whole"}))))
    return frames_of(server.folders / "output" / "whole_00001_.mp4")


def test_chunks_are_told_in_order_and_the_film_plays_at_each(server, client, minute, undisturbed):
    graph = minute(save_prefix="events/film")
    prompt_id = client.queue(graph)
    told, kinds = [], []
    for event in client.follow(prompt_id):
        kinds.append(event.kind)
        if event.kind == "executed" and event.data["node"] == number_of(graph, "Generate"):
            assert len(told) == CHUNKS, "all before the node is done"
        if event.kind == "sana_wm.chunk":
            assert told or not client.history(prompt_id), "told while it runs"
            told.append(event.data)
            file = event.data["file"]
            film = server.folders / file["type"] / file["subfolder"] / file["filename"]
            seen = whole_frames(film)
            assert len(seen) >= event.data["frames"][1], "the chunk that is told is in the film"
            assert np.array_equal(seen, undisturbed[: len(seen)])
            assert client.view(file["filename"], file["subfolder"], file["type"])[4:8] == b"ftyp"
    assert [data["chunk"] for data in told] == list(range(CHUNKS))
    assert [data["frames"] for data in told] == [[24 * i + (i > 0), 24 * i + 25] for i in range(CHUNKS)]
    assert {data["node"] for data in told} == {number_of(graph, "Generate")} and told[0]["chunks"] == CHUNKS
    assert kinds.count("preview") >= CHUNKS
    assert "executed" in kinds
    history = client.history(prompt_id)
    assert history["status"]["status_str"] == "success"
    shown = history["outputs"][number_of(graph, "Generate")]["images"]
    assert shown == [{"filename": "film_00001_.mp4", "subfolder": "events", "type": "output"}]
    assert history["outputs"][number_of(graph, "Where it ended")]["images"]


def test_the_finished_film_has_its_recipe_and_sidecar(server, client, minute, undisturbed):
    graph = minute(save_prefix="recipe/film")
    list(client.follow(client.queue(graph)))
    video = server.folders / "output" / "recipe" / "film_00001_.mp4"
    content = video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "faststart"
    assert b"moof" not in content
    with av.open(str(video)) as container:
        metadata = dict(container.metadata)
    recorded = {n: node["inputs"] for n, node in json.loads(metadata["prompt"]).items()}
    assert recorded == {n: node["inputs"] for n, node in graph.items()}
    assert json.loads(metadata["sana_wm"])["models"][0]["variant"] == "streaming"
    sidecar = json.loads(video.with_suffix(".json").read_text())
    assert sidecar["frames"] == LENGTH == len(sidecar["camera"]["c2w"]) == len(sidecar["camera"]["intrinsics"])
    assert [c["frames"] for c in sidecar["chunks"]] == [[24 * i + (i > 0), 24 * i + 25] for i in range(CHUNKS)]
    assert sidecar["camera"]["actions"].startswith("w-240")


def test_cancel_during_chunk_five_leaves_a_film_and_a_session_to_go_on_with(server, client, minute, undisturbed):
    graph = minute(save_prefix="cancelled/film")
    kinds, words = [], []
    for event in client.follow(client.queue(graph)):
        kinds.append(event.kind)
        words += [event.data["text"]] if event.kind == "text" else []
        if event.kind == "sana_wm.chunk" and event.data["chunk"] == 3:
            client.interrupt()  # while chunk 5 is being made
    assert "execution_interrupted" in kinds and "execution_success" not in kinds
    assert "queue again to go on" in words[-1]
    folder = server.folders / "output" / "cancelled" / "film_00001_session"
    session = load_session(folder)
    assert session.chunks in (4, 5)
    film = frames_of(folder / "film.mp4")
    assert len(film) == session.frames and np.array_equal(film, undisturbed[: len(film)])
    assert json.loads((folder / "film.json").read_text())["frames"] == session.frames
    assert not (server.folders / "output" / "cancelled" / "film_00001_.mp4").exists()
    made = [e.data["chunk"] for e in client.follow(client.queue(graph)) if e.kind == "sana_wm.chunk"]
    assert made[0] == session.chunks, "it goes on and does not begin anew"
    assert np.array_equal(frames_of(server.folders / "output" / "cancelled" / "film_00001_.mp4"), undisturbed)


def test_an_identical_graph_is_not_run_again(server, client, minute, undisturbed):
    """The host's cache serves a finished rollout; a stopped one is not taken for finished."""
    graph = minute(save_prefix="cached/film")
    list(client.follow(client.queue(graph)))
    again = list(client.follow(client.queue(graph)))
    assert not [e for e in again if e.kind == "sana_wm.chunk"]
    assert number_of(graph, "Generate") in next(e.data["nodes"] for e in again if e.kind == "execution_cached")
    assert sorted(p.name for p in (server.folders / "output" / "cached").iterdir()) == [
        "film_00001_.json", "film_00001_.mp4", "film_00001_session",
    ]  # fmt: skip


def test_one_beginning_two_futures(server, client, undisturbed):
    client.upload_image(ROOT / "assets" / "start_picture.png")
    graph = on_tiny_models("continue_and_branch")
    prompt_id = client.queue(graph)
    events = list(client.follow(prompt_id))
    assert client.history(prompt_id)["status"]["status_str"] == "success", failure(events)
    out = server.folders / "output"
    begin, longer, branch = (frames_of(out / "video" / f"SanaWM_{n}_00001_.mp4") for n in ("begin", "longer", "branch"))
    assert [len(begin), len(longer), len(branch)] == [169, 289, 217]
    assert np.array_equal(longer[:169], begin)
    assert np.array_equal(branch[:97], begin[:97]) and not np.array_equal(branch[97:169], begin[97:])
    records = read_outline(out / "video" / "SanaWM_branch_00001_session").records
    assert [r.seed for r in records] == [42] * 4 + [44] * 5 and len({r.prompt for r in records}) == 2
    assert read_outline(out / "sessions" / "SanaWM_00001_session").chunks == 7


def test_a_damaged_session_is_named_and_never_begins_anew_in_silence(server, client, minute):
    graph = minute(save_prefix="damaged/film")
    for event in client.follow(client.queue(graph)):
        if event.kind == "sana_wm.chunk" and event.data["chunk"] == 2:
            client.interrupt()
    file = sorted((server.folders / "output" / "damaged" / "film_00001_session").glob("chunk_*.safetensors"))[1]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    error = failure(list(client.follow(client.queue(graph))))
    assert "CheckpointError" in error["exception_type"] and f"{file.name} is damaged" in error["exception_message"]
    graph[number_of(graph, "Generate")]["inputs"]["resume"] = "never"
    events = list(client.follow(client.queue(graph)))
    assert sum(e.kind == "sana_wm.chunk" for e in events) == CHUNKS


def test_a_session_of_another_model_is_refused_and_named(server, client, undisturbed):
    graph = on_tiny_models("continue_and_branch")
    graph["other"] = json.loads(json.dumps(graph[number_of(graph, "World model")]))
    graph["other"]["inputs"]["reference"] = "nvlabs-streaming"
    graph[number_of(graph, "Extend")]["inputs"] |= {"model": ["other", 0], "save_prefix": "refused/film"}
    del graph[number_of(graph, "Branch")]
    error = failure(list(client.follow(client.queue(graph))))
    assert error["node_type"] == "SanaWMExtend"
    assert "was made with model" in error["exception_message"] and "load the model" in error["exception_message"]
    assert not list((server.folders / "output").glob("refused/*"))
