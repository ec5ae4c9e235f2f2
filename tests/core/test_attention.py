"""wm_core.attention in memory: no matrix of queries by keys, whatever the head dim and however the operands lie."""

import pytest
import torch
from cases import assert_close
from einops import rearrange

from benchmarks.measure import allocator_peak
from wm_core.attention import softmax_attention

TOKENS, HEADS = 2048, 2
MATRIX = TOKENS * TOKENS * 4  # bytes, of one head


@pytest.mark.parametrize("scale", [None, 128**-0.5])
@pytest.mark.parametrize("head_dim", [112, 128])
def test_the_matrix_is_never_there(head_dim, scale):
    g = torch.Generator().manual_seed(0)
    token_major = torch.randn(3, 1, 1, TOKENS, HEADS, head_dim, generator=g)
    q, k, v = (rearrange(x, "b t n h d -> b h (t n) d") for x in token_major)  # views, as the mixers hand them over
    with torch.no_grad():
        peak = allocator_peak(lambda: softmax_attention(q, k, v, scale=scale))
        got = softmax_attention(q, k, v, scale=scale)
    exact = (q.double() @ k.double().mT * (scale or head_dim**-0.5)).softmax(-1) @ v.double()
    assert_close(got, exact, 1e-5)
    assert peak < MATRIX / 2, f"{peak / 2**20:.1f} MiB, a matrix is {MATRIX / 2**20:.0f}"
