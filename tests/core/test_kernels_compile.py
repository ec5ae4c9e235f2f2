"""Every fused kernel compiles for a card that is not here, as it is launched at released sizes, within what the card has."""

import json
import os
import re
import subprocess
import sys

import interpreted  # noqa: F401  (skips without Triton)
from cases import ROOT

SPILLED = 128  # bytes a thread: a few registers; a kernel whose tile does not fit spills thousands


def test_every_kernel_compiles_and_fits(tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-m", "tools.compile_kernels", "--dtype", "bfloat16", "--target", "86", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    sources = [*(ROOT / "wm_core" / "gdn").glob("triton_*.py"), *(ROOT / "wm_core" / "kernels").glob("triton_*.py")]
    written = {name for source in sources for name in re.findall(r"def (\w+_kernel)\(", source.read_text())}
    assert len(written) >= 10 and {row["kernel"] for row in rows} == written
    assert not [row for row in rows if row["spilled"] > SPILLED]
