"""A real ComfyUI server with the pack in it, one for all host tests."""

from __future__ import annotations

import json

import pytest
from cases import ROOT

from tools import host
from tools.client import Client
from tools.server import Server
from tools.trial_graph import on_trial_world


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folders = tmp_path_factory.mktemp("comfyui")
    ready = host.prepare("test")
    with Server(ready.folder, folders=folders, log=folders / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def object_info(server):
    with Client(server.url) as client:
        return client.object_info()


@pytest.fixture
def client(server):
    with Client(server.url) as connected:
        yield connected


@pytest.fixture
def graph(client):
    """The example workflow on the trial world, its start picture uploaded."""
    client.upload_image(ROOT / "assets" / "start_picture.png")
    workflow = json.loads((ROOT / "example_workflows" / "api" / "start.json").read_text())
    return on_trial_world(workflow)
