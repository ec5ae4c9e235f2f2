"""The host's MODEL and VAE as the stages of a rollout: loaded when they are used, cast as the host casts, and every
call of them a moment at which the user's cancel is heard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import comfy.model_management as management
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..wm_core.config import VAEConfig
from ..wm_core.dit import Prepared, WorldConditions, WorldDiT, WorldState
from ..wm_core.errors import ConfigError
from ..wm_core.rollout import Stages, eight_bit
from ..wm_core.sampling.refining import RefinerStage
from ..wm_core.vae import CONTEXT, Tails, VideoVAE, decode_chunk, decode_in_chunks
from .native import HostWorldDiT, host_attention, world_info

SAMPLED = 64  # values of a LoRA's tensor that go into its fingerprint


@dataclass(frozen=True, eq=False)
class SecondStage:
    """The refiner of a rollout, what tells its weights and LoRAs from others, and its bytes on the card besides weights."""

    stage: RefinerStage
    fingerprint: str
    beside: int


def host_stages(model, vae, second: SecondStage | None = None) -> Stages:
    """Stages of a MODEL and a VAE, and of a refiner if there is one; ConfigError if they are not ours or the VAE's decoder
    looks ahead.

    LoRAs and attention overrides of the MODEL count; wrappers around its steps (caches that skip some) do not.
    """
    world_info(model)
    config = own_vae(vae).config
    if not config.decoder_causal:
        raise ConfigError(
            "vae decodes with a look ahead and cannot stream; take the causal LTX-2 VAE of the streaming release, or "
            "SamplerCustomAdvanced with SANA-WM Streaming Sampler and SANA-WM Decode to Video"
        )
    net: HostWorldDiT = model.model.diffusion_model
    dtype = model.model.manual_cast_dtype or net.dtype
    options = model.model_options.get("transformer_options", {})

    prepared = Prepared(net)

    def velocity(x: Tensor, sigma: Tensor, cond: WorldConditions, past: WorldState) -> tuple[Tensor, WorldState]:
        management.throw_exception_if_processing_interrupted()
        management.load_models_gpu([model], memory_required=model.memory_required(list(x.shape)))
        x = x.to(dtype)
        attend = host_attention(options)
        v, after = WorldDiT.forward(net, x, sigma, prepared(cond, x, past.frames), past=past, attend=attend)
        return v.float(), after

    def decode(z: Tensor, tails: Tails | None) -> tuple[Tensor, Tails]:
        _load(vae, (1, *z.shape[1:2], 1, *z.shape[3:]))
        z = z.to(vae.device, vae.vae_dtype)
        return decode_chunk(
            vae.first_stage_model, z, tails, on_step=management.throw_exception_if_processing_interrupted
        )

    return Stages(
        velocity=velocity,
        begin=lambda window, keeps_sink: net.begin(window=window, keeps_sink=keeps_sink),
        world=net.fingerprint + fingerprint_patches(model.patches),
        stride=config.stride,
        decode=decode,
        vae=vae.first_stage_model.fingerprint,
        refine=None if second is None else second.stage,
        refiner=None if second is None else second.fingerprint,
    )


def decode_frames(vae, latent: Tensor, *, chunk: int = 4) -> Iterator[NDArray]:
    """Frames (f, h, w, 3) uint8 of the latents (1, c, t, h, w), a few at a time, in memory that does not grow with t.

    chunk: latent frames to a piece. Which way the decoder looks does not matter, see wm_core.vae.overlap.
    """
    return decode_arriving(vae, latent[:1].split(chunk, dim=2), chunk=chunk)


def decode_arriving(vae, latents: Iterable[Tensor], *, chunk: int = 4) -> Iterator[NDArray]:
    """The same for latents (1, c, t, h, w) of any t that are still being made."""
    own = own_vae(vae)

    def parts() -> Iterator[Tensor]:
        for part in latents:
            _load(vae, (*part.shape[:2], _window(own.config, chunk), *part.shape[3:]))
            yield part.to(vae.device, vae.vae_dtype)

    for pixels in decode_in_chunks(own, parts(), chunk=chunk):
        yield eight_bit(pixels)
        management.throw_exception_if_processing_interrupted()


def own_vae(vae) -> VideoVAE:
    """Our video VAE in a VAE of the host; ConfigError if it is another."""
    own = getattr(vae, "first_stage_model", None)
    if not isinstance(own, VideoVAE):
        raise ConfigError(f"vae must be SANA-WM's, got {type(own).__name__}; connect Load LTX-2 Video VAE")
    return own


def _load(vae, shape: tuple[int, ...]) -> None:
    """Make room for one call of the decoder on latents of this shape; raises if the user has cancelled."""
    management.throw_exception_if_processing_interrupted()
    management.load_models_gpu([vae.patcher], memory_required=vae.memory_used_decode(shape, vae.vae_dtype))


def _window(config: VAEConfig, chunk: int) -> int:
    """Latent frames that one call of the decoder sees."""
    return 1 if config.decoder_causal else chunk + 2 * CONTEXT


def fingerprint_patches(patches: dict) -> str:
    """Empty without LoRAs; else a short hash of their strengths and a sample of their tensors."""
    if not patches:
        return ""
    digest = hashlib.sha256()
    for name in sorted(patches, key=str):
        digest.update(str(name).encode())
        for strength, value, strength_model, offset, _ in patches[name]:
            digest.update(f"{strength} {strength_model} {offset}".encode())
            for tensor in _tensors(value):
                sample = tensor.detach().reshape(-1)[:: max(1, tensor.numel() // SAMPLED)][:SAMPLED]
                digest.update(sample.float().cpu().numpy().tobytes())
    return "+" + digest.hexdigest()[:8]


def _tensors(value) -> Iterator[Tensor]:
    """Tensors of a patch: a tensor, a tuple of parts, or one of the host's weight adapters."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    else:
        yield from _tensors(getattr(value, "weights", ()))
