"""Example workflows as data: each node once, from which both of its forms are made.

The UI form goes to the template browser, the API form to the demo and the tests, so that neither can rot. Widget order
and slot types come from a running server's /object_info, never from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """An output of another node: (node name, output slot)."""

    node: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """One node of a graph; inputs are widget values or Links. Positions and sizes are pixels of the canvas."""

    name: str  # how Links name it
    kind: str  # node id of the host
    title: str
    at: tuple[int, int]
    size: tuple[int, int]
    inputs: Mapping[str, object] = field(default_factory=dict)
    models: tuple[Mapping[str, str], ...] = ()  # files that the frontend offers to download


@dataclass(frozen=True)
class Group:
    title: str
    box: tuple[int, int, int, int]
    colour: str = "#3f789e"


NOTE = "MarkdownNote"  # lives in the frontend only
SEED_CONTROL = "fixed"  # the widget that the frontend adds behind a seed


def api_form(nodes: list[Node]) -> dict[str, dict]:
    """The graph as /prompt takes it: node number -> class, inputs and title."""
    numbers = _numbers(nodes)
    return {
        str(numbers[node.name]): {
            "class_type": node.kind,
            "inputs": {
                name: [str(numbers[value.node]), value.slot] if isinstance(value, Link) else value
                for name, value in node.inputs.items()
            },
            "_meta": {"title": node.title},
        }
        for node in nodes
        if node.kind != NOTE
    }


def ui_form(nodes: list[Node], groups: list[Group], object_info: Mapping[str, dict]) -> dict:
    """The graph as the frontend saves it."""
    numbers = _numbers(nodes)
    links = _links(nodes, numbers, object_info)
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": [_ui_node(node, numbers[node.name], i, links, object_info) for i, node in enumerate(nodes)],
        "links": links,
        "groups": [
            {"id": i + 1, "title": g.title, "bounding": list(g.box), "color": g.colour, "font_size": 24, "flags": {}}
            for i, g in enumerate(groups)
        ],
        "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [40, 120]}},
        "version": 0.4,
    }


def _numbers(nodes: list[Node]) -> dict[str, int]:
    return {node.name: i for i, node in enumerate(nodes, 1)}


def _declared(info: Mapping[str, dict]) -> dict[str, list]:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def _is_widget(declaration: list) -> bool:
    kind = declaration[0]
    return isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def _sockets(node: Node, info: Mapping[str, dict]) -> list[tuple[str, list]]:
    """Inputs that take a link, with their declarations: those without a widget, then widgets that are linked instead."""
    declared = _declared(info).items()
    plain = [(name, d) for name, d in declared if not _is_widget(d)]
    return plain + [(name, d) for name, d in declared if _is_widget(d) and isinstance(node.inputs.get(name), Link)]


def _links(nodes: list[Node], numbers: Mapping[str, int], object_info: Mapping[str, dict]) -> list[list]:
    """[link, from node, from slot, to node, to slot, type], in the order of the inputs."""
    kinds = {node.name: node.kind for node in nodes}
    links = []
    for node in nodes:
        if node.kind == NOTE:
            continue
        for slot, (name, _) in enumerate(_sockets(node, object_info[node.kind])):
            value = node.inputs.get(name)
            if isinstance(value, Link):
                wire = object_info[kinds[value.node]]["output"][value.slot]
                links.append([len(links) + 1, numbers[value.node], value.slot, numbers[node.name], slot, wire])
    return links


def _ui_node(node: Node, number: int, order: int, links: list[list], object_info: Mapping[str, dict]) -> dict:
    base = {
        "id": number,
        "type": node.kind,
        "title": node.title,
        "pos": list(node.at),
        "size": list(node.size),
        "flags": {},
        "order": order,
        "mode": 0,
    }
    if node.kind == NOTE:
        return base | {"inputs": [], "outputs": [], "properties": {}, "widgets_values": [node.inputs["text"]]}
    info = object_info[node.kind]
    declared = _declared(info)
    sockets = [
        {"name": name, "type": d[0]} | ({"widget": {"name": name}} if _is_widget(d) else {})
        for name, d in _sockets(node, info)
    ]
    into = {link[4]: link[0] for link in links if link[3] == number}
    outputs = [
        {"name": name, "type": kind, "links": [li[0] for li in links if li[1] == number and li[2] == slot] or None}
        for slot, (name, kind) in enumerate(zip(info["output_name"], info["output"]))
    ]
    properties: dict = {"Node name for S&R": node.kind}
    if node.models:
        properties["models"] = [dict(m) for m in node.models]
    return base | {
        "inputs": [socket | {"link": into.get(slot)} for slot, socket in enumerate(sockets)],
        "outputs": outputs,
        "properties": properties,
        "widgets_values": _widget_values(node, declared),
    }


def _widget_values(node: Node, declared: Mapping[str, list]) -> list:
    values: list = []
    for name, declaration in declared.items():
        if not _is_widget(declaration):
            continue
        options = declaration[1] if len(declaration) > 1 else {}
        value = node.inputs.get(name, options.get("default"))
        values.append(options.get("default") if isinstance(value, Link) else value)
        if options.get("control_after_generate"):
            values.append(SEED_CONTROL)
        if options.get("image_upload"):
            values.append("image")
    return values
