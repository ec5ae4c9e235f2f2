"""Softmax attention: one function, one signature, whichever kernel runs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# attend(q, k, v, mask=..., scale=...) -> out; q (b, h, n, d), k v (b, h, l, d), mask (b, l) True = keep or None.
Attend = Callable[..., Tensor]


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Plain scaled dot-product attention in the dtype of its inputs; never forms the n x l matrix itself.

    q (b, h, n, d), k and v (b, h, l, d), mask (b, l) with True = attend. scale: None = 1/sqrt(d).
    """
    keep = None if mask is None else mask[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, scale=scale)


def padded_scale(head_dim: int) -> float:
    """1/sqrt of the head dim that a kernel made for 32, 64, 128 and 256 pads to; see `Reference`."""
    padded = head_dim if head_dim in (32, 64) else 128 if head_dim <= 128 else 256
    return padded**-0.5


def rounded_to_bf16(attend: Attend) -> Attend:
    """The same attention on operands rounded to bfloat16; see `Reference.softmax_bf16`."""

    def rounded(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
        return attend(*(x.to(torch.bfloat16) for x in (q, k, v)), **options).to(q.dtype)

    return rounded
