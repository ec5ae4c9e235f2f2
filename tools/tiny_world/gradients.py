"""Gradients of a training step. On CUDA the step is recorded once as a graph and replayed.

The tiny models are thousands of small kernels, and launched one by one from Python they take many times what they compute: a
step of the dense model on 16 clips of 65 frames took 313 ms so on an H200, recorded 47 ms (32 clips: 76 ms, 64 clips: 136 ms;
2026-11-27). A recording takes 2 s, of a rollout of 26 latents most of a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# gather(key, *tensors) runs forward and backward and returns what to log; it may not look at a tensor's values
Gather = Callable[..., Tensor]
WARM_UP = 2  # runs before a recording: libraries load, workspaces are made


@dataclass(frozen=True, eq=False)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: Tensor
    gradients: tuple[Tensor | None, ...]


class Gradients:
    """Leaves the gradients of `gather` in the parameters' .grad; call it with what does not change as `key`.

    on_recorded is told how many seconds a recording took.
    """

    def __init__(
        self,
        gather: Gather,
        parameters: Sequence[nn.Parameter],
        device: str | torch.device,
        on_recorded: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.gather, self.parameters, self.on_recorded = gather, list(parameters), on_recorded
        self.records = torch.device(device).type == "cuda"
        self._recordings: dict[Hashable, _Recording] = {}
        self._pool = None

    def __call__(self, key: Hashable, *tensors: Tensor) -> Tensor:
        """What `gather` returned, detached. `key` must tell apart whatever changes the work: shapes, chunks, steps."""
        if not self.records:
            self._clear()
            return self.gather(key, *tensors).detach()
        if key not in self._recordings:
            begun = time.perf_counter()
            self._recordings[key] = self._record(key, tensors)
            self.on_recorded(time.perf_counter() - begun)
        recording = self._recordings[key]
        for place, tensor in zip(recording.inputs, tensors, strict=True):
            place.copy_(tensor)
        recording.graph.replay()
        for p, gradient in zip(self.parameters, recording.gradients):
            p.grad = gradient
        return recording.result.clone()

    def _record(self, key: Hashable, tensors: tuple[Tensor, ...]) -> _Recording:
        inputs = tuple(tensor.clone() for tensor in tensors)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._clear()
                self.gather(key, *inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._clear()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = self.gather(key, *inputs).detach()
        self._pool = graph.pool()  # recordings are never replayed at once, so they share what lies between their steps
        return _Recording(graph, inputs, result, tuple(p.grad for p in self.parameters))

    def _clear(self) -> None:
        for p in self.parameters:
            p.grad = None
