"""Loader nodes: a stage-1 checkpoint to MODEL, the LTX-2 video VAE to VAE."""

from __future__ import annotations

import folder_paths
import torch
from comfy_api.latest import io

from ..wm_core.checkpoint import VARIANTS, WorldFile, open_vae, open_world
from ..wm_core.config import REFERENCES
from .bridge import say
from .compat import advanced, check_choice, model_path
from .native import video_vae, world_model

AUTO = "auto"
_ADVICE = {"streaming": "; sample it with SANA-WM Streaming Sampler at cfg 1"}
WEIGHT_DTYPES = {AUTO: None, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class SanaWMModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        dtype = io.Combo.Input(
            "weight_dtype",
            options=list(WEIGHT_DTYPES),
            default=AUTO,
            tooltip="How weights are kept in memory. auto: as in the file, in half precision on a graphics card.",
        )
        variant = io.Combo.Input(
            "variant",
            options=[AUTO, *VARIANTS],
            default=AUTO,
            tooltip="Which released model the weights are. auto: what the file's metadata, the config.json beside it or "
            "its name says, else bidirectional. All three have the same names and sizes.",
        )
        reference = io.Combo.Input(
            "reference",
            options=[AUTO, *REFERENCES],
            default=AUTO,
            tooltip="Whose arithmetic to follow where the published implementations differ. auto: the file's own if it "
            "names one, else nvlabs, the newest.",
        )
        return io.Schema(
            node_id="SanaWMModelLoader",
            display_name="Load SANA-WM Model",
            category="SANA-WM/loaders",
            description="The stage-1 world model: 2.6B parameters, about 10 GB as released, 5.3 GB in bf16.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folder_paths.get_filename_list("diffusion_models"),
                    tooltip="SANA-WM stage 1 as .safetensors, released or diffusers names, from models/diffusion_models. "
                    "Of a sharded checkpoint choose any shard; its index must lie beside it.",
                ),
                advanced(dtype),
                advanced(variant),
                advanced(reference),
            ],
            outputs=[io.Model.Output(display_name="model")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, file, weight_dtype=AUTO, variant=AUTO, reference=AUTO):
        check_choice("weight_dtype", weight_dtype, WEIGHT_DTYPES)
        opened = open_chosen(file, variant, reference)
        info = opened.info
        model = world_model(opened, WEIGHT_DTYPES[weight_dtype])
        say(
            f"{info.name}: {info.variant} ({info.source}), {info.layout}, {info.parameters / 1e6:,.0f}M parameters, "
            f"{_precision(opened)}arithmetic of {opened.config.reference.name}" + _ADVICE.get(info.variant, ""),
            cls.hidden.unique_id,
        )
        return io.NodeOutput(model)


class SanaWMVAELoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMVAELoader",
            display_name="Load LTX-2 Video VAE",
            category="SANA-WM/loaders",
            description="The video VAE that SANA-WM was trained with: 8 frames and 32 x 32 pixels to a latent, 2.4 GB.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=sorted(
                        {*folder_paths.get_filename_list("vae"), *folder_paths.get_filename_list("checkpoints")}
                    ),
                    tooltip="LTX-2 video VAE as .safetensors, diffusers or original names, from models/vae; a full LTX-2 "
                    "checkpoint in models/checkpoints works too.",
                )
            ],
            outputs=[io.Vae.Output(display_name="vae")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, file):
        opened, config = open_vae(model_path(file, "vae", "checkpoints"))
        looks = "causal, for SANA-WM Generate and any length" if config.decoder_causal else "looks ahead in time"
        say(f"{opened.path.name}: decoder {looks}", cls.hidden.unique_id)
        return io.NodeOutput(video_vae(opened, config))


def open_chosen(file: str, variant: str = AUTO, reference: str = AUTO) -> WorldFile:
    """The stage-1 file that the loader's widgets name, opened but not read; CheckpointError or ConfigError."""
    check_choice("variant", variant, [AUTO, *VARIANTS])
    check_choice("reference", reference, [AUTO, *REFERENCES])
    return open_world(
        model_path(file, "diffusion_models"),
        variant=None if variant == AUTO else variant,
        reference=None if reference == AUTO else reference,
    )


def _precision(opened: WorldFile) -> str:
    formats = sorted({layer.format for layer in opened.quantised.values()})
    return f"weights in {', '.join(formats)}, " if formats else ""


NODES = [SanaWMModelLoader, SanaWMVAELoader]
