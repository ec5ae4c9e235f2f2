"""For tests of Triton kernels. Without a GPU they run in Triton's interpreter (conftest.py), on the CPU.

Its bfloat16 arithmetic is wrong, so there operands are float32 and float16; bfloat16 is for a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def poisoned_empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Uninitialised memory is NaN while this is open, so that whatever a kernel does not write shows."""
    with monkeypatch.context() as patch:
        for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
            patch.setattr(owner, name, _poisoned(getattr(owner, name)))
        yield


def _poisoned(make):
    def poisoned(*arguments, **options):
        made = make(*arguments, **options)
        return made.fill_(float("nan")) if made.is_floating_point() else made

    return poisoned
