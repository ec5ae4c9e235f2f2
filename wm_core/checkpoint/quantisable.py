"""Which layers of a model may be rounded: large matrices inside its blocks. A table only.

Norms, embeddings, gates, tables, short convolutions, first and last layers stay as they are: they are a small part of the
bytes, and what they get wrong no later layer mends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MULTIPLE = 16  # of rows and columns, which the kernels for small numbers and the block scales of nvfp4 need

# By the name of a parameter, without `.weight`.
WORLD_LAYERS = (
    r"blocks\.\d+\.attn\.(qkv|proj|[qkv]_proj_cam|out_proj_cam)",
    r"blocks\.\d+\.cross_attn\.(q_linear|kv_linear|proj)",
    r"blocks\.\d+\.plucker_proj",
    r"blocks\.\d+\.mlp\.(inverted_conv\.conv|point_conv\.conv|t_conv)",
)
REFINER_LAYERS = (
    r"transformer_blocks\.\d+\.attn[12]\.to_(q|k|v|out\.0)",
    r"transformer_blocks\.\d+\.ff\.net\.(0\.proj|2)",
)


def quantisable(shapes: Iterable[tuple[str, tuple[int, ...]]], layers: tuple[str, ...]) -> list[str]:
    """Names of the layers that match `layers` and whose matrix can be quantised; shapes: of parameters, in their order."""
    found = []
    for name, shape in shapes:
        layer = name.removesuffix(".weight")
        fits = len(shape) == 2 and not any(size % MULTIPLE for size in shape)
        if layer != name and fits and any(re.fullmatch(pattern, layer) for pattern in layers):
            found.append(layer)
    return found
