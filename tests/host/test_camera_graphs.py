"""The templates camera_editor and camera_from_file in a real server: run on what ships, and the films go where they were told."""

import json

import numpy as np
import pytest
from cases import ROOT
from test_server import decode, run
from test_stitch_graph import number_of

from tools.client import Client
from tools.demo_graph import FOLDER, set_input
from tools.graphs.camera_editor import BIGGER, KEYFRAMES
from tools.graphs.camera_from_file import FILE
from tools.graphs.camera_from_file import SEED as WALKED
from tools.steps import StepError
from tools.tiny_graph import SEED as DRAWN
from tools.tiny_graph import SIZE
from tools.tiny_world.files import MODELS
from tools.truth import compare_film, true_frames
from wm_core.camera import keyframed_path, load_path, reshaping
from wm_core.tiny_world import make_scene

pytestmark = pytest.mark.host
LEAST_MARGIN = 2.0  # dB nearer to the truth of the own camera than to that of the mirrored one


def example(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def with_camera_saved(graph, title, slot):
    """The camera that a node hands on, kept in a file too."""
    inputs = {"camera": [number_of(graph, title), slot], "filename_prefix": "cameras/followed", "format": "sana-wm"}
    inputs |= {"convention": "auto", "matrices": "auto", "metres": 1.0}
    graph["saved"] = {"class_type": "SanaWMCameraSave", "inputs": inputs, "_meta": {"title": "Saved"}}
    return graph


def made(server, name, title, slot):
    """(outputs by title, camera of that output of a node) of a template, queued as it is but for the saved camera."""
    graph = with_camera_saved(example(name), title, slot)
    with Client(server.url) as client:
        events, history = run(client, graph)
    assert history["status"]["status_str"] == "success", [e for e in events if e.kind == "execution_error"]
    outputs = {graph[number]["_meta"]["title"]: output for number, output in history["outputs"].items()}
    return outputs, load_path(outputs["Saved"]["text"][0].splitlines()[0])


def file_of(server, outputs, title):
    (item,) = outputs[title]["images"]
    return server.folders / "output" / item["subfolder"] / item["filename"]


def check_the_film_follows(film, path, scene):
    """It is nearer to what the path's camera would have seen than to what the mirrored one would."""
    near, far = (
        compare_film(film, true_frames(make_scene(scene), way, "day"), []).psnr
        for way in (path, reshaping.mirrored(path))
    )
    print(f"own {near:.1f} dB, mirrored {far:.1f}")
    assert near > far + LEAST_MARGIN


@pytest.fixture(scope="module")
def drawn(server):
    assert (server.folders / "input" / "example.png").read_bytes() == (
        ROOT / "assets" / "start_picture.png"
    ).read_bytes()
    return made(server, "camera_editor", "Generate", 5)


@pytest.fixture(scope="module")
def walked(server):
    return made(server, "camera_from_file", "Generate", 5)


@pytest.mark.parametrize("name", ["camera_editor", "camera_from_file"])
def test_they_need_nothing_but_what_ships(name):
    shipped = {file.name for file in MODELS.rglob("*.safetensors")} | {FILE}
    named = {
        value
        for node in example(name).values()
        for value in node["inputs"].values()
        if str(value).endswith((".safetensors", ".txt"))
    }
    assert len(named) == (4 if name == "camera_from_file" else 3) and named <= shipped


def test_the_film_goes_where_the_keys_were_drawn(server, drawn):
    outputs, path = drawn
    np.testing.assert_allclose(path.c2w, keyframed_path(KEYFRAMES).c2w, atol=1e-6)
    film = file_of(server, outputs, "Generate")
    frames, fps, _ = decode(film)
    assert frames.shape == (KEYFRAMES.frames, *SIZE, 3) and fps == 16
    check_the_film_follows(film, path, DRAWN)


def test_the_camera_is_drawn_on_a_bigger_copy_of_the_film(server, drawn):
    outputs, _ = drawn
    frames, fps, _ = decode(file_of(server, outputs, "What the camera did"))
    assert frames.shape == (KEYFRAMES.frames, *(round(BIGGER * n) for n in SIZE), 3) and fps == 16
    film, _, _ = decode(file_of(server, outputs, "Generate"))
    enlarged = film[40].repeat(round(BIGGER), 0).repeat(round(BIGGER), 1)
    apart = np.abs(frames[40].astype(float) - enlarged).mean(2)
    height, width = apart.shape
    corner = apart[-height // 3 :, -width // 6 :].mean()
    print(f"{corner:.0f} levels apart where the map lies, {np.median(apart):.1f} elsewhere")
    assert corner > 10 * np.median(apart)


def test_the_walk_of_the_file_is_followed(server, walked):
    outputs, path = walked
    film = file_of(server, outputs, "Generate")
    frames, fps, _ = decode(film)
    assert frames.shape == (path.frames, *SIZE, 3) and fps == path.fps == 16
    assert path.provenance.source == f"file:{FILE} as tum"
    check_the_film_follows(film, path, WALKED)


def test_the_path_and_the_truth_are_shown(walked):
    outputs, _ = walked
    assert outputs["As it came"]["images"] and outputs["Look before you wait"]["images"]
    assert "warning" not in outputs["Look before you wait"]["text"][0]
    assert outputs["Film and truth"]["images"]


def test_other_keys_give_another_film(server, drawn):
    """The template is edited as the editor would: its document is another one."""
    graph = example("camera_editor")
    document = json.loads(graph[number_of(graph, "Camera")]["inputs"]["state"])
    for key in document["keys"][1:]:
        key["position"][0] *= -1
        key["pivot"][0] *= -1
    set_input(graph, "Camera", "state", json.dumps(document))
    with Client(server.url) as client:
        _, history = run(client, graph)
    film = file_of(server, history["outputs"], number_of(graph, "Generate"))
    check_the_film_follows(film, reshaping.mirrored(drawn[1]), DRAWN)


def test_a_camera_file_that_is_not_there_is_named_before_the_run(client):
    graph = example("camera_from_file")
    set_input(graph, "Camera file", "file", "my_walk.txt")
    with pytest.raises(StepError, match="camera file 'my_walk.txt' is not in the input or output folder; put it there"):
        client.queue(graph)
