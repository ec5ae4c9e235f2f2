"""The camera editor as a user has it: fly, draw, undo, save, load again, queue; the server's camera is the one that was drawn."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.camera_editor_page import (
    SELECTED,
    changed,
    document_of,
    drag,
    editor_poses,
    open_editor,
    press,
)
from browser.frontend_page import add_node, connect, node_widget_value, queue
from wm_core.camera import field_of_view_deg, keyframed_path, load_path, parse_actions, read_keyframes

pytestmark = pytest.mark.host
SAVE = """async () => {
  const text = JSON.stringify(app.graph.serialize());
  await app.loadGraphData(JSON.parse(text));
  return text;
}"""


def held_for(page, key, milliseconds):
    page.keyboard.down(key)
    page.wait_for_timeout(milliseconds)
    page.keyboard.up(key)


def fly(page, dialog, node) -> dict:
    """Record w, then d; returns the document that comes of it."""
    before = node_widget_value(page, node, "state")
    press(dialog, "record")
    held_for(page, "w", 1400)
    held_for(page, "d", 900)
    page.keyboard.press("Escape")
    return changed(page, node, before)


def test_a_path_is_flown_drawn_undone_saved_loaded_and_queued(page, node, servers, frontend, mode, screenshot):
    dialog = open_editor(page)
    flown = fly(page, dialog, node)
    actions = dialog.locator("[data-name=actions]").input_value()
    held = [set(segment.keys) for segment in parse_actions(actions) if segment.keys]
    assert held == [{"w"}, {"d"}], actions
    assert flown["frames"] % 8 == 1 and flown["frames"] > sum(s.frames for s in parse_actions(actions))
    assert node_widget_value(page, node, "length") == flown["frames"]
    screenshot("flown")

    playhead = dialog.get_by_role("slider", name="Frame shown")
    playhead.focus()
    page.keyboard.press("End")
    expect(playhead).to_have_attribute("aria-valuenow", str(flown["frames"] - 1))
    page.keyboard.press("Home")
    at = flown["keys"][1]["frame"] // 2  # where no key is yet
    for _ in range(at):
        page.keyboard.press("ArrowRight")
    expect(playhead).to_have_attribute("aria-valuenow", str(at))
    page.keyboard.press("k")
    added = document_of(page, node)
    assert len(added["keys"]) == len(flown["keys"]) + 1 and at in [key["frame"] for key in added["keys"]]

    moved = _dragged(page, dialog, node)
    assert moved["keys"] != added["keys"] and len(moved["keys"]) == len(added["keys"])
    screenshot("dragged")
    page.keyboard.press("Control+z")
    assert document_of(page, node)["keys"] == added["keys"]
    page.keyboard.press("Control+Shift+z")
    assert document_of(page, node)["keys"] == moved["keys"]

    press(dialog, "close")
    text = node_widget_value(page, node, "state")
    saved = json.loads(page.evaluate(SAVE))
    held = next(n for n in saved["nodes"] if n["type"] == "SanaWMCameraEditor")
    assert text in held["widgets_values"] and node_widget_value(page, node, "state") == text
    dialog = open_editor(page)
    assert dialog.locator(".keys button").count() == len(moved["keys"])
    screenshot("opened-again")
    press(dialog, "close")
    _check_server_has(page, node, servers[frontend].folders / "output", f"cameras/{mode}", text)


def _dragged(page, dialog, node) -> dict:
    """Drag the selected key by the middle of its gizmo."""
    before = node_widget_value(page, node, "state")
    press(dialog, "frameAll")
    page.wait_for_timeout(300)
    box = dialog.locator("canvas.main").bounding_box()
    x, y = page.evaluate(SELECTED)
    drag(page, (box["x"] + x, box["y"] + y), (40, -60))
    return changed(page, node, before)


def _check_server_has(page, node, output, prefix, text):
    """The camera that the server makes of the queued graph is the one that the browser drew, to 1e-6."""
    save = add_node(page, "SanaWMCameraSave", (1100, 120), filename_prefix=prefix)
    connect(page, node, "camera", save, "camera")
    history = queue(page)
    assert history["status"]["status_str"] == "success", history["status"]
    (file,) = output.glob(f"{prefix}*.safetensors")
    path = load_path(file)
    centre, rotation, fov = editor_poses(page, text)
    assert len(centre) == path.frames
    assert np.abs(path.c2w[:, :3, 3] - centre).max() < 1e-6
    assert np.abs(path.c2w[:, :3, :3] - rotation).max() < 1e-6
    assert (
        np.abs([field_of_view_deg(row, path.size)[0] for row in path.intrinsics.astype(np.float64)] - fov).max() < 2e-5
    )
    assert np.array_equal(keyframed_path(read_keyframes(text)).c2w, path.c2w)
    assert np.abs(path.c2w[-1, :3, 3]).max() > 0.1, "the flight went somewhere"
