"""The Python environment in `.venv`: what is in it, and how it comes to be there.

torch is installed first and then held by a constraints file, so that no later package can pull another one. With a
CUDA torch already in the Python that runs set-up, the environment sees that Python's packages and nothing of torch is
installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .steps import StepError, run, step

ROOT = Path(__file__).absolute().parents[1]
VENV = ROOT / ".venv"
STATE = ROOT / ".host"  # the pinned ComfyUI, what servers write, and the log of set-up
LOG = STATE / "setup.log"
TORCH = "torch==2.13.0"
TORCHVISION = "torchvision==0.28.0"  # the one made for that torch
PACK_FILE = ROOT / "requirements.txt"
HOST_FILE = ROOT / "tools" / "requirements-host.txt"
TEST_FILE = ROOT / "requirements-dev.txt"
LABELS = {PACK_FILE: "What the pack needs", HOST_FILE: "What ComfyUI needs", TEST_FILE: "What the tests need"}
TORCH_FAMILY = ("torch", "torchvision", "torchaudio")

_HOOK = ROOT / "tools" / "torchvision_operators.py"
_STAMP = VENV / "sana_wm.json"
_CONSTRAINTS = VENV / "constraints.txt"
_PROBE = (
    "import torch; mps = getattr(torch.backends, 'mps', None);"
    "print(torch.cuda.is_available() or bool(mps and mps.is_available())"
    " or bool(hasattr(torch, 'xpu') and torch.xpu.is_available()))"
)


def venv_python(folder: Path = VENV) -> Path:
    """The interpreter of a virtual environment in `folder`; it need not exist."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def prepare(files: tuple[Path, ...]) -> Path:
    """Make `.venv` hold torch and the requirement files, in that order; returns its Python. Quick when nothing changed."""
    stamp = _read_stamp()
    if not stamp:
        with step("Python environment in .venv"):
            _make_venv()
        with step(TORCH.replace("==", " ")):
            _install_torch()
    wants_torchvision = files != (PACK_FILE,)
    if wants_torchvision and "torchvision" not in stamp:
        with step(TORCHVISION.replace("==", " ")):
            _install_torchvision()  # before the files: a package in them asks for it
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        key = file.name if file in (PACK_FILE, TEST_FILE) else "host"
        if stamp.get(key) != digest:
            with step(LABELS.get(file, f"What {file.parent} needs")):
                _install_file(file)
            _write_stamp(**{key: digest})
    if wants_torchvision and "torchvision" not in stamp:
        with step("torchvision beside this torch"):
            _declare_operators()  # after the files: it imports numpy
        _write_stamp(torchvision=TORCHVISION)
    return venv_python()


def has_accelerator(python: Path) -> bool:
    """Whether that Python's torch can use a GPU; remembered per interpreter, because asking imports torch (seconds)."""
    known = STATE / "accelerators.json"
    table = json.loads(known.read_text()) if known.is_file() else {}
    key = f"{python} {_modified(python.parents[1] / 'pyvenv.cfg')} {bool(shutil.which('nvidia-smi'))}"
    if key not in table:
        answer = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, check=False)
        if answer.returncode:
            raise StepError(f"{python} cannot import torch:\n{answer.stderr[-600:]}", "Repair that environment.")
        table[key] = answer.stdout.strip() == "True"
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(table, indent=1))
    return table[key]


def _make_venv() -> None:
    """A new, empty `.venv`. Where ensurepip is missing (Debian's python3 without python3-venv), pip comes from outside."""
    shutil.rmtree(VENV, ignore_errors=True)
    command = [sys.executable, "-m", "venv", VENV]
    if _has_cuda_torch(Path(sys.executable)):
        command.append("--system-site-packages")
    if _succeeds(Path(sys.executable), "import ensurepip"):
        run(command, LOG)
    elif _succeeds(Path(sys.executable), "import pip"):
        run([*command, "--without-pip"], LOG)
        run([sys.executable, "-m", "pip", "--python", venv_python(), "install", "pip"], LOG)
    else:
        raise StepError(
            f"{sys.executable} has neither pip nor ensurepip.", "On Debian or Ubuntu: apt install python3-venv"
        )


def _install_torch() -> None:
    if not _has_cuda_torch(venv_python()):
        _pip("install", TORCH)
    version = "import importlib.metadata as m; print(m.version('torch'))"
    found = subprocess.run([str(venv_python()), "-c", version], capture_output=True, text=True, check=True)
    _CONSTRAINTS.write_text(f"torch=={found.stdout.strip()}\n")
    _write_stamp(place=str(VENV))


def _install_torchvision() -> None:
    """The torchvision made for the pinned torch; for another torch (a CUDA one that was here before) pip finds it."""
    if _succeeds(venv_python(), "import importlib.metadata as m; m.version('torchvision')"):
        return
    if _CONSTRAINTS.read_text().split("+")[0].strip() == TORCH:
        _pip("install", "--no-deps", TORCHVISION)
    else:
        _pip("install", "-c", _CONSTRAINTS, "torchvision")


def _declare_operators() -> None:
    """Hook torchvision_operators.py (which says why) into `.venv` if torchvision does not go with a CPU build of torch."""
    python = venv_python()
    answer = subprocess.run([str(python), "-c", "import torchvision"], capture_output=True, text=True, check=False)
    if not answer.returncode:
        return
    if "torchvision::" in answer.stderr:
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        found = subprocess.run([str(python), "-c", where], capture_output=True, text=True, check=True)
        site_packages = Path(found.stdout.strip())
        shutil.copy(_HOOK, site_packages / _HOOK.name)
        (site_packages / _HOOK.with_suffix(".pth").name).write_text(f"import {_HOOK.stem}\n")
    run([python, "-c", "import torchvision.transforms.v2"], LOG)


def _install_file(file: Path) -> None:
    """pip install a requirement file, less torch and what belongs to one build of it: those are there already."""
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split("#")[0].strip() not in TORCH_FAMILY]
    rest = VENV / "requirements.txt"
    rest.write_text("\n".join(kept) + "\n", encoding="utf-8")
    _pip("install", "-c", _CONSTRAINTS, "-r", rest)


def _pip(*arguments: str | Path) -> None:
    run([venv_python(), "-m", "pip", *arguments, "--progress-bar", "off"], LOG)


def _has_cuda_torch(python: Path) -> bool:
    return _succeeds(python, "import torch; assert torch.version.cuda and torch.cuda.is_available()")


def _succeeds(python: Path, program: str) -> bool:
    return subprocess.run([str(python), "-c", program], capture_output=True, check=False).returncode == 0


def _read_stamp() -> dict[str, str]:
    """What is installed; empty if `.venv` is missing, was moved here, or its Python is gone."""
    try:
        stamp = json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return {}
    version = _python_version()
    whole = stamp.get("place") == str(VENV) and stamp.get("python") == version and venv_python().exists()
    return stamp if whole else {}


def _write_stamp(**entries: str) -> None:
    entries = {**_read_stamp(), "python": _python_version(), **entries}
    _STAMP.write_text(json.dumps(entries, indent=1))


def _python_version() -> str:
    lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    return next(line for line in lines if line.startswith("version"))


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0
