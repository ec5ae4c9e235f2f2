"""Differences between host versions, found by looking, never by version number."""

from __future__ import annotations

import inspect

import comfy.model_patcher
import comfy.utils
import torch
from comfy_api.latest import io

# Newer hosts load weights on demand; older ones know the plain patcher only.
Patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def advanced(widget: io.Input) -> io.Input:
    """Fold a widget under "advanced". Set after construction: on ComfyUI 0.3.75 no constructor takes it."""
    widget.extra_dict = {**(getattr(widget, "extra_dict", None) or {}), "advanced": True}
    return widget


def set_inference_dtype(config, dtype: torch.dtype, cast: torch.dtype | None, device: torch.device) -> None:
    """Tell a model config its storage and compute dtype; the third argument came later."""
    takes_device = "device" in inspect.signature(config.set_inference_dtype).parameters
    config.set_inference_dtype(dtype, cast, **({"device": device} if takes_device else {}))
