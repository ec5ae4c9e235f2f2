"""Rolling generation: latents chunk by chunk with carried state, decoded as they come, in constant memory.

`step` makes one chunk, `run` many; both return values and change nothing. Bit for bit, a run that was interrupted and
resumed equals one that was not: noise comes from (seed, chunk), state from the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..attention import Attend, softmax_attention
from ..camera import CameraPath, build_conditions
from ..dit import WorldConditions, WorldDiT
from ..errors import CameraError, ConfigError, ShapeError
from ..sampling import guided, stream_chunk
from ..sampling.euler import OnStep, Velocity
from ..sampling.noise import chunk_noise
from ..shapes import RELEASED_STRIDE, Stride, pixel_frames
from ..vae import VideoVAE, decode_chunk
from .session import ChunkRecord, Recipe, Session, fingerprint_model, fingerprint_prompt

# poses(frames, session) -> the cameras of at least so many pixel frames, the finished ones unchanged
PoseProvider = Callable[[int, Session], CameraPath]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Embedded text (1, l, c) and mask (1, l) or None; `negative` is read under guidance only."""

    text: Tensor
    mask: Tensor | None = None
    negative: Tensor | None = None
    negative_mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Stages:
    """The models of a rollout; vae None leaves the latents undecoded."""

    world: WorldDiT
    vae: VideoVAE | None = None
    attend: Attend = softmax_attention

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_model(self.world)

    @property
    def stride(self) -> Stride:
        return self.vae.config.stride if self.vae else RELEASED_STRIDE


@dataclass(frozen=True, eq=False)
class RolloutEvent:
    """One finished chunk: its latents, its pixels (b, 3, f, H, W) or None, and the session to go on from."""

    index: int
    latents: Tensor
    pixels: Tensor | None
    session: Session


def open_session(stages: Stages, first: Tensor, recipe: Recipe | None = None) -> Session:
    """A rollout before its first chunk. first: latent of the given picture, (1, c, 1, h, w), normalised."""
    recipe = recipe or Recipe()
    if first.ndim != 5 or first.shape[0] != 1 or first.shape[2] != 1:
        raise ShapeError(f"the given frame must be one latent (1, c, 1, h, w), got {tuple(first.shape)}")
    empty = first.float().new_empty(1, first.shape[1], 0, *first.shape[-2:])
    return Session(recipe, stages.fingerprint, stages.stride, first.float(), empty, _begin(stages.world, recipe))


def given_path(path: CameraPath) -> PoseProvider:
    """A path known beforehand."""
    return lambda frames, session: path


def run(
    stages: Stages,
    session: Session,
    prompt: Prompt,
    poses: PoseProvider,
    *,
    chunks: int,
    seed: int,
    noise: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Iterator[RolloutEvent]:
    """Chunks after the session's until there are `chunks` in all; each event's session can be saved and gone on from.

    noise: of the whole video (1, c, t, h, w) in place of what seed and chunk give, to compare with another program.
    """
    while session.chunks < chunks:
        event = step(stages, session, prompt, poses, seed=seed, noise=noise, on_step=on_step)
        session = event.session
        yield event


@torch.no_grad()
def step(
    stages: Stages,
    session: Session,
    prompt: Prompt,
    poses: PoseProvider,
    *,
    seed: int,
    noise: Tensor | None = None,
    on_step: OnStep | None = None,
) -> RolloutEvent:
    """The next chunk. ConfigError if the session is of another model, CameraError if the path has another past."""
    _check_model(stages, session)
    recipe, index = session.recipe, session.chunks
    start, stop = recipe.span(index)
    frames = pixel_frames(stop, session.stride)
    path = poses(frames, session)
    _check_past(path, session)
    velocity = _velocity(stages, session, prompt, path, (start, stop))
    drawn = _noise(session, (start, stop), seed, noise)
    given = None if index else torch.arange(stop, device=drawn.device)[None] == 0
    latents, state = stream_chunk(velocity, drawn, session.state, sigmas=recipe.sigmas, given=given, on_step=on_step)
    pixels, tails = (None, None) if stages.vae is None else decode_chunk(stages.vae, latents, session.tails)
    after = replace(
        session,
        latents=torch.cat([session.latents, latents], 2),
        state=state,
        tails=tails,
        camera=path,
        records=(*session.records, ChunkRecord(seed, fingerprint_prompt(prompt.text, prompt.mask))),
    )
    return RolloutEvent(index, latents, pixels, after)


@torch.no_grad()
def rewind(stages: Stages, session: Session, prompts: list[Prompt], chunks: int) -> Session:
    """The session as it was after `chunks` chunks, bit for bit: the clean pass of each is run again.

    prompts: one for each of those chunks. Costs one model call a chunk, a fifth of making it, and decoding it again.
    """
    if not 0 <= chunks <= session.chunks:
        raise ConfigError(f"rewind goes to 0 to {session.chunks} finished chunks, got {chunks}")
    _check_model(stages, session)
    state, tails = _begin(stages.world, session.recipe), None
    for index, (prompt, record) in enumerate(zip(prompts[:chunks], session.records, strict=False)):
        if fingerprint_prompt(prompt.text, prompt.mask) != record.prompt:
            raise ConfigError(f"chunk {index} was made with another prompt; give the one it was made with")
        start, stop = session.recipe.span(index)
        latents = session.latents[:, :, start:stop]
        velocity = _velocity(stages, session, prompt, session.camera, (start, stop))
        _, state = velocity(latents, torch.zeros(1, stop - start, device=latents.device), state)
        if stages.vae is not None:
            _, tails = decode_chunk(stages.vae, latents, tails)
    stop = session.recipe.span(chunks - 1)[1] if chunks else 0
    camera = session.camera if chunks else None
    kept = session.latents[:, :, :stop].clone()
    return replace(session, latents=kept, state=state, tails=tails, camera=camera, records=session.records[:chunks])


def _noise(session: Session, span: tuple[int, int], seed: int, whole: Tensor | None) -> Tensor:
    """What a chunk starts from: noise, and in the first chunk the given frame."""
    start, stop = span
    shape = (1, session.first.shape[1], stop - start, *session.first.shape[-2:])
    drawn = chunk_noise(seed, session.chunks, shape) if whole is None else whole[:, :, start:stop].clone()
    if tuple(drawn.shape) != shape:
        raise ShapeError(f"noise of frames {start} to {stop} must be {shape}, got {tuple(drawn.shape)}; draw it longer")
    drawn = drawn.to(session.first)
    if session.chunks == 0:
        drawn[:, :, :1] = session.first
    return drawn


def _velocity(stages: Stages, session: Session, prompt: Prompt, path: CameraPath, span: tuple[int, int]) -> Velocity:
    """The world model on latent frames [start, stop) of the path, guided if the recipe says so."""
    start, stop = span
    device = session.first.device
    grid = (stop, *session.first.shape[-2:])
    camera = build_conditions(path, grid, session.stride, start=start).to(device)

    def branch(text: Tensor, mask: Tensor | None) -> Velocity:
        keep = None if mask is None else mask.bool().to(device)
        cond = WorldConditions(text.to(device), keep, camera.raymap, camera.plucker)
        return lambda x, sigma, past: stages.world(x, sigma, cond, past=past, attend=stages.attend)

    conditional = branch(prompt.text, prompt.mask)
    if session.recipe.cfg == 1.0:
        return conditional
    if prompt.negative is None:
        raise ConfigError(f"guidance {session.recipe.cfg} needs a negative prompt; encode an empty one")
    return guided(conditional, branch(prompt.negative, prompt.negative_mask), session.recipe.cfg)


def _begin(world: WorldDiT, recipe: Recipe):
    state = world.begin(window=recipe.window, keeps_sink=recipe.keeps_sink)
    return state if recipe.cfg == 1.0 else (state, state)


def _check_model(stages: Stages, session: Session) -> None:
    if stages.fingerprint != session.model:
        raise ConfigError(
            f"the session was made with model {session.model}, this one is {stages.fingerprint}; "
            "load the model it was made with, with the same reference"
        )


def _check_past(path: CameraPath, session: Session) -> None:
    """Finished frames cannot be filmed anew: the path must begin with the cameras they were made with."""
    if session.camera is None or path is session.camera:
        return
    done = session.frames
    given, filmed = path.c2w[:done], session.camera.c2w[:done]
    if len(given) < done or not np.array_equal(given, filmed):
        changed = int(np.argmax((given != filmed).any((1, 2)))) if len(given) == done else len(given)
        raise CameraError(
            f"the path differs at frame {changed} from the {done} frames that are finished; "
            "change only later frames, or rewind the session to before it"
        )
