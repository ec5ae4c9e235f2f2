"""The models of a rollout as plain functions, so that a host can put its own loading, casting and kernels around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..attention import Attend, softmax_attention
from ..dit import Prepared, WorldConditions, WorldDiT, WorldState
from ..refiner import VideoRefiner
from ..sampling.refining import RefinerStage, refiner_stage
from ..shapes import RELEASED_STRIDE, Stride
from ..vae import Tails, VideoVAE, decode_chunk
from .session import fingerprint_model

# velocity(x (b, c, t, h, w), sigma (b, t), cond, past) -> (v like x, the state after it)
WorldVelocity = Callable[[Tensor, Tensor, WorldConditions, WorldState], tuple[Tensor, WorldState]]


@dataclass(frozen=True, eq=False)
class Stages:
    """What a rollout asks of its models.

    begin(window, keeps_sink): the state before the first chunk. decode(z, tails): pixels (b, 3, f, H, W) of the next
    latents and the tails after them; None leaves the latents undecoded. refine: the second stage, None without. world, vae,
    refiner: fingerprints, kept in the session.
    """

    velocity: WorldVelocity
    begin: Callable[[int, bool], WorldState]
    world: str
    stride: Stride = RELEASED_STRIDE
    decode: Callable[[Tensor, Tails | None], tuple[Tensor, Tails]] | None = None
    vae: str | None = None
    refine: RefinerStage | None = None
    refiner: str | None = None


def stages_of(
    world: WorldDiT,
    vae: VideoVAE | None = None,
    refiner: VideoRefiner | None = None,
    *,
    attend: Attend = softmax_attention,
) -> Stages:
    """Stages of models that lie where the session's tensors lie. `vae` needs a causal decoder."""
    prepared = Prepared(world)

    def velocity(x: Tensor, sigma: Tensor, cond: WorldConditions, past: WorldState) -> tuple[Tensor, WorldState]:
        return world(x, sigma, prepared(cond, x, past.frames), past=past, attend=attend)

    return Stages(
        velocity=velocity,
        begin=lambda window, keeps_sink: world.begin(window=window, keeps_sink=keeps_sink),
        world=fingerprint_model(world),
        stride=vae.config.stride if vae else RELEASED_STRIDE,
        decode=None if vae is None else lambda z, tails: decode_chunk(vae, z, tails),
        vae=None if vae is None else fingerprint_model(vae),
        refine=None if refiner is None else refiner_stage(refiner, attend=attend),
        refiner=None if refiner is None else fingerprint_model(refiner),
    )
