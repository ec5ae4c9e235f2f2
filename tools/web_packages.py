"""The npm packages of tools/web, for the camera editor's bundle and for tests: in .host/web, as the lock file has them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from .environment import LOG, ROOT, STATE
from .steps import StepError, run, step

SOURCE = ROOT / "tools" / "web"
FOLDER = STATE / "web"
FILES = ("package.json", "package-lock.json")


def prepare(source: Path = SOURCE, folder: Path = FOLDER, path: str | None = None) -> Path:
    """Install what `source` asks for; returns the folder that holds node_modules. Quick when nothing changed.

    `path` is a PATH to look for npm in, the process's own if None.
    """
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in FILES)).hexdigest()
    mark = folder / "installed-sha256"
    if mark.is_file() and mark.read_text() == digest:
        return folder
    npm = shutil.which("npm", path=path)
    if npm is None:
        raise StepError("there is no npm on PATH", "Install Node.js, which brings npm.")
    with step("npm packages in .host/web"):
        mark.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(source / name, folder / name)
        run([npm, "--prefix", folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], LOG)
        mark.write_text(digest)
    return folder
