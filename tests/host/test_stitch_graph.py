"""The example of two joined clips in a real server: a continued clip, its seam, its report, and what may be missing."""

import io
import json
import re

import numpy as np
import pytest
import torch
from cases import ROOT
from PIL import Image
from test_server import decode, run, saved_videos

from tools.client import Client
from tools.demo_graph import set_input
from tools.tiny_graph import SIZE, on_tiny_world
from wm_core.rollout import seam_report
from wm_core.rollout.seam import VISIBLE_JUMP

pytestmark = pytest.mark.host
FIRST, SECOND, OVERLAP = 33, 41, 17
TOTAL = FIRST + SECOND - OVERLAP


def example():
    """The workflow on the tiny world."""
    return on_tiny_world(json.loads((ROOT / "example_workflows" / "api" / "stitch_two_clips.json").read_text()))


def number_of(graph, title):
    (number,) = [number for number, node in graph.items() if node["_meta"]["title"] == title]
    return number


@pytest.fixture(scope="module")
def joined(server):
    """(video frames, fps, report, seam picture) of the example."""
    graph = example()
    with Client(server.url) as client:
        client.upload_image(ROOT / "assets" / "start_picture.png")
        events, history = run(client, graph)
        assert history["status"]["status_str"] == "success", [e for e in events if e.kind == "execution_error"]
        (item,) = saved_videos(history)
        frames, fps, _ = decode(server.folders / "output" / item["subfolder"] / item["filename"])
        (report,) = history["outputs"][number_of(graph, "Report")]["text"]
        (seam,) = history["outputs"][number_of(graph, "The seam")]["images"]
        picture = Image.open(io.BytesIO(client.view(seam["filename"], seam["subfolder"], seam["type"])))
        return frames, fps, report, np.array(picture)


def test_the_film_has_every_frame_of_both_clips_once(joined):
    frames, fps, report, _ = joined
    assert frames.shape == (TOTAL, *SIZE, 3) and fps == 16
    assert f"{FIRST} and {SECOND} frames became {TOTAL}" in report
    steps = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
    assert steps.min() > 0.3, "no frame is shown twice in a row"
    for i in range(FIRST, FIRST + 4):  # nor does the second clip begin anew
        distance = np.abs(frames[:i].astype(float) - frames[i]).mean((1, 2, 3))
        assert distance.argmin() >= i - 2, (i, distance.round(1))


def test_its_seam_is_not_to_be_seen_and_the_report_says_so(joined):
    frames, _, report, picture = joined
    measured = seam_report(torch.from_numpy(frames), slice(FIRST - OVERLAP, FIRST))
    print(f"seam {measured.jump:.2f} x the usual\n{report}")
    assert measured.jump < VISIBLE_JUMP and "hard to see" in report
    assert report.startswith(f"blended over {OVERLAP} frames, colours matched")
    metres, degrees = map(float, re.search(r"a jump of ([\d.]+) m and ([\d.]+) degrees", report).groups())
    assert metres < 0.001 and degrees < 0.02 and "WARNING" not in report and "was moved" not in report
    assert picture.shape[1] == 1120 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 500


def test_a_hard_cut_elsewhere_is_labelled_and_measured(server, client, joined):
    """The second clip starts at another picture: the control of the test above."""
    graph = example()
    rng = np.random.default_rng(0)
    other = np.kron(rng.integers(0, 255, (4, 6, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    Image.fromarray(other).save(server.folders / "input" / "other.png")
    again = json.loads(json.dumps(graph[number_of(graph, "Image to video")]))
    picture = {"class_type": "LoadImage", "inputs": {"image": "other.png"}, "_meta": {"title": "Other picture"}}
    again["inputs"]["image"], again["_meta"]["title"] = ["picture", 0], "Elsewhere"
    graph |= {"picture": picture, "elsewhere": again}
    set_input(graph, "Second guidance", "positive", ["elsewhere", 0])
    set_input(graph, "Second guidance", "negative", ["elsewhere", 1])
    set_input(graph, "Second sampler", "latent_image", ["elsewhere", 2])
    set_input(graph, "Stitch", "rule", "cut")
    set_input(graph, "Stitch", "overlap", 0)
    set_input(graph, "Stitch", "camera_second", [number_of(graph, "Camera"), 0])
    _, history = run(client, graph)
    (report,) = history["outputs"][number_of(graph, "Report")]["text"]
    (item,) = saved_videos(history)
    frames, _, _ = decode(server.folders / "output" / item["subfolder"] / item["filename"])
    assert len(frames) == 2 * FIRST and report.startswith(f"hard cut before frame {FIRST}")
    assert "can be seen" in report and seam_report(torch.from_numpy(frames), slice(FIRST, FIRST)).jump > VISIBLE_JUMP


def test_a_video_and_a_latent_are_joined_without_cameras(server, client, joined):
    """A VIDEO link is taken where a LATENT was; of the outputs only the camera is blocked, and it says why."""
    graph = example()
    decoded = {"samples": [number_of(graph, "Sampler"), 0], "vae": [number_of(graph, "Video VAE"), 0]}
    graph["decode"] = {"class_type": "VAEDecode", "inputs": decoded, "_meta": {"title": "Decode"}}
    video = {"images": ["decode", 0], "fps": 16.0}
    graph["video"] = {"class_type": "CreateVideo", "inputs": video, "_meta": {"title": "Video"}}
    set_input(graph, "Stitch", "first", ["video", 0])
    for name in ("camera_first", "camera_second"):
        del graph[number_of(graph, "Stitch")]["inputs"][name]
    events, history = run(client, graph)
    (item,) = saved_videos(history)
    frames, _, _ = decode(server.folders / "output" / item["subfolder"] / item["filename"])
    assert len(frames) == TOTAL and np.abs(frames.astype(float) - joined[0]).mean() < 4
    assert number_of(graph, "The seam") in history["outputs"] and number_of(graph, "Report") in history["outputs"]
    errors = [event.data for event in events if event.kind == "execution_error"]
    assert [error["node_type"] for error in errors] == ["SanaWMCameraPreview"]
    assert "connect camera_first and camera_second" in errors[0]["exception_message"]


def test_a_cancelled_join_leaves_no_file(server, client, joined):
    graph = example()
    set_input(graph, "Second noise", "noise_seed", 99)
    before = sorted(path.name for path in (server.folders / "temp").glob("sana_wm_*"))
    stitch, prompt_id, kinds = number_of(graph, "Stitch"), client.queue(graph), []
    for event in client.follow(prompt_id):
        kinds.append(event.kind)
        node = event.data.get("nodes", {}).get(stitch) if event.kind == "progress_state" else None
        if node and "interrupt" not in kinds:
            client.interrupt()
            kinds.append("interrupt")
    assert "execution_interrupted" in kinds and not saved_videos(client.history(prompt_id))
    assert sorted(path.name for path in (server.folders / "temp").glob("sana_wm_*")) == before
