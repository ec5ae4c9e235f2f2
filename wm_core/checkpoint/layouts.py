"""Fitting a file's tensors to a model, strictly: each key is used or known to be useless, each parameter is filled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ..config import DiTConfig, VAEConfig
from ..dit import WorldDiT
from ..errors import CheckpointError
from .files import WeightFile, some
from .keymaps import (
    CONNECTOR_IGNORED,
    CONNECTOR_RENAMES,
    REFINER_IGNORED,
    REFINER_RENAMES,
    SOFTMAX_BLOCK_IGNORED,
    VAE_IGNORED,
    VAE_RENAMES,
    WORLD_IGNORED,
    WORLD_RENAMES,
)

READABLE = ("F32", "BF16", "F16", "F64")
SCALES = re.compile(
    r".*\.(scale_weight|scale_input|weight_scale(_2)?|input_scale|pre_quant_scale|comfy_quant)|scaled_fp8"
)


def world_names(keys: Iterable[str], config: DiTConfig, what: str = "the file") -> dict[str, str]:
    """Model parameter name -> file key, for the keys that the model of `config` uses. Unknown keys stay as they are."""
    ignored = list(WORLD_IGNORED)
    for i in filter(config.uses_softmax, range(config.depth)):
        ignored += [rf"blocks\.{i}\.{pattern}" for pattern in SOFTMAX_BLOCK_IGNORED]
    return _names(keys, WORLD_RENAMES, ignored, what)


def vae_names(keys: Iterable[str], config: VAEConfig, what: str = "the file") -> dict[str, str]:
    """The same for the video VAE, in diffusers or original names."""
    return _names(keys, VAE_RENAMES, VAE_IGNORED, what)


def refiner_names(keys: Iterable[str], what: str = "the file") -> dict[str, str]:
    """The same for the refiner's video path, in diffusers or original names; audio is left out."""
    return _names(keys, REFINER_RENAMES, REFINER_IGNORED, what)


def connector_names(keys: Iterable[str], what: str = "the file") -> dict[str, str]:
    """The same for the text connectors, alone or among the other models of one file."""
    return _names(keys, CONNECTOR_RENAMES, CONNECTOR_IGNORED, what)


def fit_world_weights(weights: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """State dict of WorldDiT(config) out of a file's tensors, as views. CheckpointError if they do not fit exactly."""
    return _fit(weights, world_names(weights, config), WorldDiT(config, device="meta"))


def read_fitting(file: WeightFile, names: Mapping[str, str], model: nn.Module, layout: str) -> dict[str, Tensor]:
    """State dict of `model`, memory-mapped from `file` by `names` (parameter -> key); checked before a byte is read."""
    check_precision(file, names.values())
    check_shapes({name: file.shapes[key] for name, key in names.items()}, model, file.path.name, layout)
    weights = file.read(names.values())
    return reshaped({name: weights[key] for name, key in names.items()}, model)


def check_shapes(shapes: Mapping[str, tuple[int, ...]], model: nn.Module, what: str, layout: str = "") -> None:
    """CheckpointError unless names and sizes match the model's state dict. `shapes` is keyed by parameter name."""
    own = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    missing = sorted(set(own) - set(shapes))
    unknown = sorted(set(shapes) - set(own))
    wrong = sorted(k for k in set(own) & set(shapes) if not _same_matrix(shapes[k], own[k]))
    if not (missing or unknown or wrong):
        return
    problems, steps = [], []
    if missing:
        problems.append(f"{len(missing)} of {len(own)} missing: {some(missing)}")
        steps.append("download it again if it is incomplete")
    if unknown:
        problems.append(f"{len(unknown)} unknown: {some(unknown)}")
        steps.append("choose a file without them")
    if wrong:
        problems.append(f"{len(wrong)} of another size: " + some(f"{k} {shapes[k]}, wanted {own[k]}" for k in wrong))
        steps.append("check that its config.json or metadata belongs to it")
    read_as = f", read as {layout}," if layout else ""
    raise CheckpointError(f"{what}{read_as} does not fit: {'; '.join(problems)}. Next: {', or '.join(steps)}")


def check_precision(file: WeightFile, keys: Iterable[str]) -> None:
    """CheckpointError for quantised weights, which would otherwise load as numbers without their scales."""
    keys = sorted(keys)
    odd = [key for key in keys if file.dtypes[key] not in READABLE] or [key for key in keys if SCALES.fullmatch(key)]
    if odd:
        kinds = ", ".join(sorted({file.dtypes[key] for key in odd} - set(READABLE))) or "scales beside the weights"
        raise CheckpointError(
            f"{file.path.name} is quantised: {kinds} (number of tensors: {len(odd)}, such as {odd[0]}); such weights are "
            "read where the file says how they were made, as tools.quantize writes it, and by the loader nodes alone: "
            "take the same model in bf16, fp16 or fp32"
        )


def reshaped(named: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Tensors by parameter name as views in the model's own shapes."""
    own = model.state_dict()
    return {name: tensor.reshape(own[name].shape) for name, tensor in named.items()}


def _names(
    keys: Iterable[str], renames: tuple[tuple[str, str], ...], ignored: Iterable[str], what: str
) -> dict[str, str]:
    names = {}
    for key in keys:
        if any(re.fullmatch(pattern, key) for pattern in ignored):
            continue
        name = _renamed(key, renames)
        if name in names:
            raise CheckpointError(
                f"{what} mixes two layouts: {names[name]} and {key} both stand for {name}; choose a file of one layout"
            )
        names[name] = key
    return names


def _renamed(key: str, renames: tuple[tuple[str, str], ...]) -> str:
    for pattern, target in renames:
        match = re.fullmatch(pattern, key)
        if match:
            # {0} and {1}: the original counts blocks and samplers in one list, two entries for each of ours.
            if "{" in target:
                index = int(match[1])
                target = target.format(index // 2, index // 2 - 1)
            return match.expand(target)
    return key


def _fit(weights: Mapping[str, Tensor], names: Mapping[str, str], model: nn.Module) -> dict[str, Tensor]:
    check_shapes({name: tuple(weights[key].shape) for name, key in names.items()}, model, "the checkpoint")
    return reshaped({name: weights[key] for name, key in names.items()}, model)


def _same_matrix(file: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """A pointwise or patch convolution in the file is a matrix here: same rows, the rest flattened."""
    return file == own or (len(own) == 2 < len(file) and file[0] == own[0] and torch.Size(file[1:]).numel() == own[1])
