"""Names in weight files. Tables only: what a file may be prefixed with, how names differ, what is never read.

Patterns are anchored by `re.fullmatch`. A key of a file is taken, renamed by the first row that matches, or listed as
ignored; anything else is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "model.", "_inner.", "vae.", "first_stage_model.")

# diffusers layout -> released name
WORLD_RENAMES = (
    (r"t_embedder\.linear_1\.(.+)", r"t_embedder.mlp.0.\1"),
    (r"t_embedder\.linear_2\.(.+)", r"t_embedder.mlp.2.\1"),
)

WORLD_IGNORED = (
    r"pos_embed",  # all zero, RoPE replaced it
    r"y_embedder\.y_embedding",  # the dropped prompt of training
    r"raymap_embedder\.proj\.(weight|bias)",  # replaced by the Pluecker volume
    r"blocks\.\d+\.attn\.recall_gate",
)

# Softmax blocks carry the gates of the GDN block that they were made from.
SOFTMAX_BLOCK_IGNORED = (r"attn\.(A_log|dt_bias|(beta|gate)_proj\.(weight|bias))",)

# Original LTX-2 names -> diffusers names, which are ours. The original numbers samplers among the blocks.
VAE_RENAMES = (
    (r"encoder\.down_blocks\.8\.res_blocks\.(.+)", r"encoder.mid_block.resnets.\1"),
    (r"encoder\.down_blocks\.([0246])\.res_blocks\.(.+)", r"encoder.down_blocks.{0}.resnets.\2"),
    (r"encoder\.down_blocks\.([1357])\.(conv\..+)", r"encoder.down_blocks.{0}.downsamplers.0.\2"),
    (r"decoder\.up_blocks\.0\.res_blocks\.(.+)", r"decoder.mid_block.resnets.\1"),
    (r"decoder\.up_blocks\.([135])\.(conv\..+)", r"decoder.up_blocks.{0}.upsamplers.0.\2"),
    (r"decoder\.up_blocks\.([246])\.res_blocks\.(.+)", r"decoder.up_blocks.{1}.resnets.\2"),
    (r"per_channel_statistics\.mean-of-means", r"latents_mean"),
    (r"per_channel_statistics\.std-of-means", r"latents_std"),
)

VAE_IGNORED = (r"per_channel_statistics\.(channel|mean-of-stds|mean-of-stds_over_std-of-means)",)


@dataclass(frozen=True)
class Layout:
    """A kind of file, recognised by names that it has and others lack."""

    name: str
    has: tuple[str, ...]
    advice: str


WORLD_LAYOUTS = (
    Layout("SANA-WM stage 1, released names", ("t_embedder.mlp.0.weight", "plucker_embedder.proj.weight"), ""),
    Layout("SANA-WM stage 1, diffusers names", ("t_embedder.linear_1.weight", "plucker_embedder.proj.weight"), ""),
)
VAE_LAYOUTS = (
    Layout("LTX-2 video VAE, diffusers names", ("encoder.mid_block.resnets.0.conv1.conv.weight", "latents_mean"), ""),
    Layout(
        "LTX-2 video VAE, original names",
        ("encoder.down_blocks.8.res_blocks.0.conv1.conv.weight", "per_channel_statistics.mean-of-means"),
        "",
    ),
)
FOREIGN_LAYOUTS = (
    Layout("SANA-Video or SANA without camera", ("x_embedder.proj.weight", "t_block.1.weight"), "load a SANA-WM file"),
    Layout("LTX-2 transformer (the refiner)", ("transformer_blocks.0.attn1.to_q.weight",), "load it with the refiner loader"),
    Layout("Wan transformer", ("blocks.0.self_attn.q.weight",), "load a SANA-WM file"),
    Layout("Gemma text encoder", ("layers.0.self_attn.q_proj.weight",), "load it with the text encoder loader"),
    Layout("Gemma text encoder", ("model.layers.0.self_attn.q_proj.weight",), "load it with the text encoder loader"),
    Layout("image or video VAE of another model", ("decoder.conv_in.weight",), "load the LTX-2 video VAE"),
)
