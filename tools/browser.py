"""What the browser tests need and a machine may lack: Chromium, the newest frontend, npm packages.

None of it fails set-up: what could not be had is noted in .host/browser.json with the reason, for the tests to tell.
Playwright, which drives the browser, is a Python package like others (requirements-dev.txt) and brings no browser here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import newest_frontend, web_packages
from .environment import LOG, STATE
from .steps import ANYTHING, StepError, run, step

NOTES = STATE / "browser.json"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
INSTALL = ("install", "-y", "--no-install-recommends", "chromium")
SECONDS_TO_START = 60


@dataclass(frozen=True)
class Part:
    """One thing that was looked for: where it is, or why there is none."""

    path: str | None = None
    missing: str = ""


def prepare(python: Path) -> None:
    """Get every part that can be had, and note them all. Quick when they are there."""
    parts = {
        "chromium": look(lambda: chromium(os.environ)),
        "newest frontend": look(lambda: newest_frontend.prepare(python)),
        "npm packages": look(web_packages.prepare),
    }
    for name, part in parts.items():
        if part.missing:
            print(f"set-up  goes on without {name}: {part.missing}", flush=True)
    NOTES.parent.mkdir(parents=True, exist_ok=True)
    NOTES.write_text(json.dumps({name: asdict(part) for name, part in parts.items()}, indent=1))


def noted(name: str, notes: Path | None = None) -> Part:
    """What set-up noted of a part, in NOTES or another file, unless that is gone since."""
    notes = notes or NOTES
    if not notes.is_file():
        return Part(missing="set-up has not looked for it: python3 dev.py test does")
    part = Part(**json.loads(notes.read_text())[name])
    if part.path and not Path(part.path).exists():
        return Part(missing=f"{part.path} is gone: python3 dev.py test looks again")
    return part


def look(get: Callable[[], Path]) -> Part:
    """The part that `get` finds or makes; its StepError becomes a reason of one line."""
    try:
        return Part(str(get()))
    except StepError as error:
        first = error.__cause__ if isinstance(error.__cause__, StepError) else error  # without the step's name
        what_to_do = f"Its output is in {LOG}." if first.next_step == ANYTHING else first.next_step
        return Part(missing=f"{first.why.splitlines()[0].rstrip('.:')}. {what_to_do}")


def chromium(variables: Mapping[str, str], is_root: bool | None = None) -> Path:
    """The system's Chromium, installed with apt-get where that is allowed; never with sudo. StepError if none runs."""
    found = find_chromium(variables)
    if found is None:
        found = _install_chromium(variables, _is_root() if is_root is None else is_root)
    _check_that_it_runs(found)
    return found


def find_chromium(variables: Mapping[str, str]) -> Path | None:
    """What CHROMIUM names, else the first of CHROMIUMS on PATH. StepError if CHROMIUM names nothing that can run."""
    given, path = variables.get("CHROMIUM"), variables.get("PATH", "")
    if given:
        program = shutil.which(given, path=path)
        if program is None:
            raise StepError(f"CHROMIUM is {given}, which is no program", "Give a path or a name on PATH, or unset it.")
        return Path(program).absolute()
    found = (shutil.which(name, path=path) for name in CHROMIUMS)
    return next((Path(program).absolute() for program in found if program), None)


def _install_chromium(variables: Mapping[str, str], is_root: bool) -> Path:
    none = f"none of {', '.join(CHROMIUMS)} is on PATH"
    apt = shutil.which("apt-get", path=variables.get("PATH", ""))
    advice = "Install Chromium, or set CHROMIUM to the path of one."
    if apt is None:
        raise StepError(f"{none}, and there is no apt-get to install one", advice)
    if not is_root:
        raise StepError(f"{none}, and there are no rights to install one", advice)
    unasked = ["env", "DEBIAN_FRONTEND=noninteractive", apt]
    with step("Chromium, with apt-get"):
        try:
            run([*unasked, *INSTALL], LOG)
        except StepError:  # the lists of packages may be old, or not there at all
            run([*unasked, "update"], LOG)
            run([*unasked, *INSTALL], LOG)
        found = find_chromium(variables)
        if found is None:
            raise StepError(f"apt-get has installed chromium, and still {none}", advice)
    return found


def _check_that_it_runs(program: Path) -> None:
    """StepError if it does not even tell its version: Ubuntu's chromium-browser is a script that asks for a snap."""
    try:
        command = [str(program), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_START)
        failed, says = answer.returncode, answer.stderr or answer.stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, says = True, str(error)
    if failed:
        words = says.strip().splitlines()[-1:] or ["it gives no reason"]
        raise StepError(f"{program} does not run: {words[0]}", "Set CHROMIUM to the path of one that does.")


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
