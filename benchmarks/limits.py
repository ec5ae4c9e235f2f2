"""What things may cost on a CPU: long films, causal decoding in parts, a minute of 720p, refining, loading. Rows of ours alone.

Memory is told on Linux only; elsewhere those rows say that they were not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from .apart import call_apart, tells_memory
from .ceilings import ceilings
from .devices import CPU
from .loading import KINDS, write
from .long_run import COMPARED, WARM_UP, measure
from .measure import ALIKE, Case, alternate
from .rolling import roll
from .rows import Figure, Limit
from .shared_limits import VECTORS, Found, activation_slope, filled, stage_figures, stage_rows

FRAMES_OF_A_MINUTE = 961
# torch takes a several times slower 3-D convolution on a CPU where b * c * t * h of its input is at most 20480. With a
# quarter of the released widths 25 rows are above that in all but the first, as 22 rows are with the released ones
LIKE_RELEASED = (25, 4)


def long_film(quick: bool) -> Iterator[Limit]:
    chunks, repeats = (120, 3) if quick else (400, 6)
    time = Limit(f"film of {chunks} chunks, time of the last {COMPARED} / of {COMPARED} after {WARM_UP}", "ratio", 1.03)
    memory = Limit(
        f"film of {chunks} chunks, live memory, chunks {WARM_UP} to {chunks - COMPARED}", "MB per chunk", 0.1
    )
    if not tells_memory():
        yield from (time, memory)
        return
    run = measure(chunks, repeats)
    beside = f"standard error {run.in_turn_error:.3f}; in one run {run.in_one_run:.3f}; {run.chunk_s:.2f} CPU s a chunk"
    yield Limit(time.what, time.unit, time.goal, run.in_turn, beside)
    yield Limit(memory.what, memory.unit, memory.goal, run.growth)


def decoding(quick: bool) -> Iterator[Limit]:
    for grid in ((5, 8),) if quick else ((5, 8), LIKE_RELEASED):
        yield from (decoding_time(grid, 7, chunk) for chunk in (3, 1))
    yield stream_memory("causal VAE, chunks of 3", 9, 33, chunk=3, causal=True, thinner=8)
    # chunks of 4 with 3 more on either side: from 17 latents on the windows have their full size
    yield stream_memory("VAE that looks ahead, chunks of 4", 17, 33, chunk=4, causal=False, thinner=16)


def decoding_time(grid: tuple[int, int], frames: int, chunk: int) -> Limit:
    times = alternate(Case("vae.decode_by_chunks", {"grid": grid, "frames": frames, "chunk": chunk}))
    what = f"causal VAE decode of {grid[0]} x {grid[1]} x {frames}, time by {chunk} / time at once"
    if not times.difference <= ALIKE:
        raise RuntimeError(f"{what}: the pixels differ by {times.difference:.1e}, the times mean nothing")
    beside = f"{times.ours:.2f} / {times.theirs:.2f} CPU s; pixels differ by {times.difference:.0e}"
    return Limit(what, "ratio", 1.10, times.ours / times.theirs, beside)


def stream_memory(name: str, few: int, many: int, **settings) -> Limit:
    what = f"{name}, extra memory {many} / {few} latents"
    if not tells_memory():
        return Limit(what, "ratio", 1.05)
    needs = lambda frames: call_apart("vae.stream_memory", {"grid": (5, 8), "frames": frames, **settings})
    before, after = needs(few), needs(many)
    return Limit(what, "ratio", 1.05, after / before, f"{after:.1f} / {before:.1f} MiB")


def minute(quick: bool) -> Iterator[Limit]:
    if quick:
        return
    what = "film of 961 frames of 704 x 1280, peak memory of the process"
    if not tells_memory():
        yield Limit(what, "MiB", 3072)
        return
    made = call_apart("minute.make_minute", {}, frees_at_once=False)
    if made["frames"] != FRAMES_OF_A_MINUTE:
        raise RuntimeError(f"{what}: the video has {made['frames']} frames")
    beside = f"{made['wall_s']:.0f} s wall, {made['cpu_s']:.0f} CPU s"
    yield Limit(what, "MiB", 3072, made["peak"], beside)


def refiner_loop(quick: bool) -> Iterator[Limit]:
    size = {"size": "tiny" if quick else "toy"}
    passes = call_apart("refiner.count_passes", size)
    what = "refiner, forwards through the model for one block"
    yield Limit(what, "forwards", 3, passes["ours"], f"diffusers {passes['theirs']:g}")
    kept = call_apart("refiner.count_kept_frames", size)
    what = "refiner, latent frames whose K and V are kept"
    yield Limit(what, "frames", 11, kept["ours"], f"diffusers {kept['theirs']:g}")
    for name, frames in (("toy", 19), ("interleaved", 16))[: 1 if quick else None]:
        peak = call_apart("refiner.predict_peak", {"size": name, "frames": frames}, frees_at_once=False)
        said, found = peak["said"], peak["measured"]
        what, off = f"refiner, {name}, peak predicted beside the allocator's", abs(said / found - 1)
        yield Limit(what, "% off", 5, 100 * off, f"{said:.1f} / {found:.1f} MiB")


def loading(quick: bool) -> Iterator[Limit]:
    """Weights in the file's own dtype stay in the file; cast ones are the result and nothing else."""
    for kind in KINDS:
        same = Limit(f"loading {kind} as the file has it, private memory", "% of the file", 5)
        cast = Limit(f"loading {kind} as float32, private memory", "% of most", 100)

        def measure(kind=kind, same=same, cast=cast) -> Found:
            with TemporaryDirectory() as folder:
                path = str(write(kind, Path(folder, "model")))
                call = lambda dtype: call_apart("loading.load", {"kind": kind, "path": path, "dtype": dtype})
                kept, wide = call("bfloat16"), call(None)
            beside = f"{kept['added']:.3g} of {kept['file']:.4g} MiB; {kept['cpu_s']:.2g} CPU s"
            most = wide["result"] + wide["largest"]
            told = f"{wide['added']:.4g} MiB; most: the result {wide['result']:.4g} + its largest tensor {wide['largest']:.3g}"
            return {
                same.what: (100 * kept["added"] / kept["file"], beside),
                cast.what: (100 * wide["added"] / most, f"{told}; {wide['cpu_s']:.2g} CPU s"),
            }

        yield from filled([same, cast], measure if tells_memory() else dict, CPU)


def activations(quick: bool) -> Iterator[Limit]:
    if not quick:
        case = Case("dit.forward", {"grid": (11, 20), "frames": VECTORS[1]})
        yield from activation_slope("DiT, 11 x 20, 4 blocks, fp32", case, width=448, itemsize=4)


def stages(quick: bool) -> Iterator[Limit]:
    """Which part of a small film each stage takes."""
    size = "tiny" if quick else "toy"
    name = f"film of {size} models, three stages"
    pace, rows = Figure(name, "CPU s a chunk"), stage_rows(name, CPU)

    def measure() -> Found:
        made = roll(size, CPU, "float32", chunks=10, apart=2)
        return {name: (made.chunk_s, "")} | stage_figures(rows, made, ceilings(CPU, "float32"))

    yield from filled([pace, *rows], measure, CPU)


# name -> rows, measured one by one
LIMITS = {
    "long_film": long_film,
    "decoding": decoding,
    "minute": minute,
    "refiner_loop": refiner_loop,
    "loading": loading,
    "activations": activations,
    "stages": stages,
}
