"""Hidden states of Gemma-3 as LTX-2 reads them: every layer scaled to its own range, all side by side in the channels."""

from __future__ import annotations

from torch import Tensor

from ..errors import ShapeError

SCALE = 8.0
EPSILON = 1e-6


def pack_hidden_states(states: Tensor) -> Tensor:
    """(b, l, d, layers) of the tokens that count -> (b, l, d * layers), the layer running fastest; same dtype.

    Each prompt's layer is shifted by its mean and scaled by its range over all of its tokens and channels. Padding must be
    cut off before: it would be counted. ShapeError for other shapes.
    """
    if states.ndim != 4 or not states.shape[1]:
        raise ShapeError(f"hidden states must be (b, l, d, layers) with at least one token, got {tuple(states.shape)}")
    count = states.shape[1] * states.shape[2]
    mean = states.sum((1, 2), keepdim=True) / (count + EPSILON)
    span = states.amax((1, 2), keepdim=True) - states.amin((1, 2), keepdim=True)
    return ((states - mean) / (span + EPSILON) * SCALE).flatten(2)
