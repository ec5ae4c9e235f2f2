"""The film of a rollout is played in its node when it is done, in the place of the pictures that came while it was made."""

import json

import pytest
from cases import ROOT

from browser import frontend_page
from browser.frontend_page import queue

pytestmark = pytest.mark.host
VIDEOS = """() => [...document.querySelectorAll("video")].map((v) => [new URL(v.src).searchParams.get("filename"), v.readyState])"""
PICTURES = """(id) => [...document.querySelectorAll(`[data-node-id="${id}"] img`)].filter((img) => img.naturalWidth).length"""


@pytest.mark.parametrize("mode", ["vue"])
def test_the_film_of_a_finished_run_plays_and_the_live_picture_is_gone(page, frontend, screenshot, monkeypatch):
    monkeypatch.setattr(frontend_page, "SECONDS_TO_RUN", 180)
    graph = json.loads((ROOT / "example_workflows" / "camera_editor.json").read_text(encoding="utf-8"))
    (generate,) = [node for node in graph["nodes"] if node["type"] == "SanaWMGenerate"]
    page.evaluate("(graph) => app.loadGraphData(graph)", graph)
    page.evaluate("() => { app.canvas.ds.scale = 0.5; app.canvas.setDirty(true, true); }")
    for _ in ("made", "taken as it is there"):
        history = queue(page)
        (film,) = [picture["filename"] for picture in history["outputs"][str(generate["id"])]["images"]]
        page.wait_for_function(f"() => ({VIDEOS})().some(([name, state]) => name === '{film}' && state > 0)")
        page.wait_for_function(f"(id) => ({PICTURES})(id) === 0", arg=str(generate["id"]))
    screenshot("film")
