"""The refiner's nodes as the host runs them, on the tiny refiner."""

from __future__ import annotations

import torch
from rollout_nodes import run_node

LATENTS = torch.randn(1, 8, 11, 2, 3, generator=torch.Generator().manual_seed(4))
CONTEXT = torch.randn(1, 128, 32, generator=torch.Generator().manual_seed(5))


def conditioning(context=CONTEXT):
    return [[context, {}]]


def refine(model, draft=None, prefix="video/refined", **options):
    from sana_wm_pack.nodes.refine import SanaWMRefine

    values = {
        "fps": 16.0, "mode": "block by block", "start_sigma": 0.909375, "seed": 7, "save_prefix": prefix, "resume": "auto",
        "positive": conditioning(), "draft": {"samples": LATENTS} if draft is None else draft,
    } | options  # fmt: skip
    return run_node(SanaWMRefine, refiner=model, **values)
