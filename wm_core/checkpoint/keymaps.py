"""Names in weight files. Tables only: what a file may be prefixed with, how names differ, what is never read.

Patterns are anchored by `re.fullmatch`. A key of a file is taken, renamed by the first row that matches, or listed as
ignored; anything else is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIXES = (
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "model.",
    "_inner.",
    "vae.",
    "first_stage_model.",
)

# Where other models begin that may share a file with the one that is wanted.
OTHER_PARTS = (
    "model.diffusion_model.",
    "vae.",
    "first_stage_model.",
    "text_encoders.",
    "text_embedding_projection.",
    "cond_stage_model.",
    "conditioner.",
    "model_ema.",
    "audio_vae.",
    "vocoder.",
)

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
    (r"decoder\.up_blocks\.([1357])\.(conv\..+)", r"decoder.up_blocks.{0}.upsamplers.0.\2"),
    (r"decoder\.up_blocks\.([2468])\.res_blocks\.(.+)", r"decoder.up_blocks.{1}.resnets.\2"),
    (r"per_channel_statistics\.mean-of-means", r"latents_mean"),
    (r"per_channel_statistics\.std-of-means", r"latents_std"),
)

# Original LTX-2 names -> diffusers names, which are ours.
REFINER_RENAMES = (
    (r"patchify_proj\.(.+)", r"proj_in.\1"),
    (r"adaln_single\.(.+)", r"time_embed.\1"),
    (r"(transformer_blocks\.\d+\.attn[12])\.q_norm\.(.+)", r"\1.norm_q.\2"),
    (r"(transformer_blocks\.\d+\.attn[12])\.k_norm\.(.+)", r"\1.norm_k.\2"),
)

# The audio half of LTX-2, 5.8 of its 18.9 billion parameters: never run and never read.
REFINER_IGNORED = (
    r"audio_.+",
    r"transformer_blocks\.\d+\.(audio_.+|video_to_audio_attn\..+)",
    r"transformer_blocks\.\d+\.(video_a2v_cross_attn_scale_shift_table|scale_shift_table_a2v_ca_(video|audio))",
    r"(av_cross_attn|av_ca)_.+",
    r"(video|audio)_embeddings_connector\..+",  # a model of its own in the same file
)

CONNECTOR_RENAMES = (
    (r"text_embedding_projection\.(aggregate_embed\.)?weight", r"text_proj_in.weight"),
    (
        r"(?:model\.diffusion_model\.)?video_embeddings_connector\.transformer_1d_blocks\.(\d+)\.attn1\.([qk])_norm\.(.+)",
        r"video_connector.transformer_blocks.\1.attn1.norm_\2.\3",
    ),
    (
        r"(?:model\.diffusion_model\.)?video_embeddings_connector\.transformer_1d_blocks\.(.+)",
        r"video_connector.transformer_blocks.\1",
    ),
    (r"(?:model\.diffusion_model\.)?video_embeddings_connector\.(.+)", r"video_connector.\1"),
)
# Of a file that holds the connectors among other models only their own names count.
CONNECTOR_IGNORED = (
    r"audio_connector\..+",
    r"(?:model\.diffusion_model\.)?audio_embeddings_connector\..+",
    r"model\.diffusion_model\.(?!(video|audio)_embeddings_connector\.).+",
    r"(vae|audio_vae|vocoder|first_stage_model|text_encoders)\..+",
)

VAE_IGNORED = (r"per_channel_statistics\.(channel|mean-of-stds|mean-of-stds_over_std-of-means)",)


@dataclass(frozen=True)
class Layout:
    """A kind of file that is read, recognised by names that it has and others lack."""

    name: str
    has: tuple[str, ...]
    advice: str  # for who opened it as something else


_WORLD_ADVICE = "load it with Load SANA-WM Model"
_VAE_ADVICE = "load it with Load LTX-2 Video VAE"
WORLD_LAYOUTS = (
    Layout(
        "SANA-WM stage 1, released names", ("t_embedder.mlp.0.weight", "plucker_embedder.proj.weight"), _WORLD_ADVICE
    ),
    Layout(
        "SANA-WM stage 1, diffusers names",
        ("t_embedder.linear_1.weight", "plucker_embedder.proj.weight"),
        _WORLD_ADVICE,
    ),
)
_REFINER_ADVICE = "load it with Load LTX-2 Refiner"
REFINER_LAYOUTS = (
    Layout(
        "LTX-2 transformer, diffusers names",
        (
            "time_embed.emb.timestep_embedder.linear_1.weight",
            "transformer_blocks.0.attn1.to_q.weight",
            "proj_in.weight",
        ),
        _REFINER_ADVICE,
    ),
    Layout(
        "LTX-2 transformer, original names",
        (
            "adaln_single.emb.timestep_embedder.linear_1.weight",
            "transformer_blocks.0.attn1.to_q.weight",
            "patchify_proj.weight",
        ),
        _REFINER_ADVICE,
    ),
)
CONNECTOR_LAYOUTS = (
    Layout(
        "LTX-2 text connectors, diffusers names",
        ("text_proj_in.weight", "video_connector.transformer_blocks.0.attn1.to_q.weight"),
        _REFINER_ADVICE,
    ),
    Layout(
        "LTX-2 text connectors, original names",
        (
            "text_embedding_projection.aggregate_embed.weight",
            "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q.weight",
        ),
        _REFINER_ADVICE,
    ),
)
VAE_LAYOUTS = (
    Layout(
        "LTX-2 video VAE, diffusers names",
        ("encoder.mid_block.resnets.0.conv1.conv.weight", "latents_mean"),
        _VAE_ADVICE,
    ),
    Layout(
        "LTX-2 video VAE, original names",
        ("encoder.down_blocks.8.res_blocks.0.conv1.conv.weight", "per_channel_statistics.mean-of-means"),
        _VAE_ADVICE,
    ),
)


@dataclass(frozen=True)
class Foreign:
    """A kind of file that is not read here, recognised by a name that matches `pattern` below any prefix."""

    name: str
    pattern: str
    advice: str = ""  # where another node loads it


_ENCODER_ADVICE = "text encoders have a loader of their own, Load SANA-WM Text Encoder"
FOREIGN = (
    Foreign(
        "LoRA",
        r".*[._](lora_(A|B|up|down)|hada_w1_a|lokr_w1)\b.*",
        "load the base model and connect a LoRA loader to it",
    ),
    Foreign("LTX-2 transformer", r"transformer_blocks\.0\.audio_attn1\.to_q\.weight", _REFINER_ADVICE),
    Foreign("LTX-2 text connectors", r"(video_embeddings_connector|video_connector)\..+", _REFINER_ADVICE),
    Foreign("LTX-Video, SANA or PixArt in diffusers names", r"transformer_blocks\.0\.attn1\.to_q\.weight"),
    Foreign("Wan transformer", r"blocks\.0\.(self_attn\.q|attn1\.to_q)\.weight"),
    Foreign("SANA or SANA-Video without camera", r"t_block\.1\.weight"),
    Foreign("Gemma or another language model", r"layers\.0\.self_attn\.q_proj\.weight", _ENCODER_ADVICE),
)
FOREIGN_VAES = (
    Foreign("VAE of LTX-Video before LTX-2", r"encoder\.down_blocks\.0\.res_blocks\.0\.conv1\.conv\.weight"),
    Foreign("VAE of another model", r"(decoder\.conv_in|decoder\.conv1)\.weight"),
)
