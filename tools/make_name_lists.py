"""Write tests/golden/names/*.json: parameter names and shapes of the released models, from the reference classes.

Needs diffusers; allocates nothing (meta device). Run from the repository root: python tools/make_name_lists.py

`vae.json` is a flat {name: shape}; the others are {"derived_from": ..., "names": {name: shape}}.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

Shapes = dict[str, list[int]]

# What each list was made from, written into it; vae.json has no place for it.
DERIVED_FROM = {
    "connectors_diffusers": "LTX2TextConnectors() of diffusers 0.42.1, state dict on the meta device",
    "ltx2_original": (
        "refiner_diffusers.json and connectors_diffusers.json under the names of original LTX-2 checkpoints: the mapping "
        "of diffusers' single-file loader, backwards. No original file was at hand"
    ),
    "refiner_diffusers": "SanaWMLTX2RefinerTransformer3DModel() of diffusers 0.42.1, state dict on the meta device",
    "world_diffusers": "SanaWMTransformer3DModel() of diffusers 0.42.1, state dict on the meta device",
    "world_released": (
        "world_diffusers.json with t_embedder.linear_{1,2} as t_embedder.mlp.{0,2}, plus pos_embed and "
        "y_embedder.y_embedding. The counts for each first part of a name are those of the header of the released "
        "sana_wm_1600m_720p.safetensors (872 tensors); the shapes of the two added names, which are never read, are "
        "not verified"
    ),
    "vae_original": (
        "vae.json under the names of original LTX-2 checkpoints, without their prefix `vae.`: the mapping that "
        "diffusers' scripts/convert_ltx2_to_diffusers.py makes, backwards. No original file was at hand. The shapes of "
        "the three further per_channel_statistics, which are never read, are not verified"
    ),
}
WORLD_NEVER_READ: Shapes = {"pos_embed": [1, 920, 2240], "y_embedder.y_embedding": [300, 2304]}
VAE_NEVER_READ: Shapes = {
    f"per_channel_statistics.{name}": [128] for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
}

# diffusers name -> original name. The original puts the middle block, the blocks and the samplers of a side into one
# list, in the order of computation.
ORIGINAL_VAE_NAMES = (
    (r"encoder\.mid_block\.resnets\.(.+)", lambda m: f"encoder.down_blocks.8.res_blocks.{m[1]}"),
    (r"encoder\.down_blocks\.(\d)\.resnets\.(.+)", lambda m: f"encoder.down_blocks.{2 * int(m[1])}.res_blocks.{m[2]}"),
    (r"encoder\.down_blocks\.(\d)\.downsamplers\.0\.(.+)", lambda m: f"encoder.down_blocks.{2 * int(m[1]) + 1}.{m[2]}"),
    (r"decoder\.mid_block\.resnets\.(.+)", lambda m: f"decoder.up_blocks.0.res_blocks.{m[1]}"),
    (r"decoder\.up_blocks\.(\d)\.upsamplers\.0\.(.+)", lambda m: f"decoder.up_blocks.{2 * int(m[1]) + 1}.{m[2]}"),
    (r"decoder\.up_blocks\.(\d)\.resnets\.(.+)", lambda m: f"decoder.up_blocks.{2 * int(m[1]) + 2}.res_blocks.{m[2]}"),
    (r"latents_mean", lambda m: "per_channel_statistics.mean-of-means"),
    (r"latents_std", lambda m: "per_channel_statistics.std-of-means"),
)

# diffusers name -> original name, all rows that match.
ORIGINAL_REFINER_NAMES = (
    (r"^(audio_)?proj_in\.", r"\1patchify_proj."),
    (r"^(audio_)?time_embed\.", r"\1adaln_single."),
    (r"^av_cross_attn_(video|audio)_scale_shift\.", r"av_ca_\1_scale_shift_adaln_single."),
    (r"^av_cross_attn_video_a2v_gate\.", r"av_ca_a2v_gate_adaln_single."),
    (r"^av_cross_attn_audio_v2a_gate\.", r"av_ca_v2a_gate_adaln_single."),
    (r"\.(video|audio)_a2v_cross_attn_scale_shift_table$", r".scale_shift_table_a2v_ca_\1"),
    (r"\.norm_([qk])\.", r".\1_norm."),
)
ORIGINAL_CONNECTOR_NAMES = (
    (r"^(video|audio)_connector\.", r"\1_embeddings_connector."),
    (r"\.transformer_blocks\.", r".transformer_1d_blocks."),
    (r"\.norm_([qk])\.", r".\1_norm."),
)


def released_world_name(name: str) -> str:
    """A diffusers name of the stage-1 model as the release has it."""
    return name.replace("t_embedder.linear_1.", "t_embedder.mlp.0.").replace(
        "t_embedder.linear_2.", "t_embedder.mlp.2."
    )


def original_vae_name(name: str) -> str:
    """A diffusers name of the video VAE (four encoder blocks) as original checkpoints have it."""
    for pattern, rename in ORIGINAL_VAE_NAMES:
        if match := re.fullmatch(pattern, name):
            return rename(match)
    return name


def original_refiner_name(name: str) -> str:
    """A diffusers name of the LTX-2 transformer as original files have it, with their prefix."""
    return "model.diffusion_model." + _replaced(name, ORIGINAL_REFINER_NAMES)


def original_connector_name(name: str) -> str:
    """A diffusers name of the text connectors as original files have it."""
    if name == "text_proj_in.weight":
        return "text_embedding_projection.aggregate_embed.weight"
    return "model.diffusion_model." + _replaced(name, ORIGINAL_CONNECTOR_NAMES)


def _replaced(name: str, rows: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rows:
        name = re.sub(pattern, replacement, name)
    return name


def world_diffusers_names() -> Shapes:
    """{name: shape} of the stage-1 model in diffusers."""
    from diffusers import SanaWMTransformer3DModel

    with torch.device("meta"):
        return _shapes(SanaWMTransformer3DModel())


def world_released_names() -> Shapes:
    """{name: shape} of the stage-1 model as released."""
    return {released_world_name(name): shape for name, shape in world_diffusers_names().items()} | WORLD_NEVER_READ


def vae_names() -> Shapes:
    """{name: shape} of the LTX-2 video VAE that SANA-WM was released with."""
    from diffusers import AutoencoderKLLTX2Video

    from wm_core.config import RELEASED_VAE

    stride = RELEASED_VAE.stride
    with torch.device("meta"):
        return _shapes(
            AutoencoderKLLTX2Video(
                **asdict(RELEASED_VAE), spatial_compression_ratio=stride.h, temporal_compression_ratio=stride.t
            )
        )


def vae_original_names() -> Shapes:
    """{name: shape} of the same VAE in an original LTX-2 checkpoint."""
    return {original_vae_name(name): shape for name, shape in vae_names().items()} | VAE_NEVER_READ


def refiner_diffusers_names() -> Shapes:
    """{name: shape} of the LTX-2 transformer in diffusers, its audio half included."""
    from diffusers import SanaWMLTX2RefinerTransformer3DModel

    with torch.device("meta"):
        return _shapes(SanaWMLTX2RefinerTransformer3DModel())


def connectors_diffusers_names() -> Shapes:
    """{name: shape} of its text connectors, likewise."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    with torch.device("meta"):
        return _shapes(LTX2TextConnectors())


def ltx2_original_names() -> Shapes:
    """{name: shape} of both in one original LTX-2 file."""
    both = (refiner_diffusers_names(), original_refiner_name), (connectors_diffusers_names(), original_connector_name)
    return {rename(name): shape for names, rename in both for name, shape in names.items()}


LISTS = {
    "connectors_diffusers": connectors_diffusers_names,
    "ltx2_original": ltx2_original_names,
    "refiner_diffusers": refiner_diffusers_names,
    "vae": vae_names,
    "vae_original": vae_original_names,
    "world_diffusers": world_diffusers_names,
    "world_released": world_released_names,
}


def render(name: str) -> str:
    """The text of one list, a line for each tensor."""
    rows = (f"{json.dumps(key)}: {json.dumps(shape)}" for key, shape in sorted(LISTS[name]().items()))
    names = "{\n" + ",\n".join(rows) + "\n}"
    if name not in DERIVED_FROM:
        return names + "\n"
    return f'{{\n"derived_from": {json.dumps(DERIVED_FROM[name])},\n"names": {names}\n}}\n'


def main() -> None:
    folder = ROOT / "tests" / "golden" / "names"
    folder.mkdir(parents=True, exist_ok=True)
    for name in LISTS:
        (folder / f"{name}.json").write_text(render(name))


def _shapes(model: torch.nn.Module) -> Shapes:
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


if __name__ == "__main__":
    main()
