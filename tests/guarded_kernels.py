"""Runs every fused kernel in Triton's interpreter with each tensor at the edge of memory that must not be touched.

    TRITON_INTERPRET=1 python tests/guarded_kernels.py before|behind [beyond]

`before` puts the forbidden page in front of each tensor, `behind` after it; a load or store outside ends the process with a
segmentation fault. `beyond` asks a kernel for one token more than there is, to see that it does.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wm_core.gdn.branches import Projected
from wm_core.kernels import proof, triton_kernels
from wm_core.positions import RayGeometry, Rotation

PAGE = mmap.PAGESIZE
KEPT = []  # the memory must outlive its tensors
HEAD_DIMS = (24, 112)
GRID = (3, 5, 7)  # tails in every block of tokens


def guarded(x: Tensor, edge: str) -> Tensor:
    """A copy of x, strides and all, beside a page that may be neither read nor written."""
    storage = x.untyped_storage()
    count = storage.nbytes() // x.element_size()
    if not count:
        return x
    size = -(-storage.nbytes() // PAGE) * PAGE + PAGE
    memory = mmap.mmap(-1, size)
    KEPT.append(memory)
    start = PAGE if edge == "before" else size - PAGE - storage.nbytes()
    flat = torch.frombuffer(memory, dtype=x.dtype, count=count, offset=start)
    flat.copy_(torch.as_strided(x, (count,), (1,), 0))
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    forbidden = address if edge == "before" else address + size - PAGE
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(forbidden), PAGE, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    return torch.as_strided(flat, x.shape, x.stride(), x.storage_offset())


def guard(value, edge: str):
    """The same for everything that a call is given."""
    if isinstance(value, Tensor):
        return guarded(value, edge)
    if isinstance(value, tuple):
        return tuple(guard(x, edge) for x in value)
    if isinstance(value, (Projected, Rotation, RayGeometry)):
        return type(value)(**{f.name: guard(getattr(value, f.name), edge) for f in fields(value)})
    return value


def guard_new_tensors(edge: str) -> None:
    """What a launcher allocates is guarded too."""
    for owner, name in ((torch, "empty"), (torch, "empty_like"), (Tensor, "new_empty")):
        make = getattr(owner, name)
        setattr(owner, name, lambda *given, make=make, **options: guarded(make(*given, **options), edge))


@torch.no_grad()
def run_all(edge: str) -> None:
    fused = triton_kernels()
    proof.GRID, proof.LONG = GRID, 9
    for head_dim in HEAD_DIMS:
        calls = list(proof._calls("cpu", torch.float32, 3 * head_dim, head_dim))
        ordinary = torch.empty, torch.empty_like, Tensor.new_empty
        for name, arguments, options in calls:
            arguments, options = guard(arguments, edge), {key: guard(value, edge) for key, value in options.items()}
            guard_new_tensors(edge)
            getattr(fused, name)(*arguments, **options)
            torch.empty, torch.empty_like, Tensor.new_empty = ordinary


def go_beyond(edge: str) -> None:
    from wm_core.kernels.triton_norms import modulate_kernel

    c = PAGE // 4
    x, row = guarded(torch.ones(1, 1, 2, c), edge), torch.zeros(1, 1, 1, c)
    steps = (2 * c, 2 * c, c, c, c, c, c)
    modulate_kernel[(2, 1)](x, row, row, torch.empty(1, 1, 4, c), 1, 3, c, *steps, 1e-6, CENTRED=True, ROWS=2, BLOCK=c)


if __name__ == "__main__":
    (go_beyond if "beyond" in sys.argv else run_all)(sys.argv[1])
    print("untouched")
