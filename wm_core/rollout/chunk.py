"""One chunk of a rollout on its way through the stages: drafted, refined, decoded. Values in, values out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..camera import CameraPath, build_conditions
from ..dit import WorldConditions
from ..errors import CameraError, ConfigError, ShapeError
from ..refiner import PromptKeys
from ..sampling import guided, stream_chunk
from ..sampling.euler import OnStep, Velocity
from ..sampling.noise import chunk_noise, refiner_noise
from ..sampling.refining import Refining, refine_block
from ..shapes import pixel_frames
from ..vae import Tails
from .plan import Plan
from .session import Carried, ChunkRecord, Prompt, Session, fingerprint_cameras
from .stages import Stages


def drafted_chunk(
    stages: Stages, plan: Plan, session: Session, *, on_step: OnStep | None = None
) -> tuple[Session, Tensor]:
    """Stage 1's next chunk: the session with it, and its latents. What refiner and decoder carry is not looked at."""
    recipe, index, carried = session.recipe, session.chunks, session.carried
    start, stop = recipe.span(index)
    path = plan.poses(pixel_frames(stop, session.stride), session)
    _check_past(path, session)
    velocity = chunk_velocity(stages, session, plan.prompt, path, (start, stop))
    drawn = _noise(session, (start, stop), plan.seed, plan.noise)
    given = None if index else torch.arange(stop, device=drawn.device)[None] == 0
    latents, state = stream_chunk(velocity, drawn, carried.world, sigmas=recipe.sigmas, given=given, on_step=on_step)
    context = plan.prompt.context_fingerprint if stages.refine else None
    record = ChunkRecord(plan.seed, plan.prompt.fingerprint, fingerprint_cameras(path, session.span(index)), context)
    known = {(prompt.fingerprint, prompt.context_fingerprint) for prompt in session.prompts}
    is_known = (record.prompt, plan.prompt.context_fingerprint) in known
    after = replace(
        session,
        latents=torch.cat([session.latents, latents], 2),
        carried=Carried(index + 1, state),
        camera=path,
        records=(*session.records, record),
        prompts=session.prompts if is_known else (*session.prompts, plan.prompt),
    )
    return after, latents


def refined_chunk(
    stages: Stages,
    plan: Plan,
    drafted: Session,
    latents: Tensor,
    refining: Refining | None,
    *,
    on_step: OnStep | None = None,
) -> tuple[Session, Tensor]:
    """The session with its last chunk refined, and the latents to decode; both as they came without a refiner."""
    if stages.refine is None:
        return drafted, latents
    index = drafted.chunks - 1
    stop = drafted.recipe.span(index)[1]
    prompt = prompt_keys(stages, plan.prompt, refining)
    sink, draft = latents[:, :, : 1 if index == 0 else 0], latents[:, :, -drafted.recipe.chunk :]
    noise = refiner_noise(plan.seed, stop - draft.shape[2], tuple(draft.shape)).to(draft)
    steps = len(drafted.recipe.sigmas) - 1
    told = None if on_step is None else lambda i, x: on_step(steps + i, x)
    block, after = refine_block(
        stages.refine, refining, draft, stop - draft.shape[2], noise, prompt, on_step=told
    )
    shown = torch.cat([sink, block], 2)
    carried = replace(drafted.carried, refining=after)
    return replace(drafted, refined=torch.cat([drafted.refined, shown], 2), carried=carried), shown


def decoded_chunk(stages: Stages, shown: Tensor, tails: Tails | None) -> tuple[Tensor | None, Tails | None]:
    """Pixels of a chunk and the decoder's tails after it; nothing where nothing is decoded."""
    return (None, None) if stages.decode is None else stages.decode(shown, tails)


def with_tails(session: Session, tails: Tails | None) -> Session:
    return replace(session, carried=replace(session.carried, tails=tails))


def prompt_keys(stages: Stages, prompt: Prompt, refining: Refining) -> PromptKeys:
    """Keys and values of a prompt for the refiner, computed when it changes."""
    if prompt.context is None:
        raise ConfigError("a refiner needs the prompt as its own text encoder reads it; connect refiner_positive")
    if refining.prompt is not None and refining.prompt.name == prompt.context_fingerprint:
        return refining.prompt
    keys = stages.refine.prompt_keys(prompt.context)
    return replace(keys, name=prompt.context_fingerprint)


def chunk_velocity(stages: Stages, session: Session, prompt: Prompt, path: CameraPath, span: tuple[int, int]) -> Velocity:
    """The world model on latent frames [start, stop) of the path, guided if the recipe says so."""
    start, stop = span
    device = session.first.device
    grid = (stop, *session.first.shape[-2:])
    camera = build_conditions(path, grid, session.stride, start=start).to(device)

    def branch(text: Tensor, mask: Tensor | None) -> Velocity:
        cond = WorldConditions(text, mask, camera.raymap, camera.plucker)  # the stage reads a prompt once, and brings it over
        return lambda x, sigma, past: stages.velocity(x, sigma, cond, past)

    conditional = branch(prompt.text, prompt.mask)
    if session.recipe.cfg == 1.0:
        return conditional
    if prompt.negative is None:
        raise ConfigError(f"guidance {session.recipe.cfg} needs a negative prompt; encode an empty one")
    return guided(conditional, branch(prompt.negative, prompt.negative_mask), session.recipe.cfg)


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
