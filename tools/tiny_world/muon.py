"""Muon: momentum whose update is made orthogonal, for weights that are matrices or convolutions. Jordan et al. 2024.

torch.optim.Muon takes matrices only. Here a convolution counts as the matrix (out, in * taps), and the Newton-Schulz
steps run on the small Gram matrix, which for the 96 x 2592 weights of the VAE is several times cheaper. Weights of one
shape are updated together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that pulls every singular value towards 1


class Muon(torch.optim.Optimizer):
    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(p.shape, []).append(p)
            for params in alike.values():
                self._update(params, group["lr"], group["momentum"])

    def _update(self, params: list[nn.Parameter], rate: float, momentum: float) -> None:
        """One step of parameters that have one shape."""
        grads = [p.grad for p in params]
        for p in params:
            if "average" not in self.state[p]:
                self.state[p]["average"] = torch.zeros_like(p.grad)
        averages = [self.state[p]["average"] for p in params]
        torch._foreach_lerp_(averages, grads, 1 - momentum)
        nesterov = torch._foreach_lerp(grads, averages, momentum)
        with _full_precision():
            updates = orthogonal(torch.stack(nesterov).flatten(2))
        scale = max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
        torch._foreach_add_(params, [u.reshape(params[0].shape) for u in updates], alpha=-rate * scale)


@contextmanager
def _full_precision() -> Iterator[None]:
    """fp32: the Gram matrix holds squares of small singular values, which TF32 loses and the steps then amplify."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def orthogonal(matrix: Tensor) -> Tensor:
    """Matrices with every singular value near 1: (..., m, n) -> (..., m, n)."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    gram = x @ x.mT
    a, b, c = COEFFICIENTS
    eye = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    total = eye
    for _ in range(STEPS):
        step = a * eye + b * gram + c * gram @ gram
        total = step @ total
        gram = step @ gram @ step
    x = total @ x
    return x.mT if tall else x
