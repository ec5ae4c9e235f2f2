"""Clips of the small models without a host: the same core functions that the nodes call, many clips at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wm_core.camera import CameraPath, build_conditions
from wm_core.config import RefinerConfig, RefinerRecipe
from wm_core.dit import WorldConditions, WorldDiT
from wm_core.refiner import VideoRefiner
from wm_core.sampling import chunk_flow_euler, euler, released_schedule, stream_chunk
from wm_core.sampling.refining import refine, refiner_stage
from wm_core.shapes import chunk_lengths, latent_frames, latent_size
from wm_core.vae import VideoVAE

from .clips import FPS
from .text import padded_states

PROMPT_TOKENS = 2  # of the one prompt that the refiner knows
WINDOW = 2  # chunks that the softmax blocks see, the first one among them, as in the released recipe


@dataclass(frozen=True, eq=False)
class Wanted:
    """Clips to make: first frames (b, 3, 1, h, w) in [-1, 1] or None for none, their cameras, and prompts (l, d) each."""

    pictures: Tensor | None
    paths: Sequence[CameraPath]
    prompts: Sequence[Tensor]
    seed: int = 0

    @property
    def frames(self) -> int:
        return self.paths[0].frames


MakeClips = Callable[[Wanted], NDArray]  # frames (b, f, h, w, 3) in [0, 1]


@dataclass(frozen=True, eq=False)
class Start:
    """What a sampler needs of wanted clips; noise (b, c, t, h, w) has the first frame in place."""

    noise: Tensor
    given: Tensor
    cond: WorldConditions

    def chunks(self) -> Iterator[tuple[slice, Start]]:
        """The latent frames of each chunk of a stream, and the start of them alone."""
        at = 0
        for length in chunk_lengths(self.noise.shape[2]):
            yield slice(at, at + length), self.frames(at, at + length)
            at += length

    def frames(self, a: int, b: int) -> Start:
        cond = replace(self.cond, raymap=self.cond.raymap[:, a:b], plucker=self.cond.plucker[:, :, a:b])
        return Start(self.noise[:, :, a:b], self.given[:, a:b], cond)


def start(vae: VideoVAE, wanted: Wanted) -> Start:
    """Encode the first frames, draw the noise, build the cameras."""
    stride, count = vae.config.stride, len(wanted.paths)
    t = latent_frames(wanted.frames, stride)
    h, w = latent_size(*wanted.paths[0].size, stride)
    random = torch.Generator().manual_seed(wanted.seed)
    noise = torch.randn(count, vae.config.latent_channels, t, h, w, generator=random)
    if wanted.pictures is not None:
        noise[:, :, :1] = vae.encode(wanted.pictures)
    cameras = [build_conditions(path, (t, h, w), stride) for path in wanted.paths]
    raymap, plucker = (torch.cat([getattr(c, part) for c in cameras]) for part in ("raymap", "plucker"))
    given = ((torch.arange(t) == 0) & (wanted.pictures is not None)).expand(count, t)
    return Start(noise, given, WorldConditions(*padded_states(wanted.prompts), raymap, plucker))


@torch.no_grad()
def dense_latents(world: WorldDiT, begun: Start, steps: int, shift: float) -> Tensor:
    """All frames at once."""

    def velocity(x: Tensor, sigma: Tensor, past: None) -> tuple[Tensor, None]:
        return world(x, sigma, begun.cond)

    return euler(velocity, begun.noise, released_schedule(steps, shift), given=begun.given)


@torch.no_grad()
def causal_latents(world: WorldDiT, begun: Start, steps: int, shift: float) -> Tensor:
    """Chunk behind chunk in one call each step: the chunk-causal teacher."""
    chunks = chunk_lengths(begun.noise.shape[2])

    def velocity(x: Tensor, sigma: Tensor, started: tuple[int, ...]) -> Tensor:
        return world(x, sigma, begun.frames(0, x.shape[2]).cond, chunks=started)[0]

    return chunk_flow_euler(velocity, begun.noise, released_schedule(steps, shift), chunks, given=begun.given)


@torch.no_grad()
def streamed_latents(world: WorldDiT, begun: Start, window: int = WINDOW) -> Tensor:
    """One chunk a call, four steps each: the streaming student."""
    past, done = world.begin(window=window), []
    for _, part in begun.chunks():

        def velocity(x: Tensor, sigma: Tensor, past, cond=part.cond):
            return world(x, sigma, cond, past=past)

        chunk, past = stream_chunk(velocity, part.noise, past, given=part.given)
        done.append(chunk)
    return torch.cat(done, 2)


@torch.no_grad()
def refined_latents(refiner: VideoRefiner, drafts: Tensor, *, recipe: RefinerRecipe, seed: int = 0) -> Tensor:
    """The second stage over drafts (b, c, t, h, w), block by block, with the one prompt that it knows."""
    stage, random = refiner_stage(refiner), torch.Generator().manual_seed(seed)
    prompt = stage.prompt_keys(constant_prompt(refiner.config).to(drafts).expand(len(drafts), -1, -1))
    noise = lambda _, shape: torch.randn(shape, generator=random)
    blocks = refine(stage, drafts, prompt, noise, fps=FPS, recipe=recipe)
    return torch.cat([drafts[:, :, : recipe.sink], *(block for _, block in blocks)], 2)


def constant_prompt(config: RefinerConfig) -> Tensor:
    """(1, 2, c) ones."""
    return torch.ones(1, PROMPT_TOKENS, config.caption_channels)


def pixels(vae: VideoVAE, latents: Tensor) -> NDArray:
    """Frames (b, f, h, w, 3) in [0, 1], decoded clip by clip."""
    return np.stack([_as_frames(vae.decode(z[None])) for z in latents])


def _as_frames(video: Tensor) -> NDArray:
    return ((video[0].clamp(-1, 1) + 1) / 2).permute(1, 2, 3, 0).float().numpy()
