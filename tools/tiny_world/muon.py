"""Muon: momentum whose update is made orthogonal, for weights that are matrices or convolutions. Jordan et al. 2024.

torch.optim.Muon takes matrices only. Here a convolution counts as the matrix (out, in * taps), and the Newton-Schulz
steps run on the small Gram matrix, which for the 96 x 2592 weights of the VAE is several times cheaper.
"""

from __future__ import annotations

from collections.abc import Iterable

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
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "average" not in state:
                    state["average"] = torch.zeros_like(p.grad)
                average = state["average"].lerp_(p.grad, 1 - group["momentum"])
                nesterov = p.grad.lerp(average, group["momentum"])
                matrix = nesterov.flatten(1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                p.add_(orthogonal(matrix).view(p.shape), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with every singular value near 1: (m, n) -> (m, n)."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    gram = x @ x.T
    a, b, c = COEFFICIENTS
    eye = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    total = eye
    for _ in range(STEPS):
        step = a * eye + b * gram + c * gram @ gram
        total = step @ total
        gram = step @ gram @ step
    x = total @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
