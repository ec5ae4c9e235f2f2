"""What a VAE file says about itself: diffusers' config.json, our metadata, or the block list inside an original file.

Original LTX-2 files carry their configuration as JSON in the metadata key `config`, whose section `vae` lists blocks:
["res_x", {"num_layers": 4}], ["compress_space_res", {"multiplier": 2}], ... Both lists begin at the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import RELEASED_VAE, VAEConfig
from ..errors import CheckpointError, ConfigError
from ..vae import vae_config_from_dict
from .files import WeightFile, json_object, open_weights
from .keymaps import VAE_LAYOUTS
from .recognition import recognise, refusal

CLASS = "AutoencoderKLLTX2Video"  # in a diffusers config.json

# What each block between two runs of residual layers does: kind in our words.
DOWN_BLOCKS = {
    "compress_space_res": "spatial",
    "compress_time_res": "temporal",
    "compress_all_res": "spatiotemporal",
}
UP_BLOCKS = {"compress_space": "spatial", "compress_time": "temporal", "compress_all": "spatiotemporal"}

# Fields of an original config that change the arithmetic: their default, and what this VAE can do.
SUPPORTED = {
    "dims": (3, (3,)),
    "norm_layer": ("group_norm", ("pixel_norm",)),
    "latent_log_var": ("per_channel", ("uniform", "constant")),
    "timestep_conditioning": (False, (False,)),
    "use_quant_conv": (False, (False,)),
    "normalize_latent_channels": (False, (False,)),
    "causal_encoder": (True, (True,)),
}


def open_vae(path: str | Path, *, config: VAEConfig | None = None) -> tuple[WeightFile, VAEConfig]:
    """Open an LTX-2 video VAE and find its configuration: metadata, config.json beside it, or the released one, whose
    decoder is causal if the name of the file or its folder has the word.

    CheckpointError if this is not such a VAE or its configuration is not one that can be built.
    """
    file = open_weights(path, VAE_LAYOUTS)
    if recognise(file.shapes) not in VAE_LAYOUTS:
        raise refusal(file.path, [*file.shapes, *file.outside], VAE_LAYOUTS)
    return file, config or _stated_config(file)


def original_vae_config(data: Mapping[str, Any]) -> VAEConfig:
    """VAEConfig of the `vae` section of an original LTX-2 file.

    ConfigError for unknown block kinds and for features that this VAE lacks. Fields of training are not looked at.
    """
    for field, (default, possible) in SUPPORTED.items():
        value = data.get(field, default)
        if value not in possible:
            raise ConfigError(
                f"{field} must be {' or '.join(map(str, possible))}, got {value!r}; is this an LTX-2 VAE?"
            )
    latent = data.get("latent_channels", 128)
    layers, down = _split(data, "encoder_blocks", DOWN_BLOCKS)
    decoder_layers, up = _split(data, "decoder_blocks", UP_BLOCKS)
    if data.get("encoder_base_channels", 128) != latent:
        raise ConfigError(
            f"encoder_base_channels must equal latent_channels {latent}, got {data['encoder_base_channels']}"
        )
    padding = data.get("spatial_padding_mode")
    return VAEConfig(
        in_channels=data.get("in_channels", 3),
        out_channels=data.get("out_channels", 3),
        latent_channels=latent,
        block_out_channels=_widths(latent, [p.get("multiplier", 2) for _, p in down]),
        layers_per_block=layers,
        downsample_type=tuple(kind for kind, _ in down),
        spatio_temporal_scaling=(True,) * len(down),
        decoder_block_out_channels=_widths(
            data.get("decoder_base_channels", 128), [p.get("multiplier", 1) for _, p in up]
        ),
        decoder_layers_per_block=decoder_layers,
        decoder_spatio_temporal_scaling=(True,) * len(up),
        upsample_type=tuple(kind for kind, _ in reversed(up)),
        # Only blocks that grow both time and space can add their input.
        upsample_residual=tuple(kind == "spatiotemporal" and p.get("residual", False) for kind, p in up),
        upsample_factor=tuple(p.get("multiplier", 1) for _, p in up),
        patch_size=data.get("patch_size", 1),
        scaling_factor=data.get("scaling_factor", 1.0),
        decoder_causal=data.get("causal_decoder", False),
        encoder_spatial_padding_mode=data.get("encoder_spatial_padding_mode", padding or "zeros"),
        decoder_spatial_padding_mode=data.get("decoder_spatial_padding_mode", padding or "reflect"),
    )


def _stated_config(file: WeightFile) -> VAEConfig:
    """From the most specific source that there is: the file itself, then its neighbour, then the release."""
    name = file.path.name
    own, original = file.metadata.get("sana_wm.vae_config"), file.metadata.get("config")
    if own is not None:
        source = f"metadata sana_wm.vae_config of {name}"
        return _built(vae_config_from_dict, json_object(own, source), source)
    if original is not None:
        source = f"metadata config of {name}"
        section = json_object(original, source).get("vae")
        if isinstance(section, dict):
            return _built(original_vae_config, section, f"{source}, section vae")
    if file.config.get("_class_name", CLASS) == CLASS and "block_out_channels" in file.config:
        return _built(vae_config_from_dict, file.config, f"config.json beside {name}")
    is_causal = any("causal" in part.lower() for part in (name, file.path.parent.name))
    return replace(RELEASED_VAE, decoder_causal=True) if is_causal else RELEASED_VAE


def _built(build, data: Mapping[str, Any], source: str) -> VAEConfig:
    try:
        return build(data)
    except (ConfigError, TypeError, ArithmeticError) as error:
        raise CheckpointError(f"{source} is not understood: {error}") from error


def _split(
    data: Mapping[str, Any], field: str, kinds: Mapping[str, str]
) -> tuple[tuple[int, ...], list[tuple[str, dict]]]:
    """Layer counts of the residual runs, and (kind, parameters) of the resampling blocks between them."""
    blocks = data.get(field)
    if not isinstance(blocks, list) or len(blocks) % 2 == 0:
        raise ConfigError(f"{field} must list res_x blocks with one resampling block between each two, got {blocks!r}")
    layers, resampling = [], []
    for i, block in enumerate(blocks):
        name, parameters = _checked(block, f"{field}[{i}]", ("res_x",) if i % 2 == 0 else tuple(kinds))
        if name == "res_x":
            layers.append(parameters["num_layers"])
        else:
            resampling.append((kinds[name], parameters))
    return tuple(layers), resampling


def _checked(block: Any, where: str, wanted: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """(kind, parameters) of one entry; a bare number counts layers."""
    name, parameters = block if isinstance(block, list) and len(block) == 2 else (block, {})
    parameters = {"num_layers": parameters} if isinstance(parameters, int) else parameters
    if name not in wanted or not isinstance(parameters, dict):
        raise ConfigError(
            f"{where} must be {' or '.join(wanted)} with its parameters, got {block!r}; is this an LTX-2 VAE?"
        )
    counts = [parameters.get("num_layers", None if name == "res_x" else 1), parameters.get("multiplier", 1)]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ConfigError(f"{where} must count layers and multiply channels by whole numbers, got {block!r}")
    if parameters.get("inject_noise", False):
        raise ConfigError(f"{where} must not inject noise, got {block!r}; is this an LTX-2 VAE?")
    return name, parameters


def _widths(base: int, multipliers: list[int]) -> tuple[int, ...]:
    """Channels after each block, counted from the pixels."""
    widths = []
    for multiplier in multipliers:
        base *= multiplier
        widths.append(base)
    return tuple(widths)
