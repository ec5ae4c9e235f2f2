"""Set-up of dev.py: which ComfyUI it takes, how it puts the pack there, and what a failing step tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import host
from tools.steps import StepError, run, step


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A folder that looks like a person's ComfyUI."""
    folder = tmp_path / "apps" / "ComfyUI"
    for name in ("comfy", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        (folder / name).touch()
    return folder


def test_comfyui_is_found_by_argument_variable_and_place(comfyui: Path, tmp_path: Path) -> None:
    pack = comfyui / "custom_nodes" / "pack"
    assert host.find(str(comfyui), {}, root=tmp_path) == comfyui
    assert host.find(str(comfyui.parent), {}, root=tmp_path) == comfyui  # the folder around it
    assert host.find(None, {"COMFYUI_PATH": str(comfyui)}, root=tmp_path) == comfyui
    assert host.find(None, {}, root=pack) == comfyui
    assert host.find(None, {}, root=tmp_path / "pack") is None


def test_argument_wins_over_variable(comfyui: Path, tmp_path: Path) -> None:
    assert host.find(str(comfyui), {"COMFYUI_PATH": "/nowhere"}, root=tmp_path) == comfyui


def test_folder_without_comfyui_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"COMFYUI_PATH is .*no ComfyUI"):
        host.find(None, {"COMFYUI_PATH": str(tmp_path)}, root=tmp_path)


def test_environment_beside_comfyui_is_used(comfyui: Path) -> None:
    assert host.own_python(comfyui) is None
    python = host.environment.venv_python(comfyui / "venv")
    python.parent.mkdir(parents=True)
    python.touch()
    assert host.own_python(comfyui) == python


def test_pack_is_linked_once(comfyui: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    host.link_pack(comfyui, root=pack)
    host.link_pack(comfyui, root=pack)
    assert [entry.resolve() for entry in (comfyui / "custom_nodes").iterdir()] == [pack]


def test_another_copy_of_the_pack_is_left_alone(comfyui: Path, tmp_path: Path) -> None:
    other = comfyui / "custom_nodes" / host.PACK_NAME
    other.mkdir()
    with pytest.raises(StepError, match="that copy of the pack"):
        host.link_pack(comfyui, root=tmp_path)
    assert other.is_dir() and not other.is_symlink()


def test_failing_step_names_itself_the_reason_and_the_next_step(tmp_path: Path) -> None:
    program = "print('ERROR: No matching distribution found for torch'); raise SystemExit(1)"
    with pytest.raises(StepError) as caught, step("torch"):
        run([sys.executable, "-c", program], tmp_path / "log.txt")
    assert "in the step 'torch'" in caught.value.why
    assert "No matching distribution found for torch" in caught.value.why
    assert "use Python 3.11" in caught.value.next_step
    assert "No matching distribution" in (tmp_path / "log.txt").read_text()
