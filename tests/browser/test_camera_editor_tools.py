"""What is in the camera editor beside drawing: presets, files, the clipboard, numbers, warnings, the scene, and good manners."""

import json
import time

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.camera_editor_page import EDITOR, changed, choose_preset, document_of, editor_poses, open_editor, press
from browser.frontend_page import add_node, connect, node_widget_value, open_frontend, queue
from wm_core.camera import export_path, preset_path

pytestmark = [
    pytest.mark.host,
    pytest.mark.parametrize("mode", ["vue"]),
    pytest.mark.parametrize("frontend", ["pinned"]),
]
SIZE = (704, 1280)
GAMEPAD = "() => { navigator.getGamepads = () => [{ axes: [0, -1, 0.9, 0] }]; }"
CONTEXTS = """() => {
  const made = HTMLCanvasElement.prototype.getContext;
  window.contexts = { made: 0, lost: 0 };
  HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    const isNew = kind.startsWith("webgl") && !this.seen;
    const context = made.call(this, kind, ...rest);
    if (isNew && context) {
      this.seen = true;
      window.contexts.made += 1;
      this.addEventListener("webglcontextlost", () => (window.contexts.lost += 1));
    }
    return context;
  };
}"""


def test_presets_numbers_and_the_clipboard_make_exact_keys(page, node, dialog, screenshot):
    orbit = choose_preset(page, dialog, node, "orbit-right")
    assert [key["frame"] for key in orbit["keys"]] == [0, 160] and orbit["keys"][0]["easing"] == "smooth"
    dialog.locator(".keys button").nth(1).click()
    for label, value in (("Right (m)", "1.25"), ("Yaw (°)", "-40.5"), ("Focal length (mm)", "24"), ("Time (s)", "9")):
        field = dialog.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Tab")
    last = document_of(page, node)["keys"][1]
    assert (last["position"][0], last["yaw"], last["frame"]) == (1.25, -40.5, 144)
    assert last["fov"] == pytest.approx(np.degrees(2 * np.arctan(18 / 24)), abs=1e-9)

    dialog.get_by_text("Handles of the curve").click()
    field = dialog.get_by_label("Arrives: ahead (m)", exact=True)
    field.fill("-0.75")
    field.press("Tab")
    assert document_of(page, node)["keys"][1]["arrives"][2] == -0.75
    last = document_of(page, node)["keys"][1]

    press(dialog, "copy")
    dialog.get_by_role("slider", name="Frame shown").focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("PageUp")
    press(dialog, "paste")
    keys = document_of(page, node)["keys"]
    assert [key["frame"] for key in keys] == [0, 48, 144]
    assert {name: v for name, v in keys[1].items() if name != "frame"} == {n: v for n, v in last.items() if n != "frame"}
    page.keyboard.press("Delete")
    assert [key["frame"] for key in document_of(page, node)["keys"]] == [0, 144]
    screenshot("numbers")


def test_a_file_is_read_and_a_damaged_one_says_so_and_changes_nothing(page, node, dialog, tmp_path, errors):
    path = preset_path("crane-up", frames=81, size=SIZE, fov_deg=70)
    export_path(path, tmp_path / "path.txt", format="tum")
    before = node_widget_value(page, node, "state")
    dialog.locator("input[type=file]").set_input_files(tmp_path / "path.txt")
    document = changed(page, node, before)
    assert document["frames"] == 81 == node_widget_value(page, node, "length")
    centre, rotation, _ = editor_poses(page, json.dumps(document))
    assert np.abs(centre - path.c2w[:, :3, 3]).max() < 0.011
    assert np.abs(rotation - path.c2w[:, :3, :3]).max() < 0.0051

    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00 nothing")
    dialog.locator("input[type=file]").set_input_files(tmp_path / "bad.npy")
    status = dialog.locator(".status.error")
    status.wait_for()
    assert ".npy" in status.text_content()
    assert document_of(page, node) == document
    assert len(errors) == 1 and "400 (Bad Request)" in errors.pop()


def test_the_camera_sees_the_points_of_the_depth_map_and_warnings_stand_where_they_are(
    page, node, servers, frontend, errors, screenshot
):
    height, width = 80, 160
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = (250, 30, 30), (30, 30, 250)
    for name, pixels in (("scene.png", picture), ("depth.png", np.full_like(picture, 128))):
        Image.fromarray(pixels).save(servers[frontend].folders / "input" / name)
    for name, slot, pos in (("scene.png", "image", (60, 120)), ("depth.png", "depth", (60, 520))):
        connect(page, add_node(page, "LoadImage", pos, image=name), "IMAGE", node, slot)
    history = queue(page)
    assert history["outputs"][node]["sana_wm_camera"][0]["depth"]["width"] == width
    dialog = open_editor(page)
    page.wait_for_function(f"() => {EDITOR}.world.depth")
    page.wait_for_timeout(300)
    left, right = _colours(page)
    assert left[0] > 200 and left[2] < 60, left
    assert right[2] > 200 and right[0] < 60, right

    choose_preset(page, dialog, node, "dolly-in")
    before = node_widget_value(page, node, "state")
    dialog.locator(".keys button").nth(1).click()
    field = dialog.get_by_label("Ahead (m)", exact=True)
    field.fill("15")
    field.press("Tab")
    changed(page, node, before)
    dialog.locator(".warnings .warning").nth(1).wait_for()
    warnings = dialog.locator(".warnings .warning").all_text_contents()
    assert any("a frame; known paths have" in text for text in warnings), warnings
    assert any("goes into what the first picture shows" in text for text in warnings), warnings
    dialog.locator(".warnings .warning button").first.click()
    expect(dialog.get_by_role("slider", name="Frame shown")).not_to_have_attribute("aria-valuenow", "0")
    screenshot("warnings")


def _colours(page) -> list[list[int]]:
    """Of the through-the-camera view, in the middle of its left and right half."""
    return page.evaluate(f"""() => {{
      const {{ through }} = {EDITOR};
      const pen = through.getContext("2d");
      return [0.25, 0.75].map((x) => [...pen.getImageData(through.width * x, through.height / 2, 1, 1).data]);
    }}""")


def test_a_hidden_page_does_not_go_on_playing(page, node, dialog):
    press(dialog, "play")
    page.wait_for_function(f"() => {EDITOR}.draft.frame > 0")
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    assert dialog.locator("[data-name=play]").text_content() == "Play"
    at = page.evaluate(f"() => {EDITOR}.draft.frame")
    page.wait_for_timeout(300)
    assert page.evaluate(f"() => {EDITOR}.draft.frame") == at


def test_a_gamepad_flies_and_a_flight_becomes_an_actions_node(page, node, dialog):
    page.evaluate(GAMEPAD)
    before = node_widget_value(page, node, "state")
    press(dialog, "record")
    page.wait_for_timeout(800)
    page.keyboard.press("Escape")
    changed(page, node, before)
    actions = dialog.locator("[data-name=actions]").input_value()
    assert actions.startswith("dw-")
    press(dialog, "toNode")
    texts = page.evaluate(
        "() => app.graph.nodes.filter((n) => n.type === 'SanaWMCameraFromActions').map((n) => n.widgets[0].value)"
    )
    assert texts == [actions]


def test_a_path_that_comes_in_is_where_editing_begins_and_is_not_written_over(page, node):
    preset = add_node(page, "SanaWMCameraPreset", (60, 120), preset="pan-left", frames=49)
    connect(page, preset, "camera", node, "camera_in")
    queue(page)
    assert node_widget_value(page, node, "state") == ""
    dialog = open_editor(page)
    page.wait_for_function(f"() => {EDITOR}.draft.document.keys.length > 1")  # what the run told has come
    press(dialog, "close")
    assert node_widget_value(page, node, "state") == "", "looking changes nothing"
    dialog = open_editor(page)
    press(dialog, "clear")
    assert len(document_of(page, node)["keys"]) == 1
    press(dialog, "reseed")
    assert node_widget_value(page, node, "state") == "", "it goes through as it is"
    assert dialog.locator(".keys button").count() > 2
    dialog.locator("#sana-wm-roll").fill("5")
    press(dialog, "close")
    assert document_of(page, node)["frames"] == 49 and len(document_of(page, node)["keys"]) > 2


def test_it_opens_at_once_keeps_keys_and_wheel_to_itself_and_gives_its_context_back(page, node, errors):
    page.evaluate(CONTEXTS)
    view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset, app.graph.nodes.length]"
    before = page.evaluate(view)
    opened = []
    for _ in range(3):
        start = time.perf_counter()
        dialog = open_editor(page)
        dialog.locator(".curves").wait_for()
        opened.append(time.perf_counter() - start)
        box = dialog.locator("canvas.main").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, 400)
        for key in ("Delete", "Control+c", "Control+v", "r", "Escape", "w", "Control+m", "h"):
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        assert page.evaluate(view) == before
    assert min(opened) < 1, opened  # other tests share the processor
    assert page.evaluate("() => window.contexts.made") <= 2
    page.evaluate("() => app.graph.remove(app.graph.nodes[0])")
    page.wait_for_function("() => window.contexts.made === window.contexts.lost || !window.contexts.made")


def test_the_keyboard_reaches_everything_and_all_of_it_has_a_name(page, node, dialog):
    unnamed = page.evaluate("""() => {
      const root = document.querySelector(".sana-wm-camera-editor").shadowRoot;
      const name = (each) => each.ariaLabel || each.labels?.[0]?.textContent || each.textContent || each.title;
      const all = [...root.querySelectorAll("button, select, input, canvas.main, [role=slider]")];
      return all.filter((each) => !each.closest("[hidden]") && !each.hidden && !name(each).trim()).map((each) => each.outerHTML);
    }""")
    assert unnamed == []
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.querySelector('.sana-wm-camera-editor').shadowRoot.activeElement?.outerHTML"))
    seen = " ".join(filter(None, reached))
    assert all(name in seen for name in ('data-name="close"', 'id="sana-wm-yaw"', 'id="sana-wm-timing"', 'class="playhead"'))


def test_it_speaks_the_frontends_language(page, servers, frontend, mode):
    settings = f"{servers[frontend].url}/settings"
    page.request.post(settings, data={"Comfy.Locale": "ja"})
    try:
        open_frontend(page, servers[frontend].url, mode)
        add_node(page, "SanaWMCameraEditor", (480, 120))
        page.get_by_role("button", name="カメラパスを編集").click()
        page.get_by_role("dialog", name="カメラパス").wait_for()
    finally:
        page.request.post(settings, data={"Comfy.Locale": "en"})
