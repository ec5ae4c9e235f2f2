"""Opening the refiner and its text connectors: diffusers folders, shards, or one file of original LTX-2 names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..config import ConnectorConfig, RefinerConfig
from ..errors import CheckpointError
from .files import SUFFIXES, WeightFile, open_weights
from .keymaps import CONNECTOR_LAYOUTS, REFINER_LAYOUTS
from .layouts import connector_names, refiner_names
from .quantised import QuantisedLayer, split_quantised
from .recognition import recognise, refusal
from .refiner_config import connector_config, refiner_config
from .refiner_guard import Finding, examine

NEWER = re.compile(r"(.*\.(to_gate_logits\.|prompt_scale_shift_table)|prompt_adaln|(video|audio)_text_proj_in\.).*")


@dataclass(frozen=True, eq=False)
class RefinerFile:
    """An opened refiner: its weights are not read yet. findings: whether it is SANA-WM's, see refiner_guard."""

    file: WeightFile
    config: RefinerConfig
    names: Mapping[str, str]  # model parameter -> file key
    layout: str
    rope_source: str  # where its rotary kind was read
    findings: tuple[Finding, ...]
    quantised: Mapping[str, QuantisedLayer] = field(default_factory=dict)  # by name in the file, see read_quantised

    @property
    def parameters(self) -> int:
        """Of the video path, all that is read."""
        return sum(math.prod(self.file.shapes[key]) for key in self.names.values())

    @property
    def never_read(self) -> int:
        """Parameters of the file that are left on the disk: its audio half."""
        return sum(map(math.prod, self.file.shapes.values())) - self.parameters


@dataclass(frozen=True, eq=False)
class ConnectorFile:
    """Opened text connectors, likewise."""

    file: WeightFile
    config: ConnectorConfig
    names: Mapping[str, str]
    layout: str


def open_refiner(path: str | Path, *, rope: str | None = None, others: Iterable[Path] = ()) -> RefinerFile:
    """Open the refiner's transformer and work out its configuration without reading its weights.

    rope overrides what the file says. others: see refiner_guard.examine. CheckpointError if it is another model.
    """
    file = open_weights(path, REFINER_LAYOUTS)
    layout = recognise(file.shapes, REFINER_LAYOUTS)
    if layout is None:
        raise refusal(file.path, [*file.shapes, *file.outside], REFINER_LAYOUTS)
    file, quantised = split_quantised(file)
    _refuse_newer(file)
    names = refiner_names(file.shapes, file.path.name)
    config, source = refiner_config(file, names, rope)
    findings = tuple(examine(file, names, others=others))
    return RefinerFile(file, config, names, layout.name, source, findings, quantised)


def open_connectors(path: str | Path, *, rope: str | None = None) -> ConnectorFile:
    """Open the text connectors, alone or inside a file of all LTX-2's models; rope and errors as in open_refiner."""
    file = open_weights(path, CONNECTOR_LAYOUTS, whole=True)
    layout = recognise(file.shapes, CONNECTOR_LAYOUTS)
    _refuse_newer(file)
    if layout is None:
        raise refusal(file.path, file.shapes, CONNECTOR_LAYOUTS)
    names = connector_names(file.shapes, file.path.name)
    config, _ = connector_config(file, names, rope)
    return ConnectorFile(file, config, names, layout.name)


def find_connectors(transformer: str | Path) -> Path | None:
    """Where the connectors of a refiner lie: in the folder `connectors` beside its own, or in the very file."""
    path = Path(transformer)
    folder = (path if path.is_dir() else path.parent).parent / "connectors"
    if folder.is_dir() and any(file.suffix.lower() in SUFFIXES for file in folder.iterdir()):
        return folder
    try:
        shapes = open_weights(path, CONNECTOR_LAYOUTS, whole=True).shapes
    except CheckpointError:
        return None
    return path if recognise(shapes, CONNECTOR_LAYOUTS) else None


def check_belongs(refiner: RefinerFile, connectors: ConnectorFile) -> None:
    """CheckpointError if the connectors make another context than the refiner reads."""
    made, wanted = connectors.config, refiner.config
    if made.caption_channels != wanted.caption_channels:
        raise CheckpointError(
            f"{connectors.file.path.name} makes a context of {made.caption_channels} channels, {refiner.file.path.name} reads "
            f"{wanted.caption_channels}; take the connectors of the same release"
        )
    if made.rope != wanted.rope:
        raise CheckpointError(
            f"{connectors.file.path.name} says rope {made.rope}, {refiner.file.path.name} {wanted.rope}; both must be of one "
            "release: take its connectors, or choose rope under advanced"
        )


def _refuse_newer(file: WeightFile) -> None:
    newer = sorted(key for key in file.shapes if NEWER.fullmatch(key))
    if newer:
        raise CheckpointError(
            f"{file.path.name} is of LTX-2.3 or later ({newer[0]} is not in LTX-2), which SANA-WM was not trained with; take "
            "the refiner and the connectors of the SANA-WM release"
        )
