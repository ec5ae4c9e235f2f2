"""Golden cases and strict comparison."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
needs_diffusers = pytest.mark.skipif(sys.version_info < (3, 11), reason="diffusers 0.42.1 needs Python 3.11")


@dataclass(frozen=True)
class Case:
    """One golden fixture: what went in, what must come out, and how close."""

    name: str
    meta: dict
    weights: dict[str, torch.Tensor]
    inputs: dict[str, torch.Tensor]
    outputs: dict[str, torch.Tensor]

    def check(self, got: torch.Tensor, key: str, *, atol: float | None = None) -> None:
        """Compare `got` with output `key` at the tolerance recorded with the fixture."""
        tolerance = self.meta["tolerance"]
        assert_close(got, self.outputs[key], tolerance["atol"] if atol is None else atol, tolerance.get("rtol", 0.0))


def assert_close(got: torch.Tensor, want: torch.Tensor, atol: float, rtol: float = 0.0) -> None:
    """abs(got - want) <= atol + rtol * abs(want), with the worst element and the RMS ratio in the message."""
    assert tuple(got.shape) == tuple(want.shape), f"shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    got, want = got.double(), want.double()
    error = (got - want).abs()
    rms = (error.square().mean() / want.square().mean().clamp_min(1e-30)).sqrt()
    assert got.isfinite().all(), "result is not finite"
    excess = (error - atol - rtol * want.abs()).max()
    assert excess <= 0, f"max abs error {error.max():.3e} (atol {atol}, rtol {rtol}), RMS ratio {rms:.3e}"


def load_case(name: str) -> Case:
    meta = json.loads((GOLDEN / f"{name}.json").read_text())
    groups: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "in": {}, "out": {}}
    for key, tensor in load_file(GOLDEN / f"{name}.safetensors").items():
        group, rest = key.split(".", 1)
        groups[group][rest] = tensor
    return Case(name, meta, groups["weights"], groups["in"], groups["out"])
