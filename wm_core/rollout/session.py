"""A rollout that can go on: everything the next chunk depends on, as a frozen value. SANA-WM sec. 3.4.

Resuming, branching and extending are the same thing: another step from some session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ..camera import CameraPath
from ..config import RefinerRecipe
from ..dit import WorldState
from ..dit.state import BlockState, GDNState
from ..errors import ConfigError
from ..kv_window import KVWindow
from ..sampling import STUDENT_SIGMAS
from ..sampling.refining import Refining
from ..shapes import Stride, pixel_frames
from ..vae import Tails
from .refined_file import fingerprint_latents


@dataclass(frozen=True)
class Recipe:
    """What fixes the numbers of a rollout besides its weights, prompt and camera."""

    sigmas: tuple[float, ...] = STUDENT_SIGMAS
    cfg: float = 1.0
    chunk: int = 3  # latent frames; the first chunk has one more, the given picture
    window: int = 2  # chunks that softmax blocks still see, the sink among them; -1 = all
    keeps_sink: bool = True

    def span(self, index: int) -> tuple[int, int]:
        """Latent frames [start, stop) of a chunk."""
        if index < 0:
            raise ConfigError(f"chunks count from 0, got {index}")
        return (1 + index * self.chunk if index else 0), 1 + (index + 1) * self.chunk


@dataclass(frozen=True, eq=False)
class Prompt:
    """Embedded text (1, l, c) and mask (1, l) or None; `negative` is read under guidance only.

    context: the same prompt as the refiner reads it, (1, l, c) of its own; None without a refiner.
    """

    text: Tensor
    mask: Tensor | None = None
    negative: Tensor | None = None
    negative_mask: Tensor | None = None
    context: Tensor | None = None

    @cached_property
    def context_fingerprint(self) -> str | None:
        """A short hash of what the refiner reads."""
        return None if self.context is None else fingerprint_latents(self.context)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the embedding that stage 1 reads, of the tokens that count."""
        digest = hashlib.sha256()
        for text, mask in ((self.text, self.mask), (self.negative, self.negative_mask)):
            if text is not None:
                kept = text if mask is None else text[mask.bool()]
                digest.update(kept.detach().to(torch.float32).cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ChunkRecord:
    """What one finished chunk was made with."""

    seed: int
    prompt: str  # fingerprint of one of the session's prompts
    camera: str  # fingerprint of the cameras of its frames
    context: str | None = None  # fingerprint of what the refiner read

    @property
    def draft(self) -> ChunkRecord:
        """What stage 1 made it with."""
        return replace(self, context=None)


@dataclass(frozen=True)
class RefinerUse:
    """The second stage of a rollout: fingerprint of its weights, how it is used, and frames a second."""

    model: str
    recipe: RefinerRecipe
    fps: float


@dataclass(frozen=True, eq=False)
class Carried:
    """What the models hand from chunk to chunk, after `chunks` of them. 1.6 GB for the released models at 720p, see carried_size.py.

    world: a pair (unconditional, conditional) under guidance. tails: the video decoder's, None if nothing is decoded.
    refining: the refiner's, 7.6 GB more; never on the disk, and gone on from only once.
    """

    chunks: int
    world: WorldState | tuple[WorldState, WorldState]
    tails: Tails | None = None
    refining: Refining | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """A rollout after `chunks` finished chunks.

    first (1, c, 1, h, w): the given frame's latent. latents (1, c, t, h, w), float32: all finished frames, the given
    one first. carried: what the models hand on; it may be of an earlier chunk, or None, and is then made again from the
    latents before the rollout goes on (run.caught_up). camera: the path that was last followed, its first `frames` cameras
    are filmed; None before the first chunk. prompts: each that a chunk was made with, once. refined: what the refiner made of
    the latents, like them, if there is one; the next chunk of stage 1 never sees it.
    """

    recipe: Recipe
    model: str  # fingerprint of the world model's weights and arithmetic
    vae: str | None  # fingerprint of the video VAE, None if latents stay undecoded
    stride: Stride
    first: Tensor
    latents: Tensor
    carried: Carried | None = None
    camera: CameraPath | None = None
    records: tuple[ChunkRecord, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    refiner: RefinerUse | None = None
    refined: Tensor | None = None

    @property
    def shown(self) -> Tensor:
        """The latents that are decoded: refined ones if there is a refiner."""
        return self.latents if self.refined is None else self.refined

    @property
    def chunks(self) -> int:
        return len(self.records)

    @property
    def frames(self) -> int:
        """Finished pixel frames."""
        return pixel_frames(self.latents.shape[2], self.stride) if self.records else 0

    @cached_property
    def picture(self) -> str:
        """Fingerprint of the given frame."""
        return _short_hash(self.first.cpu().contiguous().numpy().tobytes())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the video, pixels."""
        return self.first.shape[-2] * self.stride.h, self.first.shape[-1] * self.stride.w

    def prompt_of(self, chunk: int) -> Prompt:
        """What a finished chunk was made with."""
        record = self.records[chunk]
        wanted = (record.prompt, record.context)
        return next(prompt for prompt in self.prompts if (prompt.fingerprint, prompt.context_fingerprint) == wanted)

    def span(self, chunk: int) -> tuple[int, int]:
        """Pixel frames [start, stop) of a chunk, finished or not."""
        start, stop = self.recipe.span(chunk)
        return (pixel_frames(start, self.stride) if start else 0), pixel_frames(stop, self.stride)

    def rewound(self, chunks: int) -> Session:
        """The session as it was after `chunks` chunks; ConfigError if it has not so many."""
        if not 0 <= chunks <= self.chunks:
            raise ConfigError(f"a session of {self.chunks} chunks can be rewound to 0 to {self.chunks}, got {chunks}")
        if chunks == self.chunks:
            return self
        records, stop = self.records[:chunks], self.recipe.span(chunks - 1)[1] if chunks else 0
        used = {(record.prompt, record.context) for record in records}
        return replace(
            self,
            latents=self.latents[:, :, :stop].clone(),
            refined=None if self.refined is None else self.refined[:, :, :stop].clone(),
            carried=self.carried if self.carried and self.carried.chunks <= chunks else None,
            camera=self.camera if chunks else None,
            records=records,
            prompts=tuple(p for p in self.prompts if (p.fingerprint, p.context_fingerprint) in used),
        )

    def draft(self) -> Session:
        """What stage 1 made of it, as a rollout without a refiner."""
        if self.refiner is None:
            return self
        prompts = {prompt.fingerprint: replace(prompt, context=None) for prompt in self.prompts}
        return replace(
            self,
            refiner=None,
            refined=None,
            carried=None,  # the decoder's tails are of refined frames
            records=tuple(record.draft for record in self.records),
            prompts=tuple(prompts.values()),
        )

    def to(self, device: torch.device | str) -> Session:
        """The session with every tensor on a device."""
        return _moved(self, device)


def fingerprint_model(model: nn.Module) -> str:
    """A short hash of a model's arithmetic, names, shapes and a sample of every weight; the same on every device."""
    return fingerprint_weights(getattr(model, "config", None), model.state_dict())


def fingerprint_weights(config: object, weights: Mapping[str, Tensor]) -> str:
    """The same of weights that a host keeps in a form of its own, by the names and in the form of the file."""
    digest = hashlib.sha256(repr(config).encode())
    for name, weight in sorted(weights.items()):
        sample = weight.detach().reshape(-1)[:: max(1, weight.numel() // 64)][:64].float().cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def fingerprint_cameras(path: CameraPath, frames: tuple[int, int]) -> str:
    """A short hash of the cameras of pixel frames [start, stop): poses and intrinsics, to the last bit."""
    span = slice(*frames)
    return _short_hash(path.c2w[span].tobytes() + path.intrinsics[span].tobytes())


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _moved(value, device: torch.device | str):
    """The same value with the tensors of its records and tuples on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_moved(item, device) for item in value)
    if isinstance(value, (Session, Carried, Prompt, WorldState, BlockState, GDNState, KVWindow)):
        return replace(value, **{f.name: _moved(getattr(value, f.name), device) for f in fields(value)})
    return value
