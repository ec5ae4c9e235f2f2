"""ComfyUI's frontend in a headless Chromium, as tests drive it and as pictures of it are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARGUMENTS = (
    "--no-sandbox",  # there is none for root in a container
    "--disable-gpu",  # the page by the processor, which is faster than a graphics card played by the processor
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the dialog of templates covers the page
    "Comfy.ConfirmClear": False,
    "Comfy.Minimap.Visible": False,  # it is drawn all the time, which is slow without a graphics card
    "Comfy.Notification.ShowVersionUpdates": False,
}
BEFORE_LOADING = "localStorage.setItem('vueNodesBannerDismissed', 'true')"  # 1.32: a banner above the canvas
LOADED = "() => window.app?.extensionManager?.workflow?.activeWorkflow && window.app.canvas"
SECONDS_TO_LOAD = 60


def load_frontend(page: Page, url: str, *, in_vue: bool) -> None:
    """Load the frontend of a running server, with nodes as Vue components or drawn on the canvas, and wait for its graph."""
    answer = page.request.post(f"{url}/settings", data={**SETTINGS, "Comfy.VueNodes.Enabled": in_vue})
    assert answer.ok, answer.status_text
    page.add_init_script(BEFORE_LOADING)
    page.goto(url)
    page.wait_for_function(LOADED, timeout=SECONDS_TO_LOAD * 1000)
