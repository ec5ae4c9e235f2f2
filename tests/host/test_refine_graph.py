"""The example with the second stage in a real server: refined, compared, stopped and gone on with, refused in time."""

import io
import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ROOT
from PIL import Image
from safetensors.numpy import load_file
from test_growing_film import failure, frames_of
from tiny_graph import number_of, on_tiny_models

from tools.client import Client
from tools.make_streaming_models import CAUSAL_VAE
from tools.make_tiny_checkpoints import write_vae
from tools.steps import StepError
from wm_core.checkpoint import load_video_vae
from wm_core.rollout import eight_bit

pytestmark = pytest.mark.host
LENGTH, BLOCKS = 241, 10  # frames, blocks of 3 latents behind the first
STAGE_1_ALONE = ("Refiner", "Prompt for the refiner", "Refine", "Compare", "Report", "Curves")  # what is muted then


def example(folder, **refine):
    """The workflow on the tiny models, its camera back where it began; the draft is one and the same for all tests."""
    return on_tiny_models(
        "refine_and_compare",
        Camera={"actions": f"d-{LENGTH // 2},a-{LENGTH // 2}"},
        Generate={"length": LENGTH, "save_prefix": "second_stage/draft"},
        Refine={"save_prefix": f"{folder}/refined", **refine},
        Compare={"save_prefix": f"{folder}/compared"},
    )


def contents(folder, name="draft"):
    """Path -> (bytes, time of change) of the film of that name, its sidecar and its folder of work."""
    files = [path for path in (*folder.glob(f"{name}_*"), *folder.glob(f"{name}_*/*")) if path.is_file()]
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@dataclass(frozen=True)
class Run:
    graph: dict
    events: list
    outputs: dict
    output: Path
    draft_before: dict

    def shown(self, title):
        return self.outputs[number_of(self.graph, title)]

    def frames(self, name):
        return frames_of(self.output / name)


@pytest.fixture(scope="module")
def whole(server):
    """Stage 1 alone, then the whole example."""
    out = server.folders / "output"
    with Client(server.url) as client:
        client.upload_image(ROOT / "assets" / "start_picture.png")
        graph = example("second_stage")
        muted = {n: node for n, node in graph.items() if node["_meta"]["title"] not in STAGE_1_ALONE}
        list(client.follow(client.queue(muted)))
        before = contents(out / "second_stage")
        prompt_id = client.queue(graph)
        events = list(client.follow(prompt_id))
        history = client.history(prompt_id)
        assert history["status"]["status_str"] == "success", failure(events)
        return Run(graph, events, history["outputs"], out, before)


def texts(events, node):
    return [event.data["text"] for event in events if event.kind == "text" and event.data["node"] == node]


def test_every_frame_of_stage_1_is_there_refined(whole):
    (shown,) = whole.shown("Refine")["images"]
    assert shown == {"filename": "refined_00001_.mp4", "subfolder": "second_stage", "type": "output"}
    draft, refined = whole.frames("second_stage/draft_00001_.mp4"), whole.frames("second_stage/refined_00001_.mp4")
    assert draft.shape == refined.shape == (LENGTH, 64, 96, 3)
    moved = np.abs(draft.astype(float) - refined).mean((1, 2, 3))
    print(f"levels between both a frame: {moved[0]:.1f}, then {moved[1:].min():.1f} to {moved.max():.1f}")
    assert moved[1:].min() > 2 * moved[0], "only the first is the draft's, apart as far as coding noise twice takes it"
    assert texts(whole.events, number_of(whole.graph, "Refine"))[-1].startswith(f"{BLOCKS} blocks refined: ")


def test_stage_1_is_left_as_it_was(whole):
    """Not a byte of its film, sidecar and session is written again."""
    assert {path.suffix for path in whole.draft_before} >= {".mp4", ".json", ".safetensors"}
    assert contents(whole.output / "second_stage") == whole.draft_before


def test_both_are_compared_in_a_film_with_curves_and_figures(whole, client):
    (shown,) = whole.shown("Compare")["images"]
    compared = whole.frames(f"second_stage/{shown['filename']}")
    draft, refined = whole.frames("second_stage/draft_00001_.mp4"), whole.frames("second_stage/refined_00001_.mp4")
    assert compared.shape == (LENGTH, 64, 96, 3)
    middle = compared[16][40:, 6:40], compared[16][40:, 60:90]  # one second: the line stands in the middle
    for half, clip, other, columns in zip(middle, (draft, refined), (refined, draft), (slice(6, 40), slice(60, 90))):
        near, far = (np.abs(half.astype(float) - c[16][40:, columns]).mean() for c in (clip, other))
        assert near < far / 2, "stage 1 is left of the line, refined right of it"
    (picture,) = whole.shown("Curves")["images"]
    curves = np.array(Image.open(io.BytesIO(client.view(picture["filename"], picture["subfolder"], picture["type"]))))
    assert curves.shape[1] == 1120 and len(np.unique(curves.reshape(-1, 3), axis=0)) > 200
    (report,) = whole.shown("Report")["text"]
    error = ((draft.astype(float) - refined) ** 2).mean() / 255**2
    assert float(re.search(r"two: ([\d.]+) dB", report)[1]) == pytest.approx(-10 * np.log10(error), abs=0.06)
    assert report.startswith(f"{LENGTH} frames of 96 x 64")
    assert re.search(r"ratio [\d.]+\. Detail", report) and re.search(
        r"frames 0 and 240.* stage 1 -?[\d.]+, refined", report
    )


def test_a_cancelled_refinement_goes_on_and_ends_the_same(server, client, whole, tmp_path):
    graph = example("stopped")
    refine, words, kinds = number_of(graph, "Refine"), [], []
    for event in client.follow(client.queue(graph)):
        kinds.append(event.kind)
        if event.kind == "sana_wm.chunk" and event.data["node"] == refine and event.data["frames"][0] > 24:
            client.interrupt()
        words += texts([event], refine)
    assert "execution_interrupted" in kinds
    folder = server.folders / "output" / "stopped" / "refined_00001_refined"
    kept = [entry["tensors"] for entry in json.loads((folder / "refined.json").read_text())["blocks"]]
    assert 2 <= len(kept) < BLOCKS, "it was stopped in the middle"
    assert "stage 1 is untouched" in words[-1] and f"{len(kept)} of {BLOCKS} refined blocks are kept" in words[-1]
    assert not list(folder.parent.glob("*.mp4"))
    times = {name: (folder / name).stat().st_mtime_ns for name in kept}

    prompt_id = client.queue(graph)
    events = list(client.follow(prompt_id))
    assert client.history(prompt_id)["status"]["status_str"] == "success"
    assert number_of(graph, "Generate") in next(e.data["nodes"] for e in events if e.kind == "execution_cached")
    said = texts(events, refine)[-1]
    assert said.startswith(f"{BLOCKS} blocks refined, {len(kept)} of them in an earlier run: refined_00001_.mp4")
    assert times == {name: (folder / name).stat().st_mtime_ns for name in kept}, "no finished block is made again"
    blocks = json.loads((folder / "refined.json").read_text())["blocks"]
    assert len(blocks) == BLOCKS and [entry["tensors"] for entry in blocks[: len(kept)]] == kept
    again, once = (latents_of(output / "refined_00001_refined") for output in (folder.parent, whole.output / "second_stage"))
    assert again.shape == once.shape and np.abs(again - once).max() <= 2e-6
    pictures = [decoded(tmp_path, latents).astype(int) for latents in (again, once)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    apart = np.abs(
        frames_of(folder.parent / "refined_00001_.mp4").astype(int) - whole.frames("second_stage/refined_00001_.mp4")
    )
    print(f"stopped after {len(kept)} blocks; {apart.max()} levels from the undisturbed film")
    # latents are equal but for their last bit, for which x264 may choose another mode in a few blocks
    assert apart.mean() < 0.05 and (apart > 2).mean() < 1e-2


def latents_of(folder):
    """What the refiner made, of all blocks in order: (1, c, t, h, w)."""
    blocks = json.loads((folder / "refined.json").read_text())["blocks"]
    parts = [load_file(folder / entry["tensors"]) for entry in blocks]
    return np.concatenate([part["latents"] for part in parts], 2)


def decoded(folder, latents):
    """The pictures of latents by the server's tiny VAE, before x264 has seen them."""
    write_vae(folder, CAUSAL_VAE)
    vae = load_video_vae(folder / CAUSAL_VAE.path)
    with torch.no_grad():
        return eight_bit(vae.decode(torch.from_numpy(latents)))


def post(server, **prompt):
    """(status, answer) of POST /prompt."""
    body = json.dumps(prompt).encode()
    request = urllib.request.Request(f"{server.url}/prompt", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_missing_text_encoder_is_told_before_anything_runs(server, client, whole):
    """The host refuses what needs it; stage 1, which does not, is an output of its own that it would run."""
    graph = example("refused")
    refiner = number_of(graph, "Refiner")
    graph[refiner]["inputs"]["text_encoder"] = "gemma_3_12b"
    status, answer = post(server, prompt=graph, partial_execution_targets=[number_of(graph, "Refine")])
    assert status == 400
    (error,) = answer["node_errors"][refiner]["errors"]
    assert "gemma_3_12b is not in models/text_encoders; put it there" in error["details"]
    with pytest.raises(StepError, match=r"refused a part of it(?s:.)*gemma_3_12b is not in models/text_encoders"):
        client.queue(graph)
    deadline = time.monotonic() + 30
    while client._json("GET", "/queue")["queue_running"]:  # the server may have begun before it was told to stop
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not list((server.folders / "output").glob("refused/*.mp4")), "nothing was finished"


def test_another_view_refines_nothing_again(server, client, whole):
    graph = example("second_stage")
    graph[number_of(graph, "Compare")]["inputs"]["view"] = "side by side"
    before = contents(whole.output / "second_stage", "refined")
    prompt_id = client.queue(graph)
    list(client.follow(prompt_id))
    (shown,) = client.history(prompt_id)["outputs"][number_of(graph, "Compare")]["images"]
    assert whole.frames(f"second_stage/{shown['filename']}").shape == (LENGTH, 64, 2 * 96 + 4, 3)
    assert before and contents(whole.output / "second_stage", "refined") == before
