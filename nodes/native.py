"""The world model and its VAE as the host's own MODEL and VAE: stock patcher, the host's layers, its attention.

The only file that knows the host's inner classes. Everything that touches them was tried on 0.3.75 and on 0.33.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.ops
import comfy.patcher_extension as extension
import comfy.sampler_helpers
import comfy.sd
import comfy.supported_models_base
import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..wm_core.attention import Attend
from ..wm_core.camera import CameraConditions
from ..wm_core.checkpoint import WeightFile, WorldFile, WorldInfo, read_vae_weights, read_world_weights
from ..wm_core.checkpoint.quantised import read_quantised
from ..wm_core.config import RELEASED_DIT, DiTConfig, VAEConfig
from ..wm_core.dit import WorldConditions, WorldDiT, WorldPrompt, WorldState
from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.rollout import fingerprint_model
from ..wm_core.shapes import chunk_lengths
from ..wm_core.vae import VideoVAE
from .bridge import log
from .compat import Patcher
from .conds import (
    SEQUENTIAL_TOKENS,
    CameraOnce,
    CONDPrompt,
    CONDSequential,
    PromptOnce,
    camera_once,
    forget_after,
    joined,
)
from .patched import COMPUTE_DTYPES, filled, patched, quantised

CAMERA_KEY = "sana_wm_camera"  # in a conditioning: CameraConditions
DIALECT_KEY = "sana_wm_dialect"  # the action dialect that the camera was written in
PROMPT_KEY = "sana_wm_prompt"  # beside the context: PromptOnce, for each branch
STREAM_KEY = "sana_wm_stream"  # in transformer_options: StreamHolder
MEMORY_FACTOR = 5.0  # about 20 vectors of the model's width for each token, in the host's own unit
DECODE_COPIES = 4  # tensors as wide as the decoder's last stage that are alive at once, see wm_core.vae.model


@dataclass
class StreamHolder:
    """State of a stream while one SAMPLER runs; in transformer_options, gone with the call that made it.

    past and after: by conditioning, the model's state before the call that begins at latent frame `start`, and what the call
    leaves. settling: how many of the call's first frames are the finished chunk before; they are clean, and the call leaves
    the state behind them. So the pass that a finished chunk needs is part of the next one's first step.
    """

    window: int
    keeps_sink: bool
    start: int = 0
    settling: int = 0
    past: dict[object, WorldState] = field(default_factory=dict)
    after: dict[object, WorldState] = field(default_factory=dict)

    def state_of(self, key: object) -> WorldState | None:
        """The past of a conditioning, None before the first frame; ConfigError if it was not there all along."""
        if self.start and key not in self.past:
            raise ConfigError(
                "a stream needs each conditioning in all of its steps, and one of them has a range of timesteps; take "
                "ConditioningSetTimestepRange out, or use a bidirectional model"
            )
        return self.past.get(key)

    def settled(self) -> None:
        """Take what the last call left as the past of the calls to come."""
        self.start, self.past, self.after = self.start + self.settling, self.after, {}
        self.settling = 0


class HostWorldDiT(WorldDiT):
    """The world model behind the host's calling convention."""

    def __init__(self, world: DiTConfig, info: WorldInfo, dtype=None, device=None, operations=None, **_):
        super().__init__(world, operations, dtype=dtype, device=device)
        self.dtype = dtype
        self.info = info

    def forward(self, x, timestep, context=None, control=None, transformer_options=None, **conds):
        transformer_options = transformer_options or {}
        wrappers = extension.get_all_wrappers(extension.WrappersMP.DIFFUSION_MODEL, transformer_options)
        if wrappers or extension.get_all_wrappers(extension.WrappersMP.APPLY_MODEL, transformer_options):
            conds.pop(PROMPT_KEY, None)  # other nodes may change the context that they are shown
        run = extension.WrapperExecutor.new_class_executor(self._velocity, self, wrappers)
        return run.execute(x, timestep, context, transformer_options, **conds)

    def _velocity(self, x: Tensor, timestep: Tensor, context: Tensor, transformer_options: dict, **conds) -> Tensor:
        """x (b, c, t, h, w), timestep (b,) or (b, t) in thousandths, context (b, l, c)."""
        holder: StreamHolder | None = transformer_options.get(STREAM_KEY)
        start = holder.start if holder else 0
        frames = slice(start, start + x.shape[2])
        once: CameraOnce = camera_once(conds[CAMERA_KEY])
        camera = once.camera.frames(frames.start, frames.stop) if holder else once.camera
        _compare_sizes(x, camera)
        geometry, plucker = once.place(self, camera, frames, x)
        sigma = timestep[:, None].expand(-1, x.shape[2]) / 1000
        if conds.get("denoise_mask") is not None:  # the highest level of a frame's pixels; known frames have 0
            sigma = sigma * conds["denoise_mask"].float().amax((1, 3, 4))[:, frames]
        texts = self._texts(conds.get(PROMPT_KEY), context, x)
        cond = WorldConditions(context, None, camera.raymap, plucker, geometry)
        attend = host_attention(transformer_options)
        if holder:
            keys = transformer_options.get("uuids") or transformer_options["cond_or_uncond"]
            return self._streamed(x, sigma, cond, texts or context.chunk(len(keys)), holder, keys, attend)
        if texts:
            cond = replace(cond, text=texts[0] if len(texts) == 1 else joined(texts))
        chunks = None if self.info.variant == "bidirectional" else chunk_lengths(x.shape[2])
        return super().forward(x, sigma, cond, chunks=chunks, attend=attend)[0]

    def _texts(self, prompts: tuple[PromptOnce, ...] | None, context: Tensor, x: Tensor) -> list[WorldPrompt]:
        """The prompt of each branch as it was read in the run's first step; none where the host has batched what differs."""
        if prompts is None or len(prompts) != len(x) or any(p.text.shape[1] != context.shape[1] for p in prompts):
            return []
        return [prompt.read(self, x) for prompt in prompts]

    def _streamed(
        self,
        x: Tensor,
        sigma: Tensor,
        cond: WorldConditions,
        texts: Sequence[Tensor | WorldPrompt],
        holder: StreamHolder,
        keys: list,
        attend: Attend,
    ) -> Tensor:
        """The same for one chunk of a stream: each conditioning in the batch has a state of its own, under its key."""
        parts, chunks, settling = [], None, holder.settling
        if settling:
            chunks = (settling, x.shape[2] - settling)
            sigma = torch.cat([torch.zeros_like(sigma[:, :settling]), sigma[:, settling:]], 1)
        for key, part, level, text in zip(keys, *(y.chunk(len(keys)) for y in (x, sigma)), texts):
            past = holder.state_of(key) or self.begin(window=holder.window, keeps_sink=holder.keeps_sink)
            one = replace(cond, text=text)
            velocity, after = super().forward(
                part, level, one, chunks=chunks, past=past, keep=settling or None, attend=attend
            )
            if settling:  # what a denoising step leaves is not kept
                holder.after[key] = after
            parts.append(velocity)
        return torch.cat(parts)


class HostWorldModel(comfy.model_base.BaseModel):
    """What the host's samplers ask of a model: conditions, noise level per frame, the known first frame."""

    sequential_tokens = SEQUENTIAL_TOKENS

    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostWorldDiT)

    def extra_conds(self, **kwargs):
        conds = super().extra_conds(**kwargs)
        text = kwargs.get("cross_attn")
        camera = kwargs.get(CAMERA_KEY)
        if text is None or camera is None:
            what = "a prompt" if text is None else "a camera"
            raise ConfigError(f"the conditioning for SANA-WM has not got {what}; connect SANA-WM Image to Video")
        text = counted_tokens(text, kwargs.get("attention_mask"))
        conds["c_crossattn"] = comfy.conds.CONDCrossAttn(text)
        if not kwargs.get("hooks") and len(text) == 1:  # hooks may change the weights from step to step
            conds[PROMPT_KEY] = CONDPrompt(PromptOnce(text))
        tokens = _branch_tokens(kwargs["noise"], self.diffusion_model.config)
        # A constant, for the host would round a tensor to the model's dtype.
        conds[CAMERA_KEY] = CONDSequential(camera_once(camera), tokens, self.sequential_tokens)
        mask = kwargs.get("concat_mask", kwargs.get("denoise_mask"))
        if mask is not None:
            conds["denoise_mask"] = comfy.conds.CONDRegular(mask)
        if kwargs.get("prompt_type") != "negative":  # both have the one camera: told once
            _compare_dialects(kwargs.get(DIALECT_KEY), self.diffusion_model.info)
        return conds

    def process_timestep(self, timestep, **kwargs):
        """Noise level in thousandths, whatever nodes did to the sampling: (b,)."""
        # Core's ModelSampling nodes may leave a model with another multiplier, or (Flux) with none.
        return timestep * (1000 / getattr(self.model_sampling, "multiplier", 1.0))

    def scale_latent_inpaint(self, latent_image, **kwargs):
        return latent_image  # a known frame is clean at every step


class WorldModelConfig(comfy.supported_models_base.BASE):
    unet_config = {"image_model": "sana_wm"}  # noqa: RUF012  the host reads a plain dict
    latent_format = comfy.latent_formats.LatentFormat
    supported_inference_dtypes = COMPUTE_DTYPES
    memory_usage_factor = MEMORY_FACTOR

    def __init__(self, opened: WorldFile):
        super().__init__({"image_model": "sana_wm", "world": opened.config, "info": opened.info})
        self.sampling_settings = {"shift": opened.info.sampling.shift, "multiplier": 1000}
        world = opened.config
        tokens = world.patch_size[1] * world.patch_size[2]  # latent pixels to a token
        self.memory_usage_factor = MEMORY_FACTOR * world.hidden_size / RELEASED_DIT.hidden_size / tokens
        self.latent_format.latent_channels = world.in_channels
        self.latent_format.latent_dimensions = 3


def world_model(opened: WorldFile, dtype: torch.dtype | None = None) -> Patcher:
    """A MODEL of the host. dtype: how weights are kept; None lets the host choose from the file's.

    ConfigError for a dtype that quantised weights are not in; CheckpointError if the host does not know their format.
    """
    config = WorldModelConfig(opened)
    if opened.quantised:
        plain = WorldDiT(opened.config, device="meta")
        weights = read_quantised(opened.file, opened.names, opened.quantised, plain, opened.info.layout)
        return _forgetting(patched(quantised(HostWorldModel, config, weights, dtype, opened.file.path.name)))
    weights = read_world_weights(opened)
    stored = weights["x_embedder.proj.weight"].dtype
    return _forgetting(patched(filled(HostWorldModel, config, weights, dtype, stored, opened.info.parameters)))


def _forgetting(patcher: Patcher) -> Patcher:
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, forget_after)
    return patcher


def world_info(model: Patcher) -> WorldInfo:
    """What a MODEL's file said about itself; ConfigError if it is not a SANA-WM model."""
    if not isinstance(model.model, HostWorldModel):
        raise ConfigError(f"model must be SANA-WM's, got {type(model.model).__name__}; connect Load SANA-WM Model")
    return model.model.diffusion_model.info


def video_vae(file: WeightFile, config: VAEConfig) -> comfy.sd.VAE:
    """A VAE of the host around our video VAE, with every attribute that this release of the host expects."""
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    dtype = management.vae_dtype(vae.device, [torch.bfloat16, torch.float32])
    weights = read_vae_weights(file, config)
    model = VideoVAE(config, comfy.ops.manual_cast, device="meta")
    model.load_state_dict(weights, assign=True)
    model.fingerprint = fingerprint_model(model)
    vae.first_stage_model = model.eval().requires_grad_(False)
    vae.vae_dtype, vae.working_dtypes = dtype, [torch.bfloat16, torch.float32]
    vae.latent_channels, vae.latent_dim, vae.output_channels = config.latent_channels, 3, config.out_channels
    vae.not_video, vae.size = False, None
    vae.process_input = lambda image: image * 2 - 1
    vae.process_output = lambda image: image.add_(1).div_(2).clamp_(0, 1)  # newer hosts want it done in place
    _set_strides(vae, config)
    _set_memory(vae, config)
    vae.patcher = Patcher(model, load_device=vae.device, offload_device=management.vae_offload_device())
    return vae


def _set_strides(vae: comfy.sd.VAE, config: VAEConfig) -> None:
    t, h, w = config.stride.t, config.stride.h, config.stride.w
    vae.upscale_ratio = (lambda latents: max(0, (latents - 1) * t + 1), h, w)
    vae.upscale_index_formula = (t, h, w)
    vae.downscale_ratio = (lambda frames: max(0, (frames - 1) // t + 1), h, w)
    vae.downscale_index_formula = (t, h, w)


def _set_memory(vae: comfy.sd.VAE, config: VAEConfig) -> None:
    """Peak bytes of decoding and encoding, from the widest tensors of the first and last stage."""
    stride, patch = config.stride, config.patch_size
    spread = stride.t * (stride.h // patch) * (stride.w // patch)
    last = config.decoder_stages[-1].out_channels
    first = config.block_out_channels[0]
    size = management.dtype_size
    vae.memory_used_decode = lambda z, dtype: DECODE_COPIES * last * spread * z[2] * z[3] * z[4] * size(dtype)
    vae.memory_used_encode = lambda x, dtype: DECODE_COPIES * first * x[-3] * x[-2] * x[-1] // patch**2 * size(dtype)


def _branch_tokens(latent: Tensor, config: DiTConfig) -> int:
    """Tokens of one guidance branch of a latent (b, c, t, h, w), of all its batch."""
    return latent.shape[0] * latent.shape[2:].numel() // math.prod(config.patch_size)


def _compare_sizes(x: Tensor, camera: CameraConditions) -> None:
    latent, planned = tuple(x.shape[2:]), tuple(camera.plucker.shape[2:])
    if latent != planned:
        raise ShapeError(
            f"the latent is {latent} (t, h, w), the camera in the conditioning was made for {planned}; take the latent "
            "and both conditionings from one SANA-WM Image to Video"
        )


def counted_tokens(text: Tensor, mask: Tensor | None) -> Tensor:
    """The tokens of a prompt that count; the model then needs no mask and no time for padding."""
    if mask is None:
        return text
    keep = mask.reshape(-1, mask.shape[-1]).bool()
    if keep.shape[-1] != text.shape[1] or not (keep == keep[0]).all():
        raise ShapeError(
            f"one prompt at a time: its mask is {tuple(mask.shape)} for text {tuple(text.shape)}; neither batch nor "
            "concatenate prompts (Conditioning Combine works)"
        )
    return text[:, keep[0].to(text.device)]


def _compare_dialects(camera: str | None, info: WorldInfo) -> None:
    trained = info.sampling.dialect
    if camera is not None and camera != trained and {camera, trained} != {"diffusers", "nvlabs-v1"}:
        log.warning(
            "the camera was written in dialect %s, %s was trained on moves of %s: speeds and keys differ between them",
            camera,
            info.name,
            trained,
        )


def host_attention(transformer_options: dict) -> Attend:
    """The host's choice of attention kernel, with a scale of our own where a reference needs one."""

    def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
        heads, dim = q.shape[1], q.shape[-1]
        if scale is not None:
            q = q * (scale * dim**0.5)
        out = optimized_attention(q, k, v, heads, mask=mask, skip_reshape=True, transformer_options=transformer_options)
        return out.unflatten(-1, (heads, dim)).transpose(1, 2)

    return attend
