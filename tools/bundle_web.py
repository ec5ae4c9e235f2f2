"""Write web/camera_editor/three.mjs: what the camera editor takes of three.js, as one file.

python3 -m tools.bundle_web
"""

from __future__ import annotations

import shutil
from pathlib import Path

from . import web_packages
from .environment import LOG, ROOT
from .steps import StepError, run

SCRIPT = ROOT / "tools" / "web" / "bundle_three.mjs"
BUNDLE = ROOT / "web" / "camera_editor" / "three.mjs"


def bundle(packages: Path, out: Path) -> None:
    """Bundle three.js out of installed `packages` into `out`; the same packages give the same bytes."""
    node = shutil.which("node")
    if node is None:
        raise StepError("there is no node on PATH", "Install Node.js.")
    run([node, SCRIPT, packages, out], LOG)


if __name__ == "__main__":
    try:
        bundle(web_packages.prepare(), BUNDLE)
    except StepError as error:
        raise SystemExit(str(error)) from error
    print(f"{BUNDLE.relative_to(ROOT)}  {BUNDLE.stat().st_size} bytes")
