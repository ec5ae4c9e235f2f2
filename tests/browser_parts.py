"""What a test of the browser's side needs of set-up: had, or the test tells why not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tools import browser, host


def needed(name: str) -> Path:
    """Where that part of tools.browser is. Without it the test is skipped; it fails under SANA_WM_REQUIRE_BROWSER=1."""
    if not browser.NOTES.is_file():
        host.prepare("browser")
    part = browser.noted(name)
    return Path(part.path) if part.path else cannot_run(f"no {name}: {part.missing}")


def cannot_run(reason: str) -> NoReturn:
    """Skip the test, or fail it where continuous integration wants to know that it ran."""
    if os.environ.get("SANA_WM_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
