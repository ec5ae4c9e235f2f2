"""The editor's JavaScript run by Node: one script of this folder, JSON in, JSON out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import playwright

HERE = Path(__file__).parent
EDITOR = HERE.parents[1] / "web" / "camera_editor"
NODE = shutil.which("node") or Path(playwright.__file__).parent / "driver" / "node"  # Playwright brings one


def answer_of(script: str, given: Any) -> Any:
    """What the script writes to standard output when it reads `given` from standard input."""
    done = subprocess.run(
        [NODE, HERE / script], check=False, input=json.dumps(given), capture_output=True, text=True, timeout=60
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)
