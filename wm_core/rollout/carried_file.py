"""What a rollout's models carry, as named tensors and a description in JSON, and back."""

from __future__ import annotations

from dataclasses import fields

from torch import Tensor

from ..dit import WorldState
from ..dit.state import BlockState, GDNState
from ..kv_window import KVWindow
from .session import Carried


def flatten(carried: Carried) -> tuple[dict[str, Tensor], dict]:
    """(tensors by name, what is needed to put them together again)."""
    tensors: dict[str, Tensor] = {}
    states = carried.world if isinstance(carried.world, tuple) else (carried.world,)
    described = [_flatten_state(state, f"state{i}.", tensors) for i, state in enumerate(states)]
    tensors |= {f"tail.{i:03}": tail for i, tail in enumerate(carried.tails or ())}
    tails = None if carried.tails is None else len(carried.tails)
    return tensors, {"chunks": carried.chunks, "states": described, "tails": tails}


def unflatten(tensors: dict[str, Tensor], about: dict) -> Carried:
    """The inverse; KeyError or TypeError if they do not belong together."""
    states = tuple(_unflatten_state(state, f"state{i}.", tensors) for i, state in enumerate(about["states"]))
    tails = None if about["tails"] is None else tuple(tensors[f"tail.{i:03}"] for i in range(about["tails"]))
    return Carried(about["chunks"], states if len(states) > 1 else states[0], tails)


def _flatten_state(state: WorldState, prefix: str, tensors: dict[str, Tensor]) -> dict:
    """Put a state's tensors under names; returns what is needed to put it together again."""
    blocks = []
    for i, block in enumerate(state.blocks):
        name = f"{prefix}block{i:02}."
        if block.ffn_tail is not None:
            tensors[f"{name}ffn_tail"] = block.ffn_tail
        if isinstance(block.mixer, KVWindow):
            window = block.mixer
            for c, chunk in enumerate(window.chunks):
                tensors |= {f"{name}window.{c}.{k}": tensor for k, tensor in enumerate(chunk)}
            widths = [len(chunk) for chunk in window.chunks]
            blocks.append({"window": widths, "size": window.size, "keeps_sink": window.keeps_sink})
        else:
            parts = {f.name: getattr(block.mixer, f.name) for f in fields(GDNState)}
            tensors |= {f"{name}{part}": tensor for part, tensor in parts.items() if tensor is not None}
            blocks.append({"gdn": sorted(part for part, tensor in parts.items() if tensor is not None)})
    return {"frames": state.frames, "blocks": blocks}


def _unflatten_state(about: dict, prefix: str, tensors: dict[str, Tensor]) -> WorldState:
    blocks = []
    for i, block in enumerate(about["blocks"]):
        name = f"{prefix}block{i:02}."
        if "window" in block:
            chunks = [
                tuple(tensors[f"{name}window.{c}.{k}"] for k in range(width)) for c, width in enumerate(block["window"])
            ]
            mixer: KVWindow | GDNState = KVWindow(tuple(chunks), block["size"], block["keeps_sink"])
        else:
            mixer = GDNState(**{part: tensors[f"{name}{part}"] for part in block["gdn"]})
        blocks.append(BlockState(mixer, tensors.get(f"{name}ffn_tail")))
    return WorldState(tuple(blocks), about["frames"])
