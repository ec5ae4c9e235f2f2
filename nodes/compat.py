"""Differences between host versions, found by looking, never by version number."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator

import comfy.model_patcher
import folder_paths
import torch
from comfy_api.latest import io

from ..wm_core.errors import CheckpointError, ConfigError

# Newer hosts load weights on demand; older ones know the plain patcher only.
Patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def advanced(widget: io.Input) -> io.Input:
    """Fold a widget under "advanced". Set after construction: on ComfyUI 0.3.75 no constructor takes it."""
    widget.extra_dict = {**(getattr(widget, "extra_dict", None) or {}), "advanced": True}
    return widget


def model_path(file: str, *folders: str) -> str:
    """Full path of a file in one of the model folders; CheckpointError if it is in none.

    Asked for when the node runs, not in validate_inputs: a graph with a second output, such as a camera preview, is
    accepted without the part that fails validation, and the frontend of 0.3.75 then says nothing at all.
    """
    for folder in folders:
        path = folder_paths.get_full_path(folder, file)
        if path:
            return path
    places = " or ".join(f"models/{folder}" for folder in folders)
    raise CheckpointError(f"{file} is not in {places}; put it there and refresh (press R), or choose another")


def check_choice(name: str, value: str, options: Iterable[str]) -> None:
    """ConfigError unless value is an option: ComfyUI 0.3.75 does not check those of new-style nodes."""
    options = list(options)
    if value not in options:
        raise ConfigError(f"{name} must be one of {', '.join(options)}, got {value!r}")


def set_inference_dtype(config, dtype: torch.dtype, cast: torch.dtype | None, device: torch.device) -> None:
    """Tell a model config its storage and compute dtype; the third argument came later."""
    takes_device = "device" in inspect.signature(config.set_inference_dtype).parameters
    config.set_inference_dtype(dtype, cast, **({"device": device} if takes_device else {}))


def walk_prefetching(device: torch.device, transformer_options: dict) -> Callable[[Iterable], Iterator]:
    """A walk over blocks during which the host brings the next one's weights over, where it knows how."""
    if importlib.util.find_spec("comfy.model_prefetch") is None:
        return iter
    prefetch = importlib.import_module("comfy.model_prefetch")

    def walk(blocks: Iterable) -> Iterator:
        blocks = list(blocks)
        queue = prefetch.make_prefetch_queue(blocks, device, transformer_options)
        for block in blocks:
            prefetch.prefetch_queue_pop(queue, device, block)
            yield block
        prefetch.prefetch_queue_pop(queue, device, None)

    return walk
