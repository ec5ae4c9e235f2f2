"""What a test does with the open camera editor, as a user would: buttons, keys, and dragging on its canvases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from browser.frontend_page import node_widget_value
from wm_core.camera import quaternion

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

EDITOR = "document.querySelector('.sana-wm-camera-editor').editor"
SELECTED = f"() => {EDITOR}.viewport.screen({EDITOR}.draft.key.position)"  # where the key is on the canvas
POSES = """async (text) => {
  const at = (name) => import(`/extensions/sana-wm/camera_editor/${name}.mjs`);
  const [{ read }, { keyframedPath }] = await Promise.all([at("document"), at("keyframes")]);
  return keyframedPath(read(text)).map(({ position, turn, fov }) => [position, turn, fov]);
}"""


def open_editor(page: Page) -> Locator:
    """Press the node's button; returns the dialog once it is there."""
    page.get_by_role("button", name="Edit camera path").click()
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    return dialog


def press(dialog: Locator, name: str) -> None:
    """Press one of the editor's buttons, by its name in labels.mjs."""
    dialog.locator(f"[data-name={name}]").click()


def choose_preset(page: Page, dialog: Locator, node: str, name: str) -> dict:
    """Apply a preset; returns the document once the node has it."""
    before = node_widget_value(page, node, "state")
    dialog.locator("[data-name=preset]").select_option(name)
    press(dialog, "apply")
    return changed(page, node, before)


def document_of(page: Page, node: str) -> dict:
    """The keyframe document that the node holds."""
    return json.loads(node_widget_value(page, node, "state"))


def changed(page: Page, node: str, before: str) -> dict:
    """The node's document once it is another one than `before`."""
    for _ in range(200):
        if node_widget_value(page, node, "state") != before:
            return document_of(page, node)
        page.wait_for_timeout(50)
    raise AssertionError("the node's keyframes did not change in 10 s")


def drag(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Press, move in small steps, let go."""
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 7):
        page.mouse.move(start[0] + by[0] * step / 6, start[1] + by[1] * step / 6)
    page.mouse.up()


def editor_poses(page: Page, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The path that the browser makes of a document: centres (f, 3), rotations (f, 3, 3), degrees of view (f,)."""
    position, turn, fov = (np.array(part) for part in zip(*page.evaluate(POSES, text), strict=True))
    return position, quaternion.to_rotation(turn), fov
