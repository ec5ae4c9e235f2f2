"""A MODEL of the host out of a file's weights: plain ones stay memory-mapped, quantised ones go to the host's own layers.

Frames that a noise mask calls known come out of every sampler as they went in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import comfy.model_management as management
import comfy.patcher_extension as extension
import comfy.sampler_helpers
import comfy.supported_models_base
import torch
from comfy.model_base import BaseModel
from torch import Tensor

from ..wm_core.checkpoint.quantised import QuantisedWeights
from ..wm_core.errors import ConfigError
from ..wm_core.kernels import TORCH, kernels_for
from ..wm_core.rollout import fingerprint_model
from .bridge import log
from .compat import Patcher, set_inference_dtype
from .quantised import quantised_model

COMPUTE_DTYPES = [torch.bfloat16, torch.float16, torch.float32]


def filled(
    make: Callable[..., BaseModel],
    config: comfy.supported_models_base.BASE,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    stored: torch.dtype,
    parameters: int,
) -> BaseModel:
    """`make(config, device=...)` with weights as they are in the file (`stored`), or in dtype; None lets the host choose."""
    device = management.get_torch_device()
    dtype = dtype or _storage_dtype(stored, parameters, device)
    set_inference_dtype(config, dtype, management.unet_manual_cast(dtype, device, COMPUTE_DTYPES), device)
    model = make(config, device=torch.device("meta"))
    if dtype != stored:
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    model.diffusion_model.load_state_dict(weights, assign=True)
    model.diffusion_model.fingerprint = fingerprint_model(model.diffusion_model)  # before anything is patched
    return model


def quantised(
    make: Callable[..., BaseModel],
    config: comfy.supported_models_base.BASE,
    weights: QuantisedWeights,
    dtype: torch.dtype | None,
    file: str,
) -> BaseModel:
    """The same with quantised weights, for which dtype must be None: ConfigError."""
    if dtype is not None:
        raise ConfigError(
            f"weight_dtype must be auto for {file}, whose weights are {', '.join(weights.formats)}; for another precision "
            "take the same model in bf16, fp16 or fp32"
        )
    return quantised_model(make, config, weights, management.get_torch_device(), file)


def patched(model: BaseModel) -> Patcher:
    """The model as the host passes it on."""
    model.requires_grad_(False)
    device = management.get_torch_device()
    patcher = Patcher(model, load_device=device, offload_device=management.unet_offload_device())
    if (kernels := _ready_kernels(model, device)) != TORCH.name:
        log.info("%s computes with fused kernels (%s)", type(model.diffusion_model).__name__, kernels)
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, _keep_known_frames)
    return patcher


@torch.no_grad()
def _ready_kernels(model: BaseModel, device: torch.device) -> str:
    """What the model will compute with. Fused kernels are compiled and compared now, so that the first frames need not wait."""
    config, dtype = model.diffusion_model.config, model.manual_cast_dtype or model.get_dtype()
    return kernels_for(torch.empty(0, dtype=dtype, device=device), config.hidden_size, config.head_dim).name


def _storage_dtype(stored: torch.dtype, parameters: int, device: torch.device) -> torch.dtype:
    """A CPU computes in float32 whatever the file holds, so there the file's own dtype stays, memory-mapped."""
    if management.is_device_cpu(device):
        return stored
    return management.unet_dtype(
        device=device, model_params=parameters, supported_dtypes=COMPUTE_DTYPES, weight_dtype=stored
    )


def _keep_known_frames(sample, noise, latent, sampler, sigmas, denoise_mask=None, *rest, **options) -> Tensor:
    """Give frames that the noise mask calls known back as they came.

    A sampler that stops before sigma 0, as the first half of split sigmas, would leave its noise on them, and the second
    half would take that for the picture.
    """
    result = sample(noise, latent, sampler, sigmas, denoise_mask, *rest, **options)
    if denoise_mask is None:
        log.warning(
            "the latent has no noise mask, so no picture is kept as the first frame; connect the latent of SANA-WM "
            "Image to Video"
        )
        return result
    mask = comfy.sampler_helpers.prepare_mask(denoise_mask, result.shape, result.device)
    return torch.where(mask > 0, result, latent.to(result))
