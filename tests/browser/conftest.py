"""A real ComfyUI server and a real Chromium: each test gets a page of the frontend, in all its kinds.

Kinds are the frontend, the one pinned with the host or the newest one, and the mode of nodes: drawn on the canvas
("classic") or Vue components ("vue"). A test takes one of them with `@pytest.mark.parametrize("mode", ["vue"])`.
Servers and browser end with the last test of this folder: Playwright's event loop would be in the way of others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_parts import needed

from browser.camera_editor_page import open_editor
from browser.frontend_page import MODES, add_node, open_frontend
from browser.known_errors import collect_errors
from tools import browser as browser_setup
from tools import host
from tools.environment import STATE, has_accelerator
from tools.headless import ARGUMENTS
from tools.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SCREENSHOTS = STATE / "screenshots"
VIEWPORT = {"width": 1600, "height": 900}


@pytest.fixture(params=["pinned", "newest"])
def frontend(request) -> str:
    return request.param


@pytest.fixture(params=list(MODES))
def mode(request) -> str:
    return request.param


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = needed("chromium")
    host.prepare("test")  # brings Playwright
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def servers(request, tmp_path_factory) -> Iterator[dict[str, Server]]:
    """A running server for each frontend that the chosen tests ask for and set-up could get; started side by side."""
    ready = host.prepare("test")
    arguments: dict[str, tuple[str, ...]] = {"pinned": ()}
    newest = browser_setup.noted("newest frontend").path
    if newest:
        arguments["newest"] = ("--front-end-root", newest)
    chosen = {item.callspec.params.get("frontend") for item in request.session.items if hasattr(item, "callspec")}
    made = {}
    for name in chosen & set(arguments):
        folders = tmp_path_factory.mktemp(f"comfyui-{name}")
        made[name] = Server(ready.folder, folders=folders, log=folders / "server.log", arguments=arguments[name])
    has_accelerator(Path(sys.executable))  # remembered in a file, which two servers must not write at once
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        for server in made.values():
            stack.callback(server.stop)
        list(pool.map(Server.start, made.values()))
        yield made


@pytest.fixture
def errors() -> list[str]:
    """Errors of the page that are not the frontend's own. A test that provokes some takes them out of the list."""
    return []


@pytest.fixture
def page(browser, servers, frontend, mode, errors) -> Iterator[Page]:
    """The frontend with an empty graph. The test fails if errors are left when it ends."""
    if frontend == "newest":
        needed("newest frontend")
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    collect_errors(page, errors)
    open_frontend(page, servers[frontend].url, mode)
    yield page
    context.close()
    assert not errors, "errors in the browser's console:\n" + "\n".join(errors)


@pytest.fixture
def screenshot(page, frontend, mode) -> Callable[[str], Path]:
    """screenshot("name") saves what is seen in .host/screenshots, for people to look at; returns the file."""

    def save(name: str) -> Path:
        file = SCREENSHOTS / f"{frontend}-{mode}-{name}.png"
        page.screenshot(path=file)
        return file

    return save


@pytest.fixture
def node(page) -> str:
    """A camera editor's node in the empty graph."""
    return add_node(page, "SanaWMCameraEditor", (480, 120))


@pytest.fixture
def dialog(page, node) -> Locator:
    """The open editor of `node`."""
    return open_editor(page)
