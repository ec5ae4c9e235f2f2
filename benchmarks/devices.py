"""Where a row is measured: what the device is called, its clock, and what it has of other people's kernels."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import platform
import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from shutil import which

import torch

from wm_core.config import RELEASED_DIT, RefinerConfig
from wm_core.kernels import kernels_for

from .apart import ROOT

CPU, GPU = "cpu", "cuda"
COMPARED = ("diffusers", "triton", "sglang", "flash-linear-attention", "comfy-kitchen")  # packages that rows run


def is_there(device: str) -> bool:
    return device == CPU or torch.cuda.is_available()


def slug(device: str) -> str:
    """Of the file that keeps a device's figures: cpu, nvidia-h200."""
    if device == CPU:
        return CPU
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")


def clock(device: str) -> Callable[[], float]:
    """CPU seconds of this process, because the machine may be shared; or wall seconds, once the GPU has done its work."""
    return time.process_time if device == CPU else _gpu_clock


def watch(device: str) -> Callable[[], float]:
    """The same without waiting for the GPU, for work whose result is already here."""
    return time.process_time if device == CPU else time.perf_counter


def unit(device: str) -> str:
    return "CPU s" if device == CPU else "s"


def free() -> None:
    """Give back the memory of models that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@cache
def why_missing(module: str) -> str:
    """Why a module cannot be imported; empty if it can."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # other people's packages, as they come
        return f"{module.split('.')[0]} is not importable: {error}".splitlines()[0]
    return ""


def surroundings(device: str) -> dict[str, str]:
    """What a figure depends on: device, date, versions, commit."""
    name = _cpu_name() if device == CPU else f"{_cpu_name()} and {torch.cuda.get_device_name()}"
    options = {"cwd": ROOT, "capture_output": True, "text": True}
    git = lambda *words: subprocess.run(["git", *words], check=False, **options).stdout.strip() if which("git") else ""
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return {
        "device": name,
        "threads": "1",
        "kernels": _kernels(device),
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "torch": torch.__version__,
        **({} if device == CPU else {"cuda": str(torch.version.cuda)}),
        **{package: found for package in COMPARED if (found := version(package))},
        "commit": commit + (" + changes" if git("status", "--porcelain") else ""),
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _kernels(device: str) -> str:
    """What the models compute with here, stage 1 and refiner, in the dtype of most rows."""
    x = torch.zeros(1, device=device, dtype=torch.float32 if device == CPU else torch.bfloat16)
    sizes = [(config.hidden_size, config.head_dim) for config in (RELEASED_DIT, RefinerConfig("split"))]
    with torch.no_grad():
        return ", ".join(dict.fromkeys(kernels_for(x, *size).name for size in sizes))


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
