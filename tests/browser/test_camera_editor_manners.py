"""What a user would be angry about: a view that does not turn, work that is lost, a node that cannot be opened again."""

import json
from itertools import pairwise

import pytest

from browser.camera_editor_page import EDITOR, SELECTED, changed, choose_preset, document_of, drag, open_editor, press
from browser.frontend_page import add_node, connect, node_widget_value, queue
from wm_core.camera import export_path, preset_path

pytestmark = [
    pytest.mark.host,
    pytest.mark.parametrize("mode", ["vue"]),
    pytest.mark.parametrize("frontend", ["newest"]),
]
EYE = f"() => {EDITOR}.viewport.eye.position.toArray()"


def middle(dialog) -> tuple[float, float]:
    box = dialog.locator("canvas.main").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_view_turns_and_comes_nearer_before_and_after_a_click(page, node, dialog):
    x, y = middle(dialog)
    seen = [page.evaluate(EYE)]
    drag(page, (x + 200, y + 120), (90, 40))
    seen.append(page.evaluate(EYE))
    page.mouse.click(x + 220, y + 140)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(200)
    seen.append(page.evaluate(EYE))
    for before, after in pairwise(seen):
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.05, seen
    assert node_widget_value(page, node, "state") == "", "looking changes nothing"


def test_a_drag_that_is_broken_off_did_not_happen(page, node, dialog):
    x, y = page.evaluate(SELECTED)
    box = dialog.locator("canvas.main").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(box["x"] + x + 10 * step, box["y"] + y - 10 * step)
    assert page.evaluate(f"() => {EDITOR}.draft.key.position.some((value) => value !== 0)")
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.evaluate(f"() => {EDITOR}.draft.key.position.every((value) => value === 0)")
    assert dialog.is_visible() and node_widget_value(page, node, "state") == ""


def test_a_flight_survives_undo_and_close(page, node, dialog):
    press(dialog, "record")
    page.keyboard.down("w")
    page.wait_for_timeout(500)
    page.keyboard.press("Control+z")
    page.wait_for_timeout(300)
    page.keyboard.up("w")
    assert dialog.is_visible(), "the graph was not put back"
    before = node_widget_value(page, node, "state")
    press(dialog, "close")
    assert changed(page, node, before)["frames"] > 1
    press(dialog, "close")
    dialog.wait_for(state="detached")


def test_keys_do_not_reach_the_graph_when_nothing_has_the_focus(page, node, dialog):
    choose_preset(page, dialog, node, "pan-left")
    press(dialog, "undo")
    page.evaluate(f"() => {EDITOR}.host.shadowRoot.activeElement?.blur()")
    assert page.evaluate("() => document.activeElement === document.body")
    for key in ("Control+z", "w", "m", "Control+v"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert dialog.is_visible() and page.evaluate("() => app.graph.nodes.length") == 1
    page.keyboard.press("Control+Shift+z")
    assert len(document_of(page, node)["keys"]) == 2


def test_a_point_at_the_camera_is_refused_in_words_and_the_node_opens_again(page, node, dialog, errors):
    dialog.locator("#sana-wm-pivot").check()
    field = dialog.locator("#sana-wm-pivot_z")
    field.fill("0")
    field.press("Tab")
    warning = dialog.locator(".warnings .warning")
    warning.filter(has_text="point").wait_for()
    press(dialog, "close")
    dialog = open_editor(page)
    dialog.locator(".warnings .warning").filter(has_text="point").wait_for()
    field = dialog.locator("#sana-wm-pivot_z")
    field.fill("4")
    field.press("Tab")
    dialog.locator(".warnings .fine").wait_for()
    assert all("400 (Bad Request)" in error for error in errors)
    errors.clear()


def test_what_is_exported_comes_back_as_it_was(page, node, dialog, tmp_path):
    choose_preset(page, dialog, node, "orbit-left")
    dialog.locator("#sana-wm-timing").select_option("even")
    before = document_of(page, node)
    with page.expect_download() as download:
        press(dialog, "save_file")
    download.value.save_as(tmp_path / "camera.json")
    press(dialog, "clear")
    state = node_widget_value(page, node, "state")
    dialog.locator("input[type=file]").set_input_files(tmp_path / "camera.json")
    assert changed(page, node, state) == before
    assert json.loads((tmp_path / "camera.json").read_text()) == before


def test_an_editor_without_a_run_says_what_to_do_and_undone_edits_let_the_path_through_again(page, node):
    preset = add_node(page, "SanaWMCameraPreset", (60, 120), preset="pan-left", frames=49)
    connect(page, preset, "camera", node, "camera_in")
    dialog = open_editor(page)
    assert "Run the graph once" in dialog.locator(".status.error").text_content()
    queue(page)
    page.wait_for_function(f"() => {EDITOR}.draft.document.keys.length > 1")
    press(dialog, "add")
    page.keyboard.press("Home")
    field = dialog.get_by_label("Right (m)", exact=True)
    field.fill("1")
    field.press("Tab")
    assert node_widget_value(page, node, "state") != ""
    while dialog.locator("[data-name=undo]").is_enabled():
        press(dialog, "undo")
    assert node_widget_value(page, node, "state") == ""


DROP = """async ([name, bytes]) => {
  const { dialog } = document.querySelector(".sana-wm-camera-editor").editor;
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
  const shown = [];
  for (const kind of ["dragenter", "dragover", "drop"]) {
    dialog.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true, composed: true }));
    shown.push(dialog.classList.contains("is-dropping"));
  }
  return shown;
}"""


def test_a_file_is_dropped(page, node, dialog, tmp_path):
    path = preset_path("dolly-in", frames=41, size=(704, 1280), fov_deg=70)
    export_path(path, tmp_path / "path.npy", format="npy")
    nodes = page.evaluate("() => app.graph.nodes.length")
    before = node_widget_value(page, node, "state")
    assert page.evaluate(DROP, ["path.npy", list((tmp_path / "path.npy").read_bytes())]) == [False, True, False]
    document = changed(page, node, before)
    assert document["frames"] == 41 and document["keys"][-1]["position"][2] == pytest.approx(path.c2w[-1, 2, 3], abs=0.01)
    assert page.evaluate("() => app.graph.nodes.length") == nodes, "the graph did not take the file"


def test_a_key_is_copied_to_another_frame_by_the_keyboard(page, node, dialog):
    choose_preset(page, dialog, node, "orbit-right")
    dialog.locator(".keys button").nth(1).click()
    page.keyboard.press("Control+c")
    dialog.get_by_role("slider", name="Frame shown").focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    page.keyboard.press("Control+v")
    keys = document_of(page, node)["keys"]
    assert [key["frame"] for key in keys] == [0, 16, 160] and keys[1]["position"] == keys[2]["position"]
    assert page.evaluate("() => app.graph.nodes.length") == 1


def test_the_eye_flies_while_a_key_is_held(page, node, dialog):
    press(dialog, "fly")
    page.mouse.click(*middle(dialog))
    start = page.evaluate(EYE)
    page.keyboard.down("w")
    page.wait_for_function(f"(start) => Math.hypot(...({EYE})().map((value, i) => value - start[i])) > 0.3", arg=start)
    page.keyboard.up("w")
    page.wait_for_function(f"() => !{EDITOR}.viewport.isMoving")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    there = page.evaluate(EYE)
    page.wait_for_timeout(200)
    assert page.evaluate(EYE) == there, "it stops when the key is let go"
    assert node_widget_value(page, node, "state") == ""


def test_the_gizmo_s_rings_turn_the_key_and_leave_it_in_its_place(page, node, dialog):
    press(dialog, "turn")
    page.wait_for_timeout(200)
    x, y = page.evaluate(SELECTED)
    box = dialog.locator("canvas.main").bounding_box()
    before = node_widget_value(page, node, "state")
    drag(page, (box["x"] + x + 6, box["y"] + y + 6), (60, 10))
    (key,) = changed(page, node, before)["keys"]
    assert "position" not in key and max(abs(key.get(name, 0)) for name in ("yaw", "pitch", "roll")) > 5
