"""wm_core.gdn: every backend against the definition, over shapes, chunk lists, states and strides."""

import pytest
import torch
from cases import assert_close
from einops import rearrange

from wm_core.errors import ConfigError, ShapeError
from wm_core.gdn import BACKENDS, delta_scan

SHAPES = [(1, 1, 1, 4, 1), (2, 3, 5, 8, 7), (1, 2, 9, 24, 11), (1, 2, 4, 112, 33)]  # b h t d n


def scan_inputs(shape, *, values=None, dtype=torch.float64, seed=0):
    b, h, t, d, n = shape
    g = torch.Generator().manual_seed(seed)
    draw = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    q, k = (draw(b, h, t, d, n).relu() * (d * n) ** -0.5 for _ in range(2))
    v = draw(b, h, t, values or d, n)
    beta, decay = torch.sigmoid(draw(b, h, t, n)), torch.sigmoid(draw(b, h, t) + 1)
    past = draw(b, h, values or d, d)
    return [x.to(dtype) for x in (q, k, v, beta, decay)], past.to(dtype)


def chunk_lists(t):
    yield (t,)
    yield (1,) * t
    if t > 2:
        yield (t - 2, 2)
        yield (1, t - 2, 1)


@pytest.mark.parametrize("values", [None, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "reference"])
def test_backends_agree(backend, shape, values):
    inputs, past = scan_inputs(shape, values=values)
    for chunks in chunk_lists(shape[2]):
        for state in (None, past):
            got, got_state = delta_scan(*inputs, chunks=chunks, past=state, backend=backend)
            want, want_state = delta_scan(*inputs, chunks=chunks, past=state, backend="reference")
            assert_close(got, want, 1e-12, 1e-10)
            assert_close(got_state, want_state, 1e-12, 1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunked_in_one_call_equals_streamed(backend):
    inputs, past = scan_inputs((2, 2, 7, 8, 5))
    whole, state = delta_scan(*inputs, chunks=(3, 2, 2), past=past, backend=backend)
    parts, start = [], 0
    for length in (3, 2, 2):
        piece = [x[:, :, start : start + length] for x in inputs]
        out, past = delta_scan(*piece, chunks=(length,), past=past, backend=backend)
        parts.append(out)
        start += length
    assert_close(torch.cat(parts, 2), whole, 1e-13)
    assert_close(past, state, 1e-13)


def test_no_information_crosses_a_boundary_backward():
    inputs, _ = scan_inputs((1, 2, 6, 8, 5))
    before, _ = delta_scan(*inputs, chunks=(3, 3))
    changed = [x.clone() for x in inputs]
    for x in changed:
        x[:, :, 3:] = x[:, :, 3:].flip(2)
    after, _ = delta_scan(*changed, chunks=(3, 3))
    assert torch.equal(before[:, :, :3], after[:, :, :3])
    dense_before, _ = delta_scan(*inputs, chunks=(6,))
    dense_after, _ = delta_scan(*changed, chunks=(6,))
    assert (dense_before - dense_after)[:, :, :3].abs().max() > 1e-3


def test_strided_token_major_inputs_give_the_same():
    inputs, past = scan_inputs((2, 3, 4, 8, 6), dtype=torch.float32)
    strided = [
        rearrange(rearrange(x, "b h t d n -> b t n h d").contiguous(), "b t n h d -> b h t d n") for x in inputs[:3]
    ]
    want, want_state = delta_scan(*inputs, chunks=(4,), past=past)
    got, got_state = delta_scan(*strided, *inputs[3:], chunks=(4,), past=past)
    assert_close(got, want, 1e-5)
    assert_close(got_state, want_state, 1e-5)


def test_half_precision_operands_keep_a_float32_state():
    inputs, past = scan_inputs((1, 2, 5, 16, 9), dtype=torch.float32)
    out, state = delta_scan(*(x.bfloat16() for x in inputs), chunks=(5,), past=past)
    want, _ = delta_scan(*inputs, chunks=(5,), past=past)
    assert out.dtype == torch.bfloat16 and state.dtype == torch.float32
    rms = ((out.float() - want).square().mean() / want.square().mean()).sqrt()
    assert rms < 1e-2, f"RMS ratio {rms:.2e}"


def test_state_is_not_changed_in_place():
    inputs, past = scan_inputs((1, 2, 3, 8, 5))
    kept = past.clone()
    delta_scan(*inputs, chunks=(3,), past=past)
    assert torch.equal(past, kept)


def test_errors_name_the_tensor():
    (q, k, v, beta, decay), past = scan_inputs((1, 2, 3, 8, 5))
    with pytest.raises(ShapeError, match="beta must be"):
        delta_scan(q, k, v, beta[..., :2], decay, chunks=(3,))
    with pytest.raises(ShapeError, match="past must be"):
        delta_scan(q, k, v, beta, decay, chunks=(3,), past=past[..., :2])
    with pytest.raises(ShapeError, match="sum to 3"):
        delta_scan(q, k, v, beta, decay, chunks=(2, 2))
    with pytest.raises(ConfigError, match="backend"):
        delta_scan(q, k, v, beta, decay, chunks=(3,), backend="fast")


@pytest.mark.parametrize("values", [None, 1])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_those_of_the_definition(backend, values):
    """Training needs nothing but plain autograd, so no operation may overwrite what the backward pass reads."""

    def gradients(backend):
        inputs, past = scan_inputs((1, 2, 5, 8, 6), values=values)
        leaves = [x.requires_grad_() for x in (*inputs, past)]
        out, state = delta_scan(*inputs, chunks=(3, 2), past=past, backend=backend)
        return torch.autograd.grad(out.square().sum() + state.square().sum(), leaves)

    for got, want in zip(gradients(backend), gradients("reference")):
        assert_close(got, want, 1e-11, 1e-10)
