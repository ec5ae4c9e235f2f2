"""Gated delta rule over frames: the recurrence behind three quarters of the world model. SANA-WM sec. 3.2."""

from __future__ import annotations

from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..shapes import check_chunks, check_keep
from .chunked import chunked_scan
from .reference import reference_scan

BACKENDS = {"reference": reference_scan, "chunked": chunked_scan}

__all__ = ["BACKENDS", "delta_scan"]


def delta_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    decay: Tensor,
    *,
    chunks: tuple[int, ...],
    past: Tensor | None = None,
    keep: int | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Read each frame's queries from a linear memory that every frame decays, erases from and writes to.

    With K, V, b the keys, values and write strengths of a frame's n tokens and g its decay, frame t maps the memory
    S to  g S (I - K diag(b) K^T) + V diag(b) K^T.  A token reads S q. Within a chunk the memory of the later frames,
    swept backward from the chunk's end and without the own frame, is added before reading; across a chunk boundary
    only the forward memory passes. `chunks=(t,)` is the dense model, one chunk a call with `past` is streaming.

    q, k (b, h, t, d, n); v (b, h, t, e, n), where e = d for values and 1 for the denominator; beta (b, h, t, n);
    decay (b, h, t). `past` and the returned memory: (b, h, e, d), float32; it is that after the first `keep` frames,
    all by default, which must end a chunk.
    Result (b, h, t, e, n) in v's dtype; arithmetic in float32 (float64 stays float64). ShapeError if they disagree.
    """
    _check(q, k, v, beta, decay, chunks, past)
    if backend not in BACKENDS and backend != "auto":
        raise ConfigError(f"backend must be auto or one of {', '.join(BACKENDS)}, got {backend!r}")
    keep = sum(chunks) if keep is None else keep
    check_keep(chunks, keep)
    return BACKENDS["chunked" if backend == "auto" else backend](q, k, v, beta, decay, chunks, past, keep)


def _check(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, chunks: tuple[int, ...], past: Tensor | None
) -> None:
    b, h, t, d, n = k.shape
    e = v.shape[3]
    wanted = {
        "q": (q, (b, h, t, d, n)),
        "v": (v, (b, h, t, e, n)),
        "beta": (beta, (b, h, t, n)),
        "decay": (decay, (b, h, t)),
    }
    if past is not None:
        wanted["past"] = (past, (b, h, e, d))
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise ShapeError(f"{name} must be {shape} beside k {tuple(k.shape)}, got {tuple(tensor.shape)}")
    check_chunks(chunks, t)
