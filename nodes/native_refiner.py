"""The refiner as the host's own MODEL, and as the stage of a refinement: loaded when used, with the host's layers and attention.

In core's samplers the MODEL makes the single-shot pass: give it SANA-WM's sigmas and a latent whose noise mask is 0 on the
first frame, which is the sink.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.patcher_extension as extension
import comfy.supported_models_base
import torch
from torch import Tensor

from ..wm_core.checkpoint import RefinerFile, read_refiner_weights
from ..wm_core.checkpoint.quantised import read_quantised
from ..wm_core.config import RefinerConfig, RefinerRecipe
from ..wm_core.errors import ConfigError
from ..wm_core.refiner import KVRing, Part, PromptKeys, RingSize, VideoRefiner
from ..wm_core.refiner.block_swap import BlockSwap, swap_blocks
from ..wm_core.refiner.memory import RefinerMemory, refiner_memory
from ..wm_core.sampling.refining import RefinerStage
from .compat import Patcher, walk_prefetching
from .native import counted_tokens, host_attention
from .patched import filled, patched, quantised
from .single_shot import FPS, in_one_run, single_shot

WINDOW_ROOM = 0.5  # of the card: a window that takes more leaves too little for weights
COMPUTE_DTYPES = [torch.bfloat16, torch.float32]  # LTX-2's activations leave the range of float16
MEMORY_FACTOR = 7.0  # about 28 vectors of the model's width for each token, in the host's own unit


@dataclass(frozen=True)
class RefinerInfo:
    """How a loaded refiner is kept."""

    name: str
    weight_bytes: float  # of one weight, on average
    resident_blocks: int | None


class HostRefiner(VideoRefiner):
    """The refiner behind the host's calling convention."""

    swap: BlockSwap | None = None
    info: RefinerInfo | None = None

    def __init__(self, refiner: RefinerConfig, dtype=None, device=None, operations=None, **_):
        super().__init__(refiner, operations, dtype=dtype, device=device)
        self.dtype = dtype

    def forward(self, x, timestep, context=None, control=None, transformer_options=None, **conds):
        transformer_options = transformer_options or {}
        wrappers = extension.get_all_wrappers(extension.WrappersMP.DIFFUSION_MODEL, transformer_options)
        run = extension.WrapperExecutor.new_class_executor(self._single_shot, self, wrappers)
        return run.execute(x, timestep, context, transformer_options, **conds)

    def _single_shot(self, x: Tensor, timestep: Tensor, context: Tensor, options: dict, **conds) -> Tensor:
        fps = conds.get("frame_rate", FPS)
        return single_shot(self, x, timestep, context, options, conds.get("denoise_mask"), fps)


class HostRefinerModel(comfy.model_base.BaseModel):
    """What the host's samplers ask of a model."""

    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostRefiner)

    def extra_conds(self, **kwargs):
        conds = super().extra_conds(**kwargs)
        text = kwargs.get("cross_attn")
        if text is None:
            raise ConfigError("the conditioning for the refiner has no prompt; encode one with the refiner's CLIP")
        refuse_unconnected(kwargs, "the conditioning")
        conds["c_crossattn"] = comfy.conds.CONDRegular(counted_tokens(text, kwargs.get("attention_mask")))
        conds["frame_rate"] = comfy.conds.CONDConstant(kwargs.get("frame_rate", FPS))
        mask = kwargs.get("concat_mask", kwargs.get("denoise_mask"))
        if mask is not None:
            conds["denoise_mask"] = comfy.conds.CONDRegular(mask)
        return conds

    def process_timestep(self, timestep, **kwargs):
        """Noise level in thousandths, whatever nodes did to the sampling: (b,)."""
        return timestep * (1000 / getattr(self.model_sampling, "multiplier", 1.0))

    def scale_latent_inpaint(self, latent_image, **kwargs):
        return latent_image  # the sink is clean at every step


class RefinerModelConfig(comfy.supported_models_base.BASE):
    unet_config = {"image_model": "sana_wm_refiner"}  # noqa: RUF012  the host reads a plain dict
    latent_format = comfy.latent_formats.LatentFormat
    supported_inference_dtypes = COMPUTE_DTYPES
    memory_usage_factor = MEMORY_FACTOR

    def __init__(self, config: RefinerConfig):
        super().__init__({"image_model": "sana_wm_refiner", "refiner": config})
        self.sampling_settings = {"shift": 1.0, "multiplier": 1000}
        self.latent_format.latent_channels = config.in_channels
        self.latent_format.latent_dimensions = 3


def refiner_model(opened: RefinerFile, dtype: torch.dtype | None = None, resident_blocks: int | None = None) -> Patcher:
    """A MODEL of the host. dtype: how weights are kept; None lets the host choose from the file's.

    resident_blocks: how many blocks stay on the card while the others take turns there; None leaves it to the host.
    """
    config, file = RefinerModelConfig(opened.config), opened.file.path.name
    if opened.quantised:
        plain = VideoRefiner(opened.config, device="meta")
        weights = read_quantised(opened.file, opened.names, opened.quantised, plain, opened.layout)
        model = quantised(HostRefinerModel, config, weights, dtype, file)
    else:
        weights = read_refiner_weights(opened)
        model = filled(HostRefinerModel, config, weights, dtype, weights["proj_in.weight"].dtype, opened.parameters)
    net: HostRefiner = model.diffusion_model
    stored = sum(weight.numel() * weight.element_size() for weight in net.state_dict().values())
    net.info = RefinerInfo(file, stored / opened.parameters, resident_blocks)
    if resident_blocks is not None:
        net.swap = swap_blocks(net, resident_blocks, management.get_torch_device())
    patcher = patched(model)
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, in_one_run(lambda: release(patcher)))
    return patcher


def refuse_unconnected(extra: Mapping, what: str) -> None:
    """ConfigError for a prompt of the host's own LTX-2 CLIP: it has as many channels, but has not been through connectors."""
    if extra.get("unprocessed_ltxav_embeds"):
        raise ConfigError(
            f"{what} was encoded with ComfyUI's own CLIP of LTX-2, which leaves the text connectors to its model; encode it with "
            "the CLIP of Load LTX-2 Refiner"
        )


def refiner_of(model) -> HostRefiner:
    """The refiner in a MODEL; ConfigError if it is another model."""
    if not isinstance(getattr(model, "model", None), HostRefinerModel):
        got = type(getattr(model, "model", model)).__name__
        raise ConfigError(f"refiner must be the LTX-2 refiner, got {got}; connect Load LTX-2 Refiner")
    return model.model.diffusion_model


def compute_dtype(model) -> torch.dtype:
    """What a MODEL computes in."""
    return model.model.manual_cast_dtype or refiner_of(model).dtype


def planned_memory(model, recipe: RefinerRecipe, grid: tuple[int, int, int], context_tokens: int) -> RefinerMemory:
    """What refining latents of grid = (t, h, w) takes; the window rests in the computer's memory where the card is small."""
    net = refiner_of(model)
    size = torch.empty((), dtype=compute_dtype(model)).element_size()
    plan = lambda on_device: refiner_memory(
        net.config, recipe, grid, weight_bytes=net.info.weight_bytes, itemsize=size, context_tokens=context_tokens,
        resident_blocks=net.info.resident_blocks, window_is_on_device=on_device,
    )  # fmt: skip
    here = plan(True)
    beside_weights = here.window + here.text + here.scratch + here.activations
    fits = management.is_device_cpu(model.load_device) or (
        beside_weights <= WINDOW_ROOM * management.get_total_memory(model.load_device)
    )
    return here if fits else plan(False)


def host_refiner_stage(model, memory: RefinerMemory) -> RefinerStage:
    """The stage of a MODEL. Every call of it is a moment at which the user's cancel is heard."""
    net, dtype, device = refiner_of(model), compute_dtype(model), model.load_device
    options = {
        **model.model_options.get("transformer_options", {}),
        "prefetch_dynamic_vbars": getattr(model, "is_dynamic", lambda: False)(),  # as the host's own samplers say
    }

    attend, walk = host_attention(options), walk_prefetching(device, options)
    coming = {"window": memory.window if memory.window_is_on_device else 0, "text": memory.text, "slots": memory.slots}

    def load() -> None:
        """Make room for what a forward takes and for what has not been made yet."""
        management.throw_exception_if_processing_interrupted()
        needed = memory.scratch + memory.activations + sum(coming.values())
        management.load_models_gpu([model], memory_required=needed)

    def forward(parts: Sequence[Part], prompt: PromptKeys, ring: KVRing) -> list[Tensor]:
        load()
        cast = [replace(part, x=part.x.to(device, dtype)) for part in parts]
        velocity = VideoRefiner.forward(net, cast, prompt, ring, attend=attend, walk=walk)
        return [v.to(part.x) for v, part in zip(velocity, parts)]

    def prompt_keys(context: Tensor) -> PromptKeys:
        load()
        keys = net.prompt_keys(context.to(device, dtype))
        coming["text"] = coming["slots"] = 0
        return keys

    def level(sigma: float):
        load()
        return net.level(sigma, dtype, device)

    def ring(size: RingSize, batch: int) -> KVRing:
        load()
        keep = None if memory.window_is_on_device else torch.device("cpu")
        made = KVRing(net.config, size, dtype=dtype, device=device, keep=keep, batch=batch)
        coming["window"] = 0
        return made

    return RefinerStage(
        forward=forward,
        prompt_keys=prompt_keys,
        level=level,
        rotation=lambda start, grid, fps: net.rotation(start, grid, fps, device),
        ring=ring,
    )


def release(model) -> None:
    """Give back what a refinement held besides the model."""
    swap = refiner_of(model).swap
    if swap is not None:
        swap.release()
