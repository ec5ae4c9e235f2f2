"""The host and the pack inside it: ComfyUI importable in this process, the pack under a name of its own."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rollout_nodes import generate

from tools.make_streaming_models import CAUSAL_VAE, PROMPTS, STREAMING_WORLD, make_streaming_models

ROOT = Path(__file__).resolve().parents[2]
PACK = "sana_wm_pack"


@pytest.fixture(scope="session")
def host() -> Path:
    """The ComfyUI folder. From here on `comfy`, `folder_paths` and `nodes` are the host's, on the CPU."""
    folder = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "ComfyUI").resolve()
    if not (folder / "comfy" / "sd.py").is_file():
        reason = f"no ComfyUI in {folder}; run the set-up or set COMFYUI_PATH"
        pytest.fail(reason) if os.environ.get("SANA_WM_REQUIRE_HOST") == "1" else pytest.skip(reason)
    sys.path.insert(0, str(folder))
    arguments, sys.argv = sys.argv, ["x", "--cpu"]
    try:
        importlib.import_module("comfy.options").enable_args_parsing()
        importlib.import_module("comfy.cli_args")  # reads sys.argv once
        importlib.import_module("utils.install_util")  # main.py has it before nodes.py puts comfy/utils.py in its way
        nodes = importlib.import_module("nodes")
    finally:
        sys.argv = arguments
    assert Path(nodes.__file__).parent == folder, f"`nodes` is {nodes.__file__}, not the host's"
    return folder


@pytest.fixture
def host_folders(host, tmp_path):
    """The host's models, input, output and user folders, empty and of this test alone: host_folders / "output"."""
    import folder_paths

    names = ("input", "output", "user")
    getters = {name: getattr(folder_paths, f"get_{name}_directory") for name in names}
    setters = {name: getattr(folder_paths, f"set_{name}_directory") for name in names}
    before = {name: get() for name, get in getters.items()}
    models, known = folder_paths.models_dir, dict(folder_paths.folder_names_and_paths)
    for name, (_, extensions) in known.items():
        folder_paths.folder_names_and_paths[name] = ([str(tmp_path / "models" / name)], extensions)
    for name in ("models", *names):
        (tmp_path / name).mkdir()
    folder_paths.models_dir = str(tmp_path / "models")
    for name, put in setters.items():
        put(str(tmp_path / name))
    yield tmp_path
    for name, put in setters.items():
        put(before[name])
    folder_paths.models_dir = models
    folder_paths.folder_names_and_paths.clear()
    folder_paths.folder_names_and_paths.update(known)


@pytest.fixture(scope="session")
def pack(host) -> ModuleType:
    """The pack, imported as the host does it: from its folder, under a name that is not importable otherwise."""
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return sys.modules[PACK]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_streaming_models(folder)
    return folder


@pytest.fixture(scope="session")
def parts(pack, models):
    """What the loader nodes give: model, vae, two prompts."""
    from sana_wm_pack.nodes import native, text
    from sana_wm_pack.wm_core.checkpoint import open_vae, open_world
    from sana_wm_pack.wm_core.text import load_embedding

    model = native.world_model(open_world(models / STREAMING_WORLD.path))
    vae = native.video_vae(*open_vae(models / CAUSAL_VAE.path))
    return model, vae, *(text.conditioning_of(load_embedding(models / name)) for name in PROMPTS)


@pytest.fixture
def told(host_folders, caplog, pack):
    """told(): what the nodes tell the user so far. Nothing of the host is left interrupted."""
    import comfy.model_management as management
    import comfy.utils

    caplog.set_level(logging.INFO, "sana_wm")
    yield lambda: [record.getMessage() for record in caplog.records if record.name == "sana_wm"]
    comfy.utils.set_progress_bar_global_hook(None)
    management.interrupt_current_processing(False)


@pytest.fixture
def straight(parts, told):
    return generate(parts, prefix="straight/film")
