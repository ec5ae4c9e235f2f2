"""The tables of comparisons: which cases are compared with diffusers and others' kernels, on a CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from .devices import GPU
from .measure import Case
from .questions import Question

ON_GPU = {"device": GPU, "dtype": "bfloat16"}
SGLANG, FLA = "sglang.jit_kernel.diffusion.triton.sana_wm_gdn_chunkwise", "fla.ops.gated_delta_rule"
GRID = (22, 40)  # latents of 704 x 1280


def dit(grid: tuple[int, int], frames: int, **settings) -> Case:
    return Case("dit.forward", {"grid": grid, "frames": frames, **settings})


def cpu_questions() -> Iterator[Question]:
    for branch in ("main", "camera"):
        for frames, quick in ((11, True), (31, False)):
            case, what = Case(f"gdn.{branch}_branch", {"frames": frames}), f"GDN {branch}, 880 x {frames} tokens"
            yield Question(what, "time", 2.0, case, quick=quick)
        yield Question(f"{what}, extra memory", "memory", 5.0, case, quick=True)
    shapes = (((6, 10), 5), ((6, 10), 11), ((6, 10), 21), ((6, 10), 41), ((11, 20), 11), ((11, 20), 21))
    for grid, frames in shapes:
        tokens = grid[0] * grid[1] * frames
        goal, quick = 1.5 if tokens <= 700 else 1.15, tokens < 2000 and frames != 21
        yield Question(
            f"DiT, {grid[0]} x {grid[1]} x {frames} = {tokens} tokens", "time", goal, dit(grid, frames), quick=quick
        )
    yield Question("DiT, 11 x 20, extra memory per 20 frames (21 -> 41)", "slope", 2.5, dit((11, 20), 41), 21)
    for frames in (3, 9, 17):
        case = Case("vae.decode", {"grid": (5, 8), "frames": frames})
        yield Question(f"VAE decode, 5 x 8 x {frames} latents", "time", 1.0, case, quick=frames == 3)


def half_questions() -> Iterator[Question]:
    """In place of theirs: ours from a float32 file."""
    for frames, build, how in (
        (11, "cast_once", "cast as it is loaded"),
        (11, "cast_by_layer", "cast in every layer"),
        (3, "cast_by_layer", "cast in every layer"),
    ):
        what = f"DiT on 6 x 10 x {frames} tokens, from an fp32 file / a bf16 file {how}"
        case = Case(f"half.{build}", {"grid": (6, 10), "frames": frames})
        yield Question(what, "time", 0.6, case, quick=frames == 11)


def refiner_questions() -> Iterator[Question]:
    sizes = {"toy": ("1024", 1.3, True), "toy, short text": ("64", 1.0, False)}
    for size, (text, goal, quick) in sizes.items():
        what = f"refiner block, 6 x 10 x 3 tokens, {text} of text"
        yield Question(what, "time", goal, Case("refiner.block", {"size": size}), quick=quick)
    yield Question("refiner block, extra memory", "memory", 1.0, Case("refiner.block", {"size": "toy"}), quick=True)
    what = "refiner keys of the text: in each pass of a block / once"
    yield Question(what, "time", 1.0, Case("refiner.prompt_keys", {"size": "toy"}), quick=True)


def gdn_gpu_questions() -> Iterator[Question]:
    """Whole branches behind their projections, with norms and rotation: what the kernels fuse."""
    for branch in ("main", "camera"):
        for frames in (31, 121):
            settings = {"grid": GRID, "frames": frames, "heads": 20, **ON_GPU}
            what = f"GDN {branch} with norms, 880 x {frames} tokens, 20 heads"
            yield Question(what, "time", 3.0, Case(f"branches.{branch}", settings))
            case = Case(f"branches.{branch}", settings | {"beside": "sglang"})
            yield Question(f"{what}: SGLang / ours", "time", 1.0, case, needs=SGLANG)
            if frames == 31:
                yield Question(f"{what}, extra memory", "memory", 5.0, Case(f"branches.{branch}", settings))
    case = Case("branches.main", {"grid": GRID, "frames": 31, "heads": 20, "beside": "fla", **ON_GPU})
    yield Question("fla's rule token by token, both ways, no norms / GDN main, x 31", "time", 1.0, case, needs=FLA)


def dit_gpu_questions() -> Iterator[Question]:
    for frames in (3, 21, 121):
        case, what = dit(GRID, frames, depth=20, heads=20, **ON_GPU), f"DiT, 22 x 40 x {frames} tokens, 20 blocks"
        yield Question(what, "time", 2.0, case)
        if frames == 21:
            yield Question(f"{what}, extra memory", "memory", 2.5, case)


def vae_gpu_questions() -> Iterator[Question]:
    case = Case("vae.decode", {"grid": GRID, "frames": 4, "thinner": 1, **ON_GPU})
    yield Question("VAE decode, 22 x 40 x 4 latents", "time", 1.0, case)


def refiner_gpu_questions() -> Iterator[Question]:
    size = {"size": "released", **ON_GPU}
    case, what = Case("refiner.block", size), "refiner block, 22 x 40 x 3 tokens, 48 layers"
    yield Question(what, "time", 1.5, case)
    yield Question("refiner block, extra memory", "memory", 1.0, case)
    yield Question("refiner block, in 4 passes / in 3", "time", 1.0, Case("refiner.merging", size))
    # 3 x 23.6 GB come over for a block: at 50 GB/s 1.4 s, beside 0.46 s of computing at the least
    case = Case("refiner.swapping", {"resident": 4, **size})
    yield Question("refiner block, 48 layers / 4 layers on the card", "time", 0.3, case)


COMPARISONS = {"diffusers": cpu_questions, "half": half_questions, "refiner": refiner_questions}
GPU_COMPARISONS = {
    "gdn_gpu": gdn_gpu_questions,
    "dit_gpu": dit_gpu_questions,
    "vae_gpu": vae_gpu_questions,
    "refiner_gpu": refiner_gpu_questions,
}
