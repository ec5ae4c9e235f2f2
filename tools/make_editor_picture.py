"""Make assets/camera_editor.jpg: the camera editor over its example workflow, after a run, in a real browser.

python3 dev.py test sets up what this needs; then .venv/bin/python -m tools.make_editor_picture
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from PIL import Image

from . import browser, host
from .environment import ROOT
from .make_workflows import FOLDER
from .server import Server

FILE = ROOT / "assets" / "camera_editor.jpg"
WORKFLOW = FOLDER / "camera_editor.json"
VIEWPORT = {"width": 1440, "height": 860}
QUALITY = 88
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.VueNodes.Enabled": True}
LOADED = "() => window.app?.extensionManager?.workflow?.activeWorkflow && window.app.canvas"
SHOWN = "() => document.querySelector('.sana-wm-camera-editor')?.editor.world.picture"
AT_SECONDS = 3.0  # of the path
GO_TO = "(frame) => document.querySelector('.sana-wm-camera-editor').editor.draft.goTo(frame)"


def main() -> None:
    from playwright.sync_api import sync_playwright

    found = browser.noted("chromium")
    if not found.path:
        sys.exit(f"no Chromium: {found.missing}")
    ready = host.prepare("test")
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    fps = 16
    with Server(ready.folder) as server, sync_playwright() as playwright:
        arguments = ("--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader")
        chromium = playwright.chromium.launch(executable_path=found.path, args=arguments)
        page = chromium.new_page(viewport=VIEWPORT)
        page.request.post(f"{server.url}/settings", data=SETTINGS)
        page.goto(server.url)
        page.wait_for_function(LOADED, timeout=60_000)
        page.evaluate("(graph) => app.loadGraphData(graph)", workflow)
        page.get_by_role("button", name="Edit camera path").dispatch_event("click")  # it may lie outside of the view
        page.wait_for_function(SHOWN, timeout=30_000)
        page.evaluate(GO_TO, round(AT_SECONDS * fps))
        page.locator(".warnings li").first.wait_for()
        page.wait_for_timeout(1000)
        dialog = page.locator("dialog[open]")
        picture = Image.open(io.BytesIO(dialog.screenshot())).convert("RGB")
        chromium.close()
    write(picture, FILE)


def write(picture: Image.Image, file: Path) -> None:
    picture.save(file, quality=QUALITY, optimize=True)
    print(f"{file.relative_to(ROOT)}: {picture.width} x {picture.height}, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
