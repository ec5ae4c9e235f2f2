"""Rolling generation: latents chunk by chunk with carried state, decoded as they come, in constant memory.

`step` makes one chunk, `run` many; both return values and change nothing. Bit for bit, a run that was interrupted and
resumed equals one that was not: noise comes from (seed, chunk), state from the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..camera import CameraPath, build_conditions
from ..dit import WorldConditions
from ..errors import CameraError, ConfigError, ShapeError
from ..sampling import guided, stream_chunk
from ..sampling.euler import OnStep, Velocity
from ..sampling.noise import chunk_noise
from ..shapes import pixel_frames
from .session import Carried, ChunkRecord, Prompt, Recipe, Session, fingerprint_cameras
from .stages import Stages

# poses(frames, session) -> the cameras of at least so many pixel frames, the finished ones unchanged
PoseProvider = Callable[[int, Session], CameraPath]


@dataclass(frozen=True, eq=False)
class Plan:
    """What to make: `chunks` in all, what is seen, where the camera goes, and the seed of the chunks made now.

    noise: of the whole video (1, c, t, h, w) in place of what seed and chunk give, to compare with another program.
    """

    prompt: Prompt
    poses: PoseProvider
    chunks: int
    seed: int
    noise: Tensor | None = None


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
    return Session(recipe, stages.world, stages.vae, stages.stride, first.float(), empty)


def given_path(path: CameraPath) -> PoseProvider:
    """A path known beforehand."""
    return lambda frames, session: path


def run(stages: Stages, plan: Plan, session: Session, *, on_step: OnStep | None = None) -> Iterator[RolloutEvent]:
    """Chunks after the session's until there are plan.chunks; each event's session can be saved and gone on from."""
    while session.chunks < plan.chunks:
        event = step(stages, plan, session, on_step=on_step)
        session = event.session
        yield event


@torch.no_grad()
def step(stages: Stages, plan: Plan, session: Session, *, on_step: OnStep | None = None) -> RolloutEvent:
    """The next chunk. ConfigError if the session is of another model, CameraError if the path has another past.

    on_step(i, x) is called after each denoising step i of the chunk.
    """
    session = caught_up(stages, session)
    recipe, index, carried = session.recipe, session.chunks, session.carried
    start, stop = recipe.span(index)
    frames = pixel_frames(stop, session.stride)
    path = plan.poses(frames, session)
    _check_past(path, session)
    velocity = _velocity(stages, session, plan.prompt, path, (start, stop))
    drawn = _noise(session, (start, stop), plan.seed, plan.noise)
    given = None if index else torch.arange(stop, device=drawn.device)[None] == 0
    latents, state = stream_chunk(velocity, drawn, carried.world, sigmas=recipe.sigmas, given=given, on_step=on_step)
    pixels, tails = (None, None) if stages.decode is None else stages.decode(latents, carried.tails)
    cameras = fingerprint_cameras(path, session.span(index))
    is_known = any(known.fingerprint == plan.prompt.fingerprint for known in session.prompts)
    after = replace(
        session,
        latents=torch.cat([session.latents, latents], 2),
        carried=Carried(index + 1, state, tails),
        camera=path,
        records=(*session.records, ChunkRecord(plan.seed, plan.prompt.fingerprint, cameras)),
        prompts=session.prompts if is_known else (*session.prompts, plan.prompt),
    )
    return RolloutEvent(index, latents, pixels, after)


@torch.no_grad()
def caught_up(stages: Stages, session: Session, *, on_step: OnStep | None = None) -> Session:
    """The session with what the models carry after its last chunk, bit for bit what making the chunks left.

    What is missing is made again from the latents: one model call a chunk, a fifth of making it, and decoding it again.
    on_step(i, latents) is called after chunk i.
    """
    _check_models(stages, session)
    carried = session.carried or Carried(0, _begin(stages, session.recipe))
    for index in range(carried.chunks, session.chunks):
        start, stop = session.recipe.span(index)
        latents = session.latents[:, :, start:stop]
        velocity = _velocity(stages, session, session.prompt_of(index), session.camera, (start, stop))
        _, state = velocity(latents, torch.zeros(1, stop - start, device=latents.device), carried.world)
        tails = None if stages.decode is None else stages.decode(latents, carried.tails)[1]
        carried = Carried(index + 1, state, tails)
        if on_step is not None:
            on_step(index, latents)
    return replace(session, carried=carried)


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
        return lambda x, sigma, past: stages.velocity(x, sigma, cond, past)

    conditional = branch(prompt.text, prompt.mask)
    if session.recipe.cfg == 1.0:
        return conditional
    if prompt.negative is None:
        raise ConfigError(f"guidance {session.recipe.cfg} needs a negative prompt; encode an empty one")
    return guided(conditional, branch(prompt.negative, prompt.negative_mask), session.recipe.cfg)


def _begin(stages: Stages, recipe: Recipe):
    state = stages.begin(recipe.window, recipe.keeps_sink)
    return state if recipe.cfg == 1.0 else (state, state)


def _check_models(stages: Stages, session: Session) -> None:
    if stages.world != session.model:
        raise ConfigError(
            f"the session was made with model {session.model}, this one is {stages.world}; "
            "load the model it was made with, with the same reference and LoRAs"
        )
    if stages.vae != session.vae:
        raise ConfigError(
            f"the session was decoded with VAE {session.vae}, this one is {stages.vae}; load the VAE it was made with"
        )


def _check_past(path: CameraPath, session: Session) -> None:
    """Finished frames cannot be filmed anew: the path must begin with the cameras they were made with."""
    if session.camera is None or path is session.camera:
        return
    done = min(session.frames, path.frames)
    given, filmed = (np.concatenate([p.c2w[:done].reshape(done, 16), p.intrinsics[:done]], 1) for p in (path, session.camera))
    if done < session.frames or not np.array_equal(given, filmed):
        changed = int(np.argmax((given != filmed).any(1))) if done == session.frames else done
        raise CameraError(
            f"the path differs at frame {changed} from the {session.frames} frames that are finished; "
            "change only later frames, or rewind the session to before it"
        )
