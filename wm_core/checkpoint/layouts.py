"""Fitting a file's tensors to a model, strictly: each key is used or known to be useless, each parameter is filled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..config import DiTConfig, VAEConfig
from ..dit import WorldDiT
from ..errors import CheckpointError
from ..vae import VideoVAE
from .files import recognise
from .keymaps import SOFTMAX_BLOCK_IGNORED, VAE_IGNORED, VAE_RENAMES, WORLD_IGNORED, WORLD_RENAMES

SHOWN = 8


def world_names(keys: Iterable[str], config: DiTConfig) -> dict[str, str]:
    """Model parameter name -> file key, for the keys that the model of `config` uses. Unknown keys stay in as they are."""
    ignored = list(WORLD_IGNORED)
    for i in filter(config.uses_softmax, range(config.depth)):
        ignored += [rf"blocks\.{i}\.{pattern}" for pattern in SOFTMAX_BLOCK_IGNORED]
    return _names(keys, WORLD_RENAMES, ignored)


def vae_names(keys: Iterable[str], config: VAEConfig) -> dict[str, str]:
    """The same for the video VAE, in diffusers or original names."""
    return _names(keys, VAE_RENAMES, VAE_IGNORED)


def fit_world_weights(weights: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """State dict of WorldDiT(config) out of a file's tensors, as views. CheckpointError if they do not fit exactly."""
    names = world_names(weights, config)
    return _fit({name: weights[key] for name, key in names.items()}, WorldDiT(config, device="meta"))


def fit_vae_weights(weights: Mapping[str, Tensor], config: VAEConfig) -> dict[str, Tensor]:
    """State dict of VideoVAE(config), likewise."""
    names = vae_names(weights, config)
    return _fit({name: weights[key] for name, key in names.items()}, VideoVAE(config, device="meta"))


def check_shapes(shapes: Mapping[str, tuple[int, ...]], model: torch.nn.Module, what: str) -> None:
    """CheckpointError unless names and sizes match the model's state dict, before a byte of weights is read."""
    own = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    missing = sorted(set(own) - set(shapes))
    unknown = sorted(set(shapes) - set(own))
    wrong = sorted(k for k in set(own) & set(shapes) if not _same_matrix(shapes[k], own[k]))
    if not (missing or unknown or wrong):
        return
    problems = []
    if missing:
        problems.append(f"{len(missing)} missing: {_some(missing)}")
    if unknown:
        problems.append(f"{len(unknown)} unknown: {_some(unknown)}")
    if wrong:
        sizes = [f"{k} {shapes[k]} instead of {own[k]}" for k in wrong]
        problems.append(f"{len(wrong)} of another size: {_some(sizes)}")
    layout = recognise(shapes)
    nearest = "no known layout" if layout is None else layout.name + (f" ({layout.advice})" if layout.advice else "")
    raise CheckpointError(f"{what} does not fit: {'; '.join(problems)}. The file looks like: {nearest}")


def _names(keys: Iterable[str], renames: tuple[tuple[str, str], ...], ignored: Iterable[str]) -> dict[str, str]:
    names = {}
    for key in keys:
        if any(re.fullmatch(pattern, key) for pattern in ignored):
            continue
        name = _renamed(key, renames)
        if name in names:
            raise CheckpointError(f"two keys stand for {name}: {names[name]} and {key}; the file mixes two layouts")
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


def _fit(named: dict[str, Tensor], model: torch.nn.Module) -> dict[str, Tensor]:
    check_shapes({name: tuple(t.shape) for name, t in named.items()}, model, "the checkpoint")
    own = model.state_dict()
    return {name: tensor.reshape(own[name].shape) for name, tensor in named.items()}


def _same_matrix(file: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """A pointwise or patch convolution in the file is a matrix here: same rows, the rest flattened."""
    return file == own or (len(own) == 2 < len(file) and file[0] == own[0] and torch.Size(file[1:]).numel() == own[1])


def _some(items: list[str]) -> str:
    return ", ".join(items[:SHOWN]) + (", ..." if len(items) > SHOWN else "")
