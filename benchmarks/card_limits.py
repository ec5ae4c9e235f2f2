"""What the released sizes may cost on a GPU: share of the roof, memory for a token, rolling with all stages, ten minutes.

Rows of ours alone, with random weights in bfloat16. Where there is no GPU each row says that it was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from .ceilings import ceilings
from .comparisons import GRID, ON_GPU, dit
from .devices import GPU, is_there, why_missing
from .long_run import COMPARED, WARM_UP
from .measure import Case, share_alone
from .rolling import roll, roll_long
from .rows import Figure, Floor, Limit
from .shared_limits import VECTORS, Found, activation_slope, filled, stage_figures, stage_rows

THREE = "720p, three stages, bf16"


def roofs() -> Iterator[Limit]:
    """What the scan reaches of what memory allows: q, k, v read once and the result written once."""
    for branch in ("main", "camera"):
        for frames in (31, 121):
            case = Case(f"branches.{branch}", {"grid": GRID, "frames": frames, "heads": 20, **ON_GPU})
            row = Floor(f"GDN {branch} with norms, 880 x {frames} tokens, 20 heads", "% of the roof", 60)
            yield from filled([row], partial(_share, row.what, case), GPU)


def activations() -> Iterator[Limit]:
    case = dit(GRID, VECTORS[1], depth=20, heads=20, **ON_GPU)
    yield from activation_slope("DiT, 22 x 40, 20 blocks, bf16", case, width=2240, itemsize=2)


def streaming() -> Iterator[Limit]:
    speed = Floor(THREE, "x realtime", 1.8)
    first = Limit(f"{THREE}, until the first frames, kernels compiled", "s", 2.0)
    peak = Limit(f"{THREE}, peak memory", "GB", 45)
    stages = stage_rows(THREE, GPU)

    def measure() -> Found:
        made = roll("720p", **ON_GPU)
        return stage_figures(stages, made, ceilings(GPU, ON_GPU["dtype"])) | {
            speed.what: (made.speed, f"{made.chunk_s:.4g} s a chunk of 24 frames; the stretch is 2.1"),
            first.what: (made.first_s, f"{made.cold_s:.3g} s before they were"),
            peak.what: (made.peak, "weights, windows and all"),
        }

    yield from filled([speed, first, peak, *stages], measure, GPU)


def draft() -> Iterator[Limit]:
    name = "720p, stage 1 and VAE, bf16"
    rows = [Limit(f"{name}, peak memory", "GB", 11), Figure(name, "x realtime")]

    def measure() -> Found:
        made = roll("720p", **ON_GPU, refined=False, chunks=12)
        beside = f"{made.chunk_s:.3g} s a chunk; first frames after {made.first_s:.3g} s"
        idle = f"of it {made.encoder:.3g} GB the VAE's encoder, which has nothing to do"
        return {rows[0].what: (made.peak, idle), name: (made.speed, beside)}

    yield from filled(rows, measure, GPU)


def fp8() -> Iterator[Limit]:
    """Weights as tools.quantize writes them and the host keeps them; products in bfloat16."""
    name = "720p, three stages, weights in fp8"
    rows = [Limit(f"{name}, peak memory", "GB", 30), Figure(name, "x realtime")]
    if is_there(GPU) and (missing := why_missing("comfy_kitchen.tensor")):
        yield from (replace(row, beside=missing) for row in rows)
        return

    def measure() -> Found:
        made = roll("720p", **ON_GPU, fp8=True, chunks=12)
        return {rows[0].what: (made.peak, "comfy-kitchen"), name: (made.speed, f"{made.chunk_s:.3g} s a chunk")}

    yield from filled(rows, measure, GPU)


def ten_minutes() -> Iterator[Limit]:
    """A quarter of 720p, so that the whole takes minutes: what grows with a film does not know the picture's size."""
    name = "400 chunks (10 minutes) of 352 x 640, three stages"
    rows = [
        Limit(f"{name}, last {COMPARED} / {COMPARED} after {WARM_UP}", "ratio", 1.03),
        Limit(f"{name}, memory", "MB per chunk", 0.1),
    ]

    def measure() -> Found:
        made = roll_long("352 x 640", **ON_GPU)
        beside = f"{made.chunk_s:.3g} s a chunk, stages one after another"
        return {rows[0].what: (made.ratio, beside), rows[1].what: (made.growth, "without the finished latents")}

    yield from filled(rows, measure, GPU)


def _share(what: str, case: Case) -> Found:
    share, how = share_alone(case)
    return {what: (100 * share, how)}


# name -> rows; measured one by one, the cheap ones first
GPU_LIMITS = {
    "roofs_gpu": roofs,
    "activations_gpu": activations,
    "streaming_gpu": streaming,
    "draft_gpu": draft,
    "fp8_gpu": fp8,
    "ten_minutes_gpu": ten_minutes,
}
