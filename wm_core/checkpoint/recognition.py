"""Which kind of file this is, told by its names, and what to say when it is not the kind that was asked for."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..errors import CheckpointError
from .keymaps import (
    CONNECTOR_LAYOUTS,
    FOREIGN,
    FOREIGN_VAES,
    PREFIXES,
    REFINER_LAYOUTS,
    VAE_LAYOUTS,
    WORLD_LAYOUTS,
    Foreign,
    Layout,
)

LAYOUTS = (*WORLD_LAYOUTS, *VAE_LAYOUTS)
# The order counts: a SANA-WM file has all names of one without camera, an LTX-2 checkpoint holds a VAE as well.
KINDS = (*WORLD_LAYOUTS, *FOREIGN, *VAE_LAYOUTS, *FOREIGN_VAES)

# What was asked for, and which file to take instead.
_WANTED = {
    WORLD_LAYOUTS: (
        "a SANA-WM stage-1 model",
        "choose a file of SANA-WM's stage 1, about 10 GB as released or 5.3 GB in bf16",
    ),
    VAE_LAYOUTS: ("an LTX-2 video VAE", "choose the video VAE of LTX-2, about 2.4 GB"),
    REFINER_LAYOUTS: (
        "an LTX-2 transformer",
        "choose the transformer of SANA-WM's refiner, about 38 GB as released",
    ),
    CONNECTOR_LAYOUTS: (
        "the text connectors of LTX-2",
        "choose those of SANA-WM's refiner, in its folder connectors, about 2.9 GB",
    ),
}


def known_prefix(keys: Collection[str], layouts: tuple[Layout, ...] = LAYOUTS) -> str:
    """The shortest chain of known prefixes under which one of `layouts` lies; '' if it lies bare or there is none."""
    found = (prefix for layout in layouts for prefix in _prefixes(keys, layout) if _is_known(prefix))
    return next(found, "")


def recognise(keys: Collection[str], layouts: tuple[Layout, ...] = LAYOUTS) -> Layout | None:
    """The layout whose names are all there, without a prefix."""
    return next((layout for layout in layouts if all(name in keys for name in layout.has)), None)


def refusal(path: Path, keys: Collection[str], wanted: tuple[Layout, ...]) -> CheckpointError:
    """The error for a file of these keys, whole, that is in none of the layouts `wanted`."""
    what, instead = _WANTED[wanted]
    return CheckpointError(f"{path.name} is not {what}: {_finding(keys, wanted, instead)}")


def _finding(keys: Collection[str], wanted: tuple[Layout, ...], instead: str) -> str:
    if not keys:
        return "it holds no tensors; download it again"
    for layout in wanted:
        for prefix in _prefixes(keys, layout):
            return (
                f"it holds {layout.name} under the prefix {prefix!r}, which is not one of {', '.join(PREFIXES)}; "
                "save it again without the prefix"
            )
    for kind in KINDS:
        if _looks_like(kind, keys):
            return f"it looks like: {kind.name}; {kind.advice or instead}"
    expected = " or ".join(f"{layout.has[0]} ({layout.name})" for layout in wanted)
    return f"its keys begin {', '.join(sorted(keys)[:3])}, expected {expected}; {instead}"


def _looks_like(kind: Layout | Foreign, keys: Collection[str]) -> bool:
    if isinstance(kind, Layout):
        return bool(_prefixes(keys, kind))
    return any(re.fullmatch(rf"(.+\.)?({kind.pattern})", key) for key in keys)


def _prefixes(keys: Collection[str], layout: Layout) -> list[str]:
    """Everything under which all names of `layout` lie, shortest first."""
    first = layout.has[0]
    ends = sorted((key[: -len(first)] for key in keys if key.endswith(first)), key=len)
    return [p for p in ends if (not p or p.endswith(".")) and all(p + name in keys for name in layout.has)]


def _is_known(prefix: str) -> bool:
    while prefix:
        known = next((p for p in PREFIXES if prefix.startswith(p)), None)
        if known is None:
            return False
        prefix = prefix[len(known) :]
    return True
