"""The pack in the frontends that people have: its nodes are there, and what a node draws is seen."""

import pytest
from cases import ROOT

from browser.frontend_page import add_node, connect, node_types, node_widget_value, queue, wait_for_picture
from browser.known_errors import collect_errors, is_known

pytestmark = pytest.mark.host
WEBGL = "() => document.createElement('canvas').getContext('webgl2')?.getParameter(WebGL2RenderingContext.VERSION)"


def test_a_camera_is_previewed_and_nothing_goes_wrong(page, screenshot):
    documented = {file.stem for file in (ROOT / "web" / "docs").glob("SanaWM*.md")}
    assert documented <= node_types(page)
    preset = add_node(page, "SanaWMCameraPreset", (80, 120), preset="orbit-left", frames=33)
    preview = add_node(page, "SanaWMCameraPreview", (620, 120))
    connect(page, preset, "camera", preview, "camera")
    assert node_widget_value(page, preset, "frames") == 33
    history = queue(page)
    assert history["status"]["status_str"] == "success", history["status"]
    (picture,) = history["outputs"][preview]["images"]
    assert picture["filename"].endswith(".png")
    assert wait_for_picture(page, preview) == [1024, 576]
    screenshot("camera-preview")


def test_the_browser_draws_in_three_dimensions(browser):
    page = browser.new_page()
    assert "WebGL 2.0" in (page.evaluate(WEBGL) or "no WebGL")
    page.close()


def test_what_goes_wrong_in_a_page_is_collected(browser, errors):
    page = browser.new_page()
    collect_errors(page, errors)
    page.set_content("<script>console.warn('no'); console.error('logged'); throw new Error('thrown')</script>")
    assert len(errors) == 2 and errors[0].startswith("logged") and errors[1].startswith("thrown")
    page.close()


def test_errors_of_an_extension_are_never_known():
    error = "TypeError: Cannot read properties of undefined (reading 'id')\n at {} at {}"
    core = "http://127.0.0.1:1/assets/index.js:58:2"
    assert is_known(error.format(core, core))
    assert not is_known(error.format("http://127.0.0.1:1/extensions/sana-wm/sana_wm.js:9:1", core))
    assert not is_known(
        "Failed to load resource: the server responded with a status of 500 () at http://127.0.0.1:1/api/x"
    )
