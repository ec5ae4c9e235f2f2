"""A prompt embedding on disk: one .safetensors, so that a prompt runs where the text encoder does not fit.

Tensors `embedding` (b, l, d) and `mask` (b, l), stored bit for bit; everything else is text in the metadata.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import CheckpointError, ShapeError

EMBEDDING_FORMAT = "sana_wm.prompt_embedding"
EMBEDDING_VERSION = 1
_TENSORS = {"embedding", "mask"}
_NEXT = "write one with Save SANA-WM Text Embedding"


@dataclass(frozen=True, eq=False)
class PromptEmbedding:
    """What the text encoder made of one prompt. embedding (b, l, d) floating, mask (b, l), 0 where padded."""

    embedding: Tensor
    mask: Tensor
    prompt: str = ""
    encoder: str = ""  # the model that made it, such as "gemma-2-2b"; empty if unknown
    variant: str = ""  # "instruction" or "plain": whether the encoder read the instruction; empty if unknown

    def __post_init__(self) -> None:
        if self.embedding.ndim != 3 or not self.embedding.is_floating_point():
            raise ShapeError(
                f"embedding must be floating (b, l, d), got {self.embedding.dtype} {tuple(self.embedding.shape)}"
            )
        wanted = tuple(self.embedding.shape[:2])
        if tuple(self.mask.shape) != wanted:
            raise ShapeError(f"mask must be (b, l) = {wanted} as its embedding, got {tuple(self.mask.shape)}")


def save_embedding(path: str | Path, prompt: PromptEmbedding) -> None:
    """Write the file whole or not at all; an existing one is replaced. The folder must exist."""
    path = Path(path)
    metadata = {
        "format": EMBEDDING_FORMAT,
        "version": str(EMBEDDING_VERSION),
        "prompt": prompt.prompt,
        "encoder": prompt.encoder,
        "variant": prompt.variant,
    }
    tensors = {"embedding": prompt.embedding, "mask": prompt.mask}
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_embedding(path: str | Path) -> PromptEmbedding:
    """Read what `save_embedding` wrote; CheckpointError for anything else."""
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_kind(path, metadata, set(file.keys()))
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"text embedding {path.name} cannot be read as safetensors ({error}); it may be truncated, copy it again"
        ) from error
    labels = {name: metadata.get(name, "") for name in ("prompt", "encoder", "variant")}
    try:
        return PromptEmbedding(**tensors, **labels)
    except ShapeError as error:
        raise CheckpointError(f"text embedding {path.name} is damaged: {error}; {_NEXT}") from error


def _check_kind(path: Path, metadata: dict[str, str], names: set[str]) -> None:
    if metadata.get("format") != EMBEDDING_FORMAT or names != _TENSORS:
        raise CheckpointError(
            f"{path.name} is not a SANA-WM text embedding: got tensors {', '.join(sorted(names)[:8]) or 'none'} and "
            f"format {metadata.get('format')!r}, wanted embedding, mask and {EMBEDDING_FORMAT!r}; {_NEXT}"
        )
    version = metadata.get("version", "")
    if version != str(EMBEDDING_VERSION):
        raise CheckpointError(
            f"text embedding {path.name} has version {version!r}, this pack reads {EMBEDDING_VERSION}; update the pack"
        )
