"""Set-up of what the browser tests need: what is chosen, what is installed, and how a lack is noted.

Programs are small real scripts on a PATH of the test's own.
"""

from __future__ import annotations

import json
import sys
import time
import zipfile
from pathlib import Path

import pytest
from browser_parts import needed

from tools import browser, newest_frontend, web_packages
from tools.browser import Part
from tools.steps import StepError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs of these tests are shell scripts")
RUNS = 'echo "Chromium 1.2"'
NEWEST = f"""case "$*" in
  *"index versions"*) echo "{newest_frontend.PACKAGE} (2.0.1)" ;;
  *download*) cp "$WHEEL" "$(echo "$*" | sed 's/.*-d \\([^ ]*\\) .*/\\1/')" ;;
esac"""
BROKEN = "echo 'Failed to establish a new connection' >&2; exit 1"


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (browser, newest_frontend, web_packages):
        monkeypatch.setattr(module, "LOG", tmp_path / "setup.log")
    return tmp_path / "setup.log"


def program(file: Path, body: str) -> Path:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def test_variable_wins_over_path_and_path_goes_by_name(bin: Path, tmp_path: Path) -> None:
    path = {"PATH": str(bin)}
    assert browser.find_chromium(path) is None
    chrome = program(bin / "google-chrome", RUNS)
    assert browser.find_chromium(path) == chrome
    chromium = program(bin / "chromium", RUNS)
    assert browser.find_chromium(path) == chromium
    own = program(tmp_path / "my browser", RUNS)
    assert browser.chromium({**path, "CHROMIUM": str(own)}) == own


def test_variable_that_names_nothing_is_told_and_not_passed_over(bin: Path) -> None:
    program(bin / "chromium", RUNS)
    with pytest.raises(StepError, match="CHROMIUM is /nowhere"):
        browser.chromium({"PATH": str(bin), "CHROMIUM": "/nowhere"})


def test_chromium_that_does_not_run_is_none(bin: Path) -> None:
    found = program(bin / "chromium-browser", "echo 'requires the chromium snap to be installed' >&2; exit 1")
    part = browser.look(lambda: browser.chromium({"PATH": str(bin)}))
    assert part.path is None
    assert part.missing.startswith(f"{found} does not run: requires the chromium snap to be installed. Set CHROMIUM")


def test_without_rights_or_apt_nothing_is_installed(bin: Path, tmp_path: Path) -> None:
    path = {"PATH": str(bin)}
    with pytest.raises(StepError, match="no apt-get"):
        browser.chromium(path, is_root=True)
    called = tmp_path / "called"
    program(bin / "apt-get", f"touch {called}")
    program(bin / "sudo", f"touch {called}")
    with pytest.raises(StepError, match="no rights"):
        browser.chromium(path, is_root=False)
    assert not called.exists()


def test_root_installs_and_asks_for_new_lists_only_if_needed(bin: Path, tmp_path: Path, log: Path) -> None:
    chromium, lists = program(tmp_path / "chromium", RUNS), tmp_path / "lists"
    program(bin / "apt-get", f'[ "$1" = update ] && exec touch {lists}\n[ -e {lists} ] && cp {chromium} {bin}')
    assert browser.chromium({"PATH": str(bin)}, is_root=True) == bin / "chromium"
    words = [line.split("apt-get ")[1] for line in log.read_text().splitlines() if line.startswith("$")]
    assert words == [install := " ".join(browser.INSTALL), "update", install]
    (bin / "chromium").unlink()
    log.unlink()
    browser.chromium({"PATH": str(bin)}, is_root=True)
    assert "update" not in log.read_text()


def test_a_failed_step_is_noted_in_one_line(bin: Path) -> None:
    program(bin / "apt-get", "echo 'E: cannot'; exit 100")
    part = browser.look(lambda: browser.chromium({"PATH": str(bin)}, is_root=True))
    assert part.path is None and "\n" not in part.missing
    assert "apt-get update` ended with code 100" in part.missing and "setup.log" in part.missing


@pytest.fixture
def index(bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `python` whose pip knows of the frontend 2.0.1."""
    wheel = tmp_path / "comfyui_frontend_package-2.0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("index.html", "assets/index.js", "assets/index.js.map"):
            archive.writestr(f"{newest_frontend.STATIC}/{name}", "")
    monkeypatch.setenv("WHEEL", str(wheel))
    return program(bin / "python", NEWEST)


def test_newest_frontend_is_asked_once_a_day_and_loaded_once(index: Path, tmp_path: Path, log: Path) -> None:
    folder, now = tmp_path / "newest", time.time()
    old = folder / "1.9.0" / newest_frontend.STATIC
    old.mkdir(parents=True)
    (folder / "asked.json").write_text(json.dumps({"version": "1.9.0", "asked": now - 3600}))
    assert newest_frontend.prepare(index, folder, now) == old
    assert not log.exists(), "asked within the day"
    static = newest_frontend.prepare(index, folder, now + 86400)
    assert static == folder / "2.0.1" / newest_frontend.STATIC
    assert sorted(p.name for p in static.rglob("*.*")) == ["index.html", "index.js"], "no source maps"
    assert not old.exists()
    log.unlink()
    assert newest_frontend.prepare(index, folder, now + 2 * 86400) == static
    assert "index versions" in log.read_text() and "download" not in log.read_text()


def test_without_network_the_last_frontend_stays(bin: Path, tmp_path: Path) -> None:
    offline = program(bin / "python", BROKEN)
    folder = tmp_path / "newest"
    part = browser.look(lambda: newest_frontend.prepare(offline, folder))
    assert part.path is None and "pip cannot reach a package index" in part.missing
    static = folder / "1.9.0" / newest_frontend.STATIC
    static.mkdir(parents=True)
    (folder / "asked.json").write_text(json.dumps({"version": "1.9.0", "asked": 0}))
    assert newest_frontend.prepare(offline, folder) == static


def test_npm_runs_when_the_lock_file_changes(bin: Path, tmp_path: Path) -> None:
    source, folder, calls = tmp_path / "source", tmp_path / "packages", tmp_path / "calls"
    source.mkdir()
    for name in web_packages.FILES:
        (source / name).write_text("{}")
    with pytest.raises(StepError, match="no npm"):
        web_packages.prepare(source, folder, path=str(bin))
    program(bin / "npm", f'echo "$*" >> {calls}')
    for _ in range(2):
        assert web_packages.prepare(source, folder, path=str(bin)) == folder
    assert len(calls.read_text().splitlines()) == 1
    (source / "package-lock.json").write_text('{"lockfileVersion": 3}')
    web_packages.prepare(source, folder, path=str(bin))
    assert len(calls.read_text().splitlines()) == 2
    assert (folder / "package-lock.json").read_text() == '{"lockfileVersion": 3}'


def test_lock_file_names_no_registry() -> None:
    locked = json.loads((web_packages.SOURCE / "package-lock.json").read_text())
    wanted = json.loads((web_packages.SOURCE / "package.json").read_text())["devDependencies"]
    assert not [name for name, package in locked["packages"].items() if "resolved" in package]
    assert {name: locked["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_notes_tell_what_is_there_what_is_not_and_what_is_gone(tmp_path: Path) -> None:
    notes = tmp_path / "browser.json"
    assert "python3 dev.py test" in browser.noted("chromium", notes).missing
    gone = tmp_path / "gone"
    parts = {"chromium": {"path": str(tmp_path), "missing": ""}, "npm packages": {"path": str(gone), "missing": ""}}
    notes.write_text(json.dumps(parts | {"newest frontend": {"path": None, "missing": "no network"}}))
    assert browser.noted("chromium", notes) == Part(str(tmp_path))
    assert browser.noted("newest frontend", notes).missing == "no network"
    assert f"{gone} is gone" in browser.noted("npm packages", notes).missing


def test_a_missing_part_skips_and_fails_where_it_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tmp_path / "browser.json"
    notes.write_text(json.dumps({"chromium": {"path": None, "missing": "no rights"}}))
    monkeypatch.setattr(browser, "NOTES", notes)
    monkeypatch.delenv("SANA_WM_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no chromium: no rights"):
        needed("chromium")
    monkeypatch.setenv("SANA_WM_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="no chromium: no rights"):
        needed("chromium")
