"""Is this the refiner that SANA-WM was trained with? Stock LTX-2, a conversion whose LoRA was never fused, and connectors of
another release have the same names and sizes, load without a word and give visibly broken video.

What can be recognised is: what the file says about itself, a fingerprint of its tensors, leftovers of a LoRA, and a statistical
test of a few tensors, which finds weights that were never trained or are damaged and nothing finer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from .files import WeightFile, some
from .keymaps import REFINER_LAYOUTS
from .layouts import READABLE, refiner_names

MARK = "sana_wm.refiner"  # metadata of files that this pack wrote from a recognised refiner
SAMPLED = 64  # values of a tensor that go into a fingerprint
LORA = re.compile(r".*[._](lora_(A|B|up|down)|lora_embedding_\w+)\b.*")


class Verdict(Enum):
    """What the evidence says, the strongest last."""

    RECOGNISED = "recognised"
    UNKNOWN = "unknown"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Known:
    """A file whose fingerprint is on record."""

    name: str
    is_refiner: bool


# fingerprint -> what it is. Rows come from `python3 -m tools.fingerprint FILE`; no released file was at hand yet.
KNOWN: Mapping[str, Known] = {}

# A name can speak against a file, but not for it: anyone may put anything into a folder of that name.
STOCK_NAME = re.compile(r".*ltx[-_]?2([._-]?3)?[-_.]*(dev|distilled|19b|22b).*")
SANA_NAME = re.compile(r".*(sana[-_]?wm|sana.*refiner|refiner_diffusers).*")
PROBES = ("transformer_blocks.0.attn1.to_q.weight", "transformer_blocks.0.ff.net.2.weight", "proj_out.weight")


def examine(
    file: WeightFile, names: Mapping[str, str], *, known: Mapping[str, Known] = KNOWN, others: Iterable[Path] = ()
) -> list[Finding]:
    """Everything that is found out about a refiner's file. names: parameter -> key.

    others: files that may be stock LTX-2, such as those of that name in the user's folders; one whose whole name is that of
    a published stock file counts as proof.
    """
    findings = [*_leftovers(file), *_broken_tensors(file, names)]
    mark = fingerprint(file, names)
    row = known.get(mark) if mark else None
    if row is not None:
        verdict = Verdict.RECOGNISED if row.is_refiner else Verdict.WRONG
        findings.append(Finding(verdict, f"its tensors are those of {row.name}"))
    own = {file.path, *file.shards.values()}
    twin = next((other for other in others if mark and other not in own and _mark_of(other) == mark), None)
    if twin is not None:
        is_proof = STOCK_NAME.fullmatch(twin.name.lower()) is not None
        words = f"its tensors are those of {twin.name}, which " + ("is stock LTX-2" if is_proof else "may be stock LTX-2")
        findings.append(Finding(Verdict.WRONG if is_proof else Verdict.DOUBTFUL, words))
    if row is None and twin is None:
        findings.append(_provenance(file))
    return findings


def judged(findings: Iterable[Finding]) -> Verdict:
    """The strongest of them; evidence for the refiner counts only if there is none against it."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index)


def refuse_wrong(file: WeightFile, findings: list[Finding]) -> None:
    """CheckpointError if anything found rules the file out."""
    wrong = [finding.words for finding in findings if finding.verdict is Verdict.WRONG]
    if wrong:
        raise CheckpointError(
            f"{file.path.name} is not SANA-WM's refiner: {'; '.join(wrong)}. Such files give visibly broken video. Take the "
            "refiner of the SANA-WM release, or turn on use_anyway under advanced"
        )


def fingerprint(file: WeightFile, names: Mapping[str, str]) -> str | None:
    """A short hash of a sample of some tensors, the same in float32 and bfloat16; None for quantised weights."""
    keys = [names[probe] for probe in PROBES if probe in names]
    if len(keys) < len(PROBES) or any(file.dtypes[key] not in READABLE for key in keys):
        return None
    tensors, digest = file.read(keys), hashlib.sha256()
    for key in keys:
        flat = tensors[key].reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLED)][:SAMPLED].to(torch.bfloat16).float()
        digest.update(f"{tuple(tensors[key].shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def _mark_of(path: Path) -> str | None:
    from .files import open_weights

    try:
        other = open_weights(path, REFINER_LAYOUTS)
        return fingerprint(other, refiner_names(other.shapes))
    except CheckpointError:
        return None


def _leftovers(file: WeightFile) -> list[Finding]:
    found = sorted(key for key in (*file.shapes, *file.outside) if LORA.fullmatch(key))
    if not found:
        return []
    words = f"{len(found)} tensors of a LoRA lie beside the weights, not fused into them: {some(found[:2])}"
    return [Finding(Verdict.WRONG, words)]


def _broken_tensors(file: WeightFile, names: Mapping[str, str]) -> list[Finding]:
    """The statistical test: weights of a few layers must be finite, vary, and not be as they were initialised."""
    keys = [
        names[name] for name in sorted(names) if re.search(r"blocks\.(0|\d*[05])\.attn1\.(to_q\.weight|norm_q)", name)
    ]
    keys = [key for key in keys[:8] if file.dtypes[key] in READABLE]
    odd = [f"{key} {what}" for key, tensor in file.read(keys).items() if (what := _oddity(key, tensor))]
    return [Finding(Verdict.WRONG, "a statistical test of a few tensors says: " + some(odd))] if odd else []


def _oddity(key: str, tensor: Tensor) -> str | None:
    sample = tensor.reshape(-1)[:4096].float()
    if not sample.isfinite().all():
        return "holds numbers that are not finite"
    spread = sample.std().item()
    if spread == 0:
        return "is constant, as before training" if "norm" in key else "is constant"
    return f"has a spread of {spread:.2g}, wanted 1e-5 to 10" if not 1e-5 < spread < 10 else None


def _provenance(file: WeightFile) -> Finding:
    """What the names and the metadata speak for."""
    if MARK in file.metadata or file.config.get("_class_name") == "SanaWMLTX2RefinerTransformer3DModel":
        return Finding(Verdict.RECOGNISED, "it says that it is SANA-WM's refiner")
    names = [part.lower() for part in file.path.parts[-4:]]
    if any(STOCK_NAME.fullmatch(name) for name in names):
        return Finding(Verdict.DOUBTFUL, "its name is that of stock LTX-2")
    if any(SANA_NAME.fullmatch(name) for name in names):
        return Finding(Verdict.UNKNOWN, "only its name says that it is SANA-WM's; stock LTX-2 has the same tensor names and sizes")
    return Finding(Verdict.UNKNOWN, "nothing in it says whose it is; stock LTX-2 has the same tensor names and sizes")
