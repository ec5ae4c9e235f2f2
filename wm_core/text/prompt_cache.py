"""Encoded prompts on disk, so that a 12-billion-parameter encoder is loaded once for a prompt and not once a day.

One file for each pair of encoder and tokens, in the format of a saved text embedding. Keyed by tokens, not by text: they
are all that the encoder sees. The prompt itself is not written: the folder says nothing about what was asked for.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from .embedding_file import PromptEmbedding, load_embedding, save_embedding

CACHE_BYTES = 512 * 2**20  # 64 prompts of the released refiner in bf16
_LEFT_BEHIND_S = 3600.0  # a partial file of that age belongs to a process that was killed
log = logging.getLogger("sana_wm")


class PromptCache:
    """What an encoder made of the prompts it was asked for. Nothing here fails: a miss is None, a write that is refused is
    told once in the log.

    folder: made when the first entry is written. fingerprint: whatever changes the result, apart from the tokens.
    """

    def __init__(self, folder: str | Path, fingerprint: str, *, limit: int = CACHE_BYTES):
        self.folder, self.fingerprint, self.limit = Path(folder), fingerprint, limit
        self._is_told = False

    def path(self, tokens: Sequence[int]) -> Path:
        """Where the entry of these tokens lies, if there is one."""
        text = f"{self.fingerprint}\n{' '.join(map(str, tokens))}"
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.safetensors"

    def load(self, tokens: Sequence[int]) -> Tensor | None:
        """The embedding (b, l, d) as it was saved, bit for bit; None without an entry that can be read."""
        path = self.path(tokens)
        try:
            embedding = load_embedding(path).embedding.clone()  # not memory-mapped: the file may be dropped
            if not embedding.isfinite().all():
                return None
            os.utime(path)
        except (CheckpointError, OSError):
            return None
        return embedding

    def save(self, tokens: Sequence[int], embedding: Tensor, *, encoder: str = "") -> None:
        """Keep an embedding (b, l, d), whole or not at all, and drop what was not used for longest beyond the limit."""
        path = self.path(tokens)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            mask = torch.ones(embedding.shape[:2], dtype=torch.long)
            save_embedding(path, PromptEmbedding(embedding, mask, encoder=encoder, variant="plain"))
            with suppress(FileNotFoundError):  # another process may tidy up at the same time
                self._trim(path)
        except OSError as error:
            if not self._is_told:
                log.warning(
                    f"the encoded prompt could not be kept in {self.folder} ({error}); it will be encoded again after a "
                    "restart; free some space there or allow writing"
                )
            self._is_told = True

    def _trim(self, newest: Path) -> None:
        for partial in self.folder.glob(".*.tmp"):
            if time.time() - partial.stat().st_mtime > _LEFT_BEHIND_S:
                partial.unlink(missing_ok=True)
        entries = {path: path.stat() for path in self.folder.glob("*.safetensors")}
        total = sum(status.st_size for status in entries.values())
        for path in sorted(entries, key=lambda path: entries[path].st_mtime_ns):
            if total > self.limit and path != newest:
                path.unlink(missing_ok=True)
                total -= entries[path].st_size
