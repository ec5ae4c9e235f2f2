"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton, whose own functions must be interpreted too
    os.environ["TRITON_INTERPRET"] = "1"

from cases import Case, load_case
from not_run import lines_about


@pytest.fixture(scope="session")
def golden():
    """golden("dense_dit_a") -> Case; each file is read once per session."""
    cache: dict[str, Case] = {}

    def get(name: str) -> Case:
        if name not in cache:
            cache[name] = load_case(name)
        return cache[name]

    return get


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def pytest_unconfigure(config) -> None:
    """The last lines, below pytest's own, say what did not run and why."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    for line in lines_about((report.nodeid, report.longrepr[2]) for report in skipped):
        reporter.write_line(line)
