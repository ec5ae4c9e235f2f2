"""What a test does with a page of the frontend: nodes, widgets, runs, through `window.app` as extensions see it.

`tools.client` cannot be used beside these: Playwright runs an event loop of its own in the same thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tools.headless import load_frontend

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODES = {"classic": False, "vue": True}
SECONDS_TO_RUN = 60

EMPTY = """async () => {
  await app.extensionManager.command.execute("Comfy.ClearWorkflow");
  app.canvas.ds.reset();
}"""
ADD = """([type, pos, widgets]) => {
  const node = LiteGraph.createNode(type);
  if (!node) throw new Error(`no node type ${type}`);
  node.pos = pos;
  app.graph.add(node);
  for (const [name, value] of Object.entries(widgets)) {
    const widget = node.widgets.find((widget) => widget.name === name);
    widget.value = value;
    widget.callback?.(value);
  }
  return String(node.id);
}"""
NODE = "app.graph.nodes.find((node) => String(node.id) === id)"  # ids are numbers, in newer frontends strings
CONNECT = f"""([from, output, to, input]) => {{
  const find = (id) => {NODE};
  const slot = (slots, name) => slots.findIndex((slot) => slot.name === name);
  const [source, target] = [find(from), find(to)];
  source.connect(slot(source.outputs, output), target, slot(target.inputs, input));
}}"""
VALUE = f"([id, name]) => {NODE}.widgets.find((widget) => widget.name === name).value"
PICTURES = f"""(id) => (LiteGraph.vueNodesMode
  ? [...document.querySelectorAll(`[data-node-id="${{id}}"] img`)]
  : {NODE}.imgs ?? []
).filter((img) => img.naturalWidth).map((img) => [img.naturalWidth, img.naturalHeight])"""


def open_frontend(page: Page, url: str, mode: str) -> None:
    """Load the frontend with nodes of that mode, and wait until it shows an empty graph, unmoved and at 100 %."""
    load_frontend(page, url, in_vue=MODES[mode])
    page.evaluate(EMPTY)


def node_types(page: Page) -> set[str]:
    """Every node type that the frontend knows."""
    return set(page.evaluate("() => Object.keys(LiteGraph.registered_node_types)"))


def add_node(page: Page, node_type: str, pos: tuple[float, float], **widgets: object) -> str:
    """Put a node on the canvas, with values for its widgets; returns its id."""
    return page.evaluate(ADD, [node_type, list(pos), widgets])


def connect(page: Page, source: str, output: str, target: str, input: str) -> None:
    """Draw a link between two nodes, slots by name."""
    page.evaluate(CONNECT, [source, output, target, input])


def node_widget_value(page: Page, node: str, name: str) -> object:
    """What a widget of a node holds."""
    return page.evaluate(VALUE, [node, name])


def node_pictures(page: Page, node: str) -> list[list[int]]:
    """Sizes of the pictures that a node shows, (width, height) in pixels; empty while none is loaded."""
    return page.evaluate(PICTURES, node)


def wait_for_picture(page: Page, node: str) -> list[int]:
    """The size of the first picture that the node shows, once it does."""
    page.wait_for_function(f"(id) => ({PICTURES})(id).length", arg=node)
    return node_pictures(page, node)[0]


def queue(page: Page) -> dict:
    """Queue the graph as the Run button does; returns the history entry of the finished run: "outputs", "status"."""
    with page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/prompt")) as asked:
        page.evaluate("() => app.queuePrompt(0, 1)")
    answer = asked.value.json()
    assert "prompt_id" in answer and not answer.get("node_errors"), answer
    server = page.url.split("?")[0].split("#")[0].rstrip("/")
    deadline = time.monotonic() + SECONDS_TO_RUN
    while time.monotonic() < deadline:
        history = page.request.get(f"{server}/history/{answer['prompt_id']}").json()
        if history:
            return history[answer["prompt_id"]]
        page.wait_for_timeout(50)
    raise AssertionError(f"the run was not over after {SECONDS_TO_RUN} s")
