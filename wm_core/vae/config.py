"""The config.json that lies beside a diffusers LTX-2 VAE, read as a VAEConfig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..config import VAEConfig
from ..errors import ConfigError

# Fields that the format has and this model does not: the one value that means "off".
SWITCHED_OFF = {"timestep_conditioning": False, "decoder_inject_noise": False, "patch_size_t": 1}
DOWN_BLOCK = "LTX2VideoDownBlock3D"
# The format's own default where it is not the released VAE's.
FORMAT_DEFAULTS = {"decoder_causal": True}
# Fields for which the format allows one boolean in place of one per block, and the field that counts the blocks.
ONE_FOR_ALL = {
    "spatio_temporal_scaling": "block_out_channels",
    "decoder_spatio_temporal_scaling": "decoder_block_out_channels",
    "upsample_residual": "decoder_block_out_channels",
}


def vae_config_from_dict(data: Mapping[str, Any]) -> VAEConfig:
    """The VAEConfig of a config.json; absent fields take the format's defaults, names with a leading _ are skipped.

    ConfigError for a field or value that this VAE does not have, and for compression ratios that contradict the
    blocks (null ratios are derived from them).
    """
    given = {name: value for name, value in data.items() if not name.startswith("_")}
    ratios = {axis: given.pop(f"{axis}_compression_ratio", None) for axis in ("spatial", "temporal")}
    _refuse_unsupported(given)
    kinds = {field.name: type(field.default) for field in fields(VAEConfig)}
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise ConfigError(f"VAE config has unknown fields {', '.join(unknown[:8])}; is it of an LTX-2 VAE?")
    merged = {field.name: field.default for field in fields(VAEConfig)} | FORMAT_DEFAULTS | given
    for name, widths in ONE_FOR_ALL.items():
        if isinstance(merged[name], bool):
            merged[name] = (merged[name],) * len(merged[widths])
    config = VAEConfig(**{name: _typed(name, merged[name], kinds[name]) for name in kinds})
    _check_ratios(config, ratios)
    return config


def _refuse_unsupported(given: dict[str, Any]) -> None:
    """Remove the fields that can only be off; ConfigError where one is on."""
    for name, off in SWITCHED_OFF.items():
        value = given.pop(name, off)
        if any(v != off for v in (value if isinstance(value, (list, tuple)) else [value])):
            raise ConfigError(f"VAE config {name} must be {off}, got {value}; other values are not supported")
    for kind in given.pop("down_block_types", ()):
        if kind != DOWN_BLOCK:
            raise ConfigError(f"VAE config down_block_types must all be {DOWN_BLOCK}, got {kind}")


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is tuple and isinstance(value, (list, tuple)) and value:
        element = type(getattr(VAEConfig, name)[0])
        return tuple(_typed(name, v, element) for v in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is int and value < 0):
        raise ConfigError(f"VAE config {name} must be {kind.__name__}, got {value!r}")
    return value


def _check_ratios(config: VAEConfig, ratios: dict[str, int | None]) -> None:
    for axis, derived in (("spatial", config.stride.h), ("temporal", config.stride.t)):
        if ratios[axis] not in (None, derived):
            raise ConfigError(
                f"VAE config {axis}_compression_ratio must be {derived}, which its blocks give, got {ratios[axis]}"
            )
