"""The committed three.js is what the script makes of the published package, byte for byte."""

import re
from pathlib import Path

import pytest

from tools import browser, bundle_web, host
from tools.steps import StepError

HEAD = 3000  # characters that hold the licence


@pytest.fixture
def packages() -> Path:
    if not browser.NOTES.is_file():
        host.prepare("browser")
    part = browser.noted("npm packages")
    if not part.path:
        pytest.skip(f"no npm packages: {part.missing}")
    return Path(part.path)


def test_committed_bundle_is_what_the_script_makes(packages, tmp_path):
    try:
        bundle_web.bundle(packages, tmp_path / "three.mjs")
    except StepError as error:
        pytest.skip(f"no bundle: {error.why}")
    same = (tmp_path / "three.mjs").read_bytes() == bundle_web.BUNDLE.read_bytes()
    assert same, "make it again: python3 -m tools.bundle_web"


def test_bundle_carries_its_licence_and_leaves_other_copies_alone():
    text = bundle_web.BUNDLE.read_text(encoding="utf-8")
    assert re.match(r"/\*! three\.js \d+\.\d+\.\d+\n", text)
    assert "Permission is hereby granted, free of charge" in text[:HEAD] and "three.js authors" in text[:HEAD]
    assert "window.__THREE__" not in text
