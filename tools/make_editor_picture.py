"""Make assets/camera_editor.jpg: the camera editor over its example workflow, in a real browser.

python3 dev.py test sets up what this needs; then .venv/bin/python -m tools.make_editor_picture
"""

from __future__ import annotations

import io
import json
import sys

from PIL import Image

from . import browser, host
from .environment import ROOT
from .headless import ARGUMENTS, load_frontend
from .make_workflows import FOLDER
from .server import Server

FILE = ROOT / "assets" / "camera_editor.jpg"
WORKFLOW = FOLDER / "camera_editor.json"
VIEWPORT = {"width": 1440, "height": 860}
QUALITY = 88
SHOWN = "() => document.querySelector('.sana-wm-camera-editor')?.editor.world.picture"
FRAME = 48  # of the path
GO_TO = "(frame) => document.querySelector('.sana-wm-camera-editor').editor.draft.goTo(frame)"


def main() -> None:
    from playwright.sync_api import sync_playwright

    found = browser.noted("chromium")
    if not found.path:
        sys.exit(f"no Chromium: {found.missing}")
    ready = host.prepare("test")
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    with Server(ready.folder) as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found.path, args=ARGUMENTS)
        page = chromium.new_page(viewport=VIEWPORT)
        load_frontend(page, server.url, in_vue=True)
        page.evaluate("(graph) => app.loadGraphData(graph)", workflow)
        page.get_by_role("button", name="Edit camera path").dispatch_event("click")  # it may lie outside of the view
        page.wait_for_function(SHOWN, timeout=30_000)
        page.evaluate(GO_TO, FRAME)
        page.locator(".warnings li").first.wait_for()
        page.wait_for_timeout(1000)
        dialog = page.locator("dialog[open]")
        picture = Image.open(io.BytesIO(dialog.screenshot())).convert("RGB")
        chromium.close()
    picture.save(FILE, quality=QUALITY, optimize=True)
    print(f"{FILE.relative_to(ROOT)}: {picture.width} x {picture.height}, {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
