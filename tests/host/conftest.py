"""A real ComfyUI server with the pack in it, one for all host tests."""

from __future__ import annotations

import json

import pytest
import torch
from cases import ROOT
from editor_requests import asking
from safetensors.torch import save_file

from tools import host
from tools.client import Client
from tools.make_streaming_models import make_streaming_models
from tools.make_tiny_gemma3 import FOLDERS, write_folder
from tools.make_tiny_refiner import REFINERS, write_refiner
from tools.server import Server
from tools.tiny_graph import on_tiny_world

LORA = "random_lora.safetensors"


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    """start_server(folders): a server with the pack and the tests' models, to be used in a `with` block."""
    ready = host.prepare("test")
    models = write_models(tmp_path_factory.mktemp("models"))

    def start(folders):
        arguments = ("--extra-model-paths-config", str(models))
        return Server(ready.folder, folders=folders, log=folders / "server.log", arguments=arguments)

    return start


@pytest.fixture(scope="session")
def server(start_server, tmp_path_factory):
    with start_server(tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture
def ask(server):
    return asking(server.url)


def write_models(folder):
    """A random LoRA of the tiny world, the tiny models of both stages, and the file that shows them to a server."""
    (folder / "loras").mkdir(parents=True)
    g = torch.Generator().manual_seed(0)
    weights = {}
    for block in range(6):
        base = f"diffusion_model.blocks.{block}.attn.qkv"
        weights[f"{base}.lora_A.weight"] = torch.randn(4, 128, generator=g)
        weights[f"{base}.lora_B.weight"] = torch.randn(384, 4, generator=g) * 0.2
    save_file(weights, folder / "loras" / LORA)
    make_streaming_models(folder)
    write_refiner(folder, REFINERS["diffusers"])
    write_folder(folder / "text_encoders", FOLDERS["text_only_sharded"])
    kinds = ("loras", "diffusion_models", "vae", "text_encoders", "sana_wm_text")
    paths = folder / "paths.yaml"
    paths.write_text("\n".join(["tests:", f"  base_path: {json.dumps(str(folder))}", *(f"  {k}: {k}" for k in kinds), ""]))
    return paths


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
    """The example workflow on the tiny world, its start picture uploaded."""
    client.upload_image(ROOT / "assets" / "start_picture.png")
    workflow = json.loads((ROOT / "example_workflows" / "api" / "start.json").read_text())
    return on_tiny_world(workflow)
