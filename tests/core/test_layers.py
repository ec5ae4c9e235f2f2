"""The arrows of the house: who may import whom, and what importing wm_core must not load."""

import ast
import subprocess
import sys

import pytest
from cases import ROOT

# A package imports its own row and rows above it.
ROWS = [
    {"errors", "config", "shapes"},
    {"camera", "gdn", "attention", "kv_window", "positions", "kernels"},
    {"dit", "vae", "refiner", "text", "tiny_world"},
    {"checkpoint", "sampling", "metrics"},
    {"rollout"},
]
RANK = {name: i for i, row in enumerate(ROWS) for name in row}
HOST = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "server", "nodes", "execution", "node_helpers"}
FORBIDDEN_AT_RUN_TIME = {"diffusers", "transformers"}
SOURCES = sorted((ROOT / "wm_core").rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from ((node.level, f"{base}.{alias.name}".strip(".")) for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_up_the_table(path):
    rel = path.relative_to(ROOT / "wm_core")
    here = rel.parts[0].removesuffix(".py")
    for level, name in imports(path):
        there = name.split(".")[0]
        if level == 0:
            assert there not in HOST | FORBIDDEN_AT_RUN_TIME, f"{rel} imports {name}"
            assert there != "wm_core", f"{rel} imports {name}; the host loads the pack under another name"
        elif level == len(rel.parts) and here != "__init__":
            assert there in RANK, f"{rel} imports {name}, which has no row"
            assert RANK[there] <= RANK[here], f"{rel} imports upward: {name}"


def test_every_module_has_a_row():
    names = {p.relative_to(ROOT / "wm_core").parts[0].removesuffix(".py") for p in SOURCES} - {"__init__"}
    assert names <= set(RANK), f"no row for {names - set(RANK)}"


def test_importing_the_core_loads_no_host_and_no_reference():
    packages = sorted({p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in SOURCES})
    code = f"import sys; [__import__(n) for n in {packages!r}]; print(sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("comfy", "folder_paths", "triton", "transformers", "diffusers"):
        assert f"'{name}'" not in loaded, f"importing wm_core imports {name}"
