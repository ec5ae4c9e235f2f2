"""Compiles every fused kernel as it is launched at released sizes, for cards that need not be there: what each would take.

    python -m tools.compile_kernels [--dtype bfloat16 float32] [--target 80 86 90 120]

Prints registers, bytes spilled to the stack and bytes of shared memory. Needs triton, no GPU. A kernel that does not compile,
or that asks for more shared memory than the card has, ends the program with 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

SHARED_BYTES = {80: 166912, 86: 101376, 89: 101376, 90: 232448, 120: 101376}  # CUDA programming guide, to one block
POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32", torch.int32: "*i32"}
BINARIES = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
OPTIONS = ("num_warps", "num_stages")
FRAMES, GRID, HEADS, DIM = 3, (22, 40), 20, 112  # one chunk of the released stage 1
REFINER_HEADS, REFINER_DIM = 32, 128


@dataclass(frozen=True)
class Launch:
    """A kernel as it was called: types and values of its arguments, its compile-time constants, its options."""

    kernel: JITFunction
    arguments: tuple
    constants: tuple[tuple[str, object], ...]
    options: tuple[tuple[str, int], ...]

    def source(self) -> ASTSource:
        """As the runtime specialises it: what divides by 16 is known to."""
        constants = dict(self.constants)
        names = [name for name in self.kernel.arg_names if name not in constants]
        signature = {name: "constexpr" for name in constants}
        attributes = {}
        for name, value in zip(names, self.arguments, strict=True):
            if value is None or (type(value) is int and value == 1):
                constants[name], signature[name] = value, "constexpr"
                continue
            signature[name] = value if isinstance(value, str) else "i32" if type(value) is int else "fp32"
            if isinstance(value, str) or (type(value) is int and value % 16 == 0):
                attributes[(self.kernel.arg_names.index(name),)] = [["tt.divisibility", 16]]
        ordered = {name: signature[name] for name in self.kernel.arg_names}
        return ASTSource(self.kernel, ordered, constants, attributes)


@dataclass(frozen=True)
class Compiled:
    kernel: str
    dtype: str
    target: int
    registers: int
    spilled: int
    shared: int
    warps: int

    @property
    def fits(self) -> bool:
        return self.shared <= SHARED_BYTES[self.target]


class Recorder:
    """Takes the place of launching while it is open: nothing runs, every call is kept."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def __enter__(self) -> list[Launch]:
        self._run = JITFunction.run
        recorder = self

        def keep(kernel, *arguments, grid, warmup=False, **named):
            options = tuple((name, named.pop(name)) for name in OPTIONS if name in named)
            constants = {name: value for name, value in named.items() if name in kernel.arg_names}
            kinds = tuple(POINTERS[a.dtype] if isinstance(a, Tensor) else a for a in arguments)
            launch = Launch(kernel, kinds, tuple(constants.items()), options)
            if launch not in recorder.launches:
                recorder.launches.append(launch)

        JITFunction.run = keep
        return self.launches

    def __exit__(self, *_) -> None:
        JITFunction.run = self._run


@torch.no_grad()
def launches(dtype: torch.dtype) -> list[Launch]:
    """Every launch of one chunk of a stream, and of the refiner's block, at released widths."""
    from wm_core.gdn import triton_branches
    from wm_core.gdn.branches import Projected
    from wm_core.kernels import triton_convs, triton_norms
    from wm_core.positions import Rotation, ray_geometry, rotation_table

    grid, c, n = (FRAMES, *GRID), HEADS * DIM, GRID[0] * GRID[1]
    room = lambda *shape: torch.zeros(shape, dtype=dtype)
    wide = lambda *shape: torch.zeros(shape)
    q, k, v = room(1, FRAMES, n, 3 * c).chunk(3, -1)
    own_k = room(1, FRAMES, n, c)
    weights, gates = (room(c), room(c)), (room(1, FRAMES, n, HEADS), wide(1, HEADS, FRAMES))
    x = Projected(q, own_k, v, *weights, 1e-6, *gates)
    rotation = rotation_table(grid, DIM)
    raymap = torch.eye(4).flatten().repeat(1, FRAMES, 1)
    raymap = torch.cat([raymap, torch.ones(1, FRAMES, 4)], -1)
    rays = ray_geometry(raymap, grid, (1, 1, 1), rotation_table(grid, DIM, turned=DIM // 2))
    memory = wide(1, HEADS, DIM, DIM)
    inner = REFINER_HEADS * REFINER_DIM
    angles = wide(FRAMES * n, REFINER_HEADS, REFINER_DIM // 2)
    with Recorder() as kept:
        triton_branches.main_branch(x, rotation, chunks=(FRAMES,), past=(memory, wide(1, HEADS, 1, DIM)))
        triton_branches.camera_branch(x, rays, clamp=True, chunks=(FRAMES,), past=memory)
        triton_norms.modulate(own_k, *room(1, FRAMES, 2, c).unsqueeze(3).unbind(2))
        flat = Rotation(rotation.cos.flatten(0, 1), rotation.sin.flatten(0, 1))
        triton_norms.norm_rotate(q.flatten(1, 2), weights[0], 1e-6, flat)
        triton_convs.short_conv(k, room(c, 1, 4), (FRAMES,), room(1, 3, n, c))
        triton_convs.gated_depthwise(room(1, FRAMES, n, 6 * c), GRID, room(6 * c, 1, 3, 3), room(6 * c))
        triton_norms.rms_modulate(room(1, FRAMES * n, inner), room(inner), room(inner), 1e-6)
        for halves in (True, False):
            triton_norms.norm_rotate(
                room(1, FRAMES * n, inner), room(inner), 1e-6, Rotation(angles, angles), halves=halves
            )
    return kept


def compiled(launch: Launch, dtype: torch.dtype, target: int) -> Compiled:
    made = triton.compile(launch.source(), target=GPUTarget("cuda", target, 32), options=dict(launch.options))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [BINARIES / "cuobjdump", "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, spilled = (int(re.search(rf"{word}:(\d+)", said).group(1)) for word in ("REG", "STACK"))
    name, warps = launch.kernel.fn.__name__, dict(launch.options).get("num_warps", 4)
    return Compiled(name, str(dtype).removeprefix("torch."), target, registers, spilled, made.metadata.shared, warps)


def table(dtypes: list[str], targets: list[int]) -> Iterator[Compiled]:
    for dtype in (getattr(torch, name) for name in dtypes):
        for launch in launches(dtype):
            yield from (compiled(launch, dtype, target) for target in targets)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"], choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--target", nargs="+", type=int, default=list(SHARED_BYTES), choices=list(SHARED_BYTES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    bad = 0
    if not options.json:
        print(f"{'kernel':<28} {'dtype':<9} {'sm':>4} {'warps':>5} {'registers':>9} {'spilled':>8} {'shared':>8}")
    for row in table(options.dtype, options.target):
        bad += not row.fits
        size = f"{row.target:>4} {row.warps:>5} {row.registers:>9} {row.spilled:>8} {row.shared:>8}"
        text = json.dumps(asdict(row)) if options.json else f"{row.kernel:<28} {row.dtype:<9} {size}"
        print(text if row.fits else text + "  does not fit", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
