"""Models with quantised weights, held and computed by the host's own layer for them.

Two generations of hosts: the older is told by name which layers are quantised, the newer by a tensor of JSON among the
weights. Both read the same files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import comfy.model_management as management
import comfy.ops
import comfy.supported_models_base
import torch
from comfy import quant_ops
from comfy.model_base import BaseModel
from torch import Tensor, nn

from ..wm_core.checkpoint.quantised import TOLD, QuantisedWeights
from ..wm_core.errors import CheckpointError
from ..wm_core.rollout.session import fingerprint_weights
from .compat import set_inference_dtype

_CONFIG = comfy.supported_models_base.BASE
_NEWER, _OLDER = "quant_config", "layer_quant_config"  # what a model's config calls it


def known_formats() -> tuple[str, ...]:
    """Formats that this host computes with."""
    if not (hasattr(_CONFIG, _NEWER) or hasattr(_CONFIG, _OLDER)):
        return ()
    # A newer host without comfy-kitchen lists its formats all the same, but has no layout for any.
    layout = getattr(quant_ops, "get_layout_class", None) or quant_ops.LAYOUTS.get
    return tuple(sorted(name for name, kind in quant_ops.QUANT_ALGOS.items() if layout(kind["comfy_tensor_layout"])))


def check_formats(formats: Iterable[str], file: str) -> None:
    """CheckpointError if the host cannot compute with one of them."""
    known = known_formats()
    unknown = sorted(set(formats) - set(known))
    if unknown:
        raise CheckpointError(
            f"{file} has weights of format {', '.join(unknown)}, this ComfyUI knows {', '.join(known) or 'none'}; update "
            "ComfyUI, or take the same model in bf16"
        )


def quantised_model(
    make: Callable[..., BaseModel],
    config: comfy.supported_models_base.BASE,
    weights: QuantisedWeights,
    device: torch.device,
    file: str,
) -> BaseModel:
    """`make(config, device=...)` with its layers from the host and its `diffusion_model` filled, on the CPU.

    config is told which layers are quantised and in what precision to compute; what is not quantised is kept in that
    precision. Weights stay memory-mapped where the host leaves them so. CheckpointError: see check_formats.
    """
    check_formats(weights.formats, file)
    compute = management.unet_manual_cast(None, device, config.supported_inference_dtypes)
    set_inference_dtype(config, compute, compute, device)
    tell(config, weights.layers)
    model = make(config, device=torch.device("cpu"))
    fill(model.diffusion_model, weights)
    model.diffusion_model.fingerprint = fingerprint_weights(model.diffusion_model.config, weights.tensors)
    return model


def tell(config: comfy.supported_models_base.BASE, layers: Mapping[str, Mapping]) -> None:
    """Make a model that is built from `config` take the host's layers for quantised weights."""
    if hasattr(_CONFIG, _NEWER):
        config.quant_config = {"mixed_ops": True}
    else:
        config.layer_quant_config = {module: dict(settings) for module, settings in layers.items()}


def fill(module: nn.Module, weights: QuantisedWeights) -> None:
    """Load into a module whose layers are the host's for quantised weights; names must match exactly."""
    tensors = dict(weights.tensors)
    if hasattr(_CONFIG, _NEWER):
        tensors |= {f"{name}.{TOLD}": _as_bytes(settings) for name, settings in weights.layers.items()}
    module.load_state_dict(tensors)


def operations_for(layers: Mapping[str, Mapping], compute: torch.dtype, device: torch.device):
    """The host's layers for a module that is no BaseModel; build it on the CPU and `fill` it."""
    config = _CONFIG({})
    tell(config, layers)
    return comfy.ops.pick_operations(compute, compute, load_device=device, model_config=config)


def _as_bytes(settings: Mapping) -> Tensor:
    return torch.tensor(list(json.dumps(settings, sort_keys=True).encode()), dtype=torch.uint8)
