"""Loader of the second stage: the LTX-2 refiner to MODEL, its text encoder and connectors to CLIP."""

from __future__ import annotations

from pathlib import Path

import comfy.ops
import folder_paths
from comfy_api.latest import io

from ..wm_core.checkpoint import (
    ConnectorFile,
    RefinerFile,
    Verdict,
    check_belongs,
    find_connectors,
    judged,
    load_connectors,
    open_connectors,
    open_refiner,
    refuse_wrong,
)
from ..wm_core.config import RELEASED_REFINING, ROPE_KINDS
from ..wm_core.errors import CheckpointError
from ..wm_core.refiner import CONTEXT_TOKENS
from ..wm_core.rollout import fingerprint_model
from ..wm_core.text import gemma3_sizes
from .bridge import say
from .compat import advanced, check_choice, model_path
from .encoder_choice import encoder_choices, encoder_path
from .gemma3 import DEVICES, missing_encoder, refiner_clip
from .load import AUTO, WEIGHT_DTYPES
from .native_refiner import planned_memory, refiner_model

NONE = "none"
STOCK = ("ltx-2", "ltx2", "ltx_2")  # in the names of files that are taken for stock LTX-2
GRID = (121, 22, 40)  # latents of a minute at 1280 x 704, which the memory is told for


class SanaWMRefinerLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMRefinerLoader",
            display_name="Load LTX-2 Refiner",
            category="SANA-WM/loaders",
            description="The second stage that SANA-WM was released with: 13 of its 18.9 billion parameters are used, 26 GB "
            "in bf16 or 13 GB in fp8, and Gemma-3-12B reads the prompt. Optional: stage 1 runs without.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=transformer_files(),
                    tooltip="The refiner's transformer as .safetensors, diffusers or original names, quantised or not, from "
                    "models/diffusion_models or models/checkpoints. Of a sharded one choose any shard.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=[*encoder_choices(), NONE],
                    tooltip="Gemma-3-12B from models/text_encoders: a single file as people have for LTX-2, fp8 and fp4 too "
                    "(needs a ComfyUI that has this encoder), or a folder with config.json, tokenizer and shards. none: for "
                    "prompts from Load SANA-WM Text Embedding.",
                ),
                *_advanced_inputs(),
            ],
            outputs=[
                io.Model.Output(display_name="refiner"),
                io.Clip.Output(display_name="clip"),
                io.String.Output(display_name="info", tooltip="What the file is, and the memory it will take."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, text_encoder):
        """What is missing is said before the run starts: it may be hours until a prompt is encoded."""
        if text_encoder == NONE:
            return True
        path = encoder_path(text_encoder)
        if path is None:
            return (
                f"{text_encoder} is not in models/text_encoders; put it there and refresh (press R), or choose another"
            )
        try:
            return missing_encoder(path, gemma3_sizes(path)) or True
        except CheckpointError as error:
            return str(error)

    @classmethod
    def execute(
        cls, file, text_encoder, connectors=AUTO, weight_dtype=AUTO, rope=AUTO, resident_blocks=-1, encoder_device="default",
        use_anyway=False,
    ):  # fmt: skip
        check_choice("weight_dtype", weight_dtype, WEIGHT_DTYPES)
        check_choice("rope", rope, [AUTO, *ROPE_KINDS])
        check_choice("encoder_device", encoder_device, DEVICES)
        kind = None if rope == AUTO else rope
        path = model_path(file, "diffusion_models", "checkpoints")
        opened = open_refiner(path, rope=kind, others=stock_files(path))
        warning = _guarded(opened, use_anyway, cls.hidden.unique_id)
        clip = None
        if text_encoder != NONE:
            found = open_connectors(_connectors(path, connectors), rope=kind)
            check_belongs(opened, found)
            clip = _clip(text_encoder, found, kind, encoder_device)
        model = refiner_model(opened, WEIGHT_DTYPES[weight_dtype], None if resident_blocks < 0 else resident_blocks)
        info = "\n".join([*_told(opened), *_memory(model), *warning])
        say(info, cls.hidden.unique_id)
        return io.NodeOutput(model, clip, info)


def _clip(text_encoder: str, opened: ConnectorFile, rope: str | None, device: str):
    """The CLIP of encoder and connectors; CheckpointError if they are not of one kind."""
    path = encoder_path(text_encoder)
    if path is None:
        raise CheckpointError(f"{text_encoder} is not in models/text_encoders; put it there and refresh (press R)")
    sizes, wanted = gemma3_sizes(path), opened.config
    if (sizes.hidden_size, sizes.layers + 1) != (wanted.caption_channels, wanted.encoder_layers):
        raise CheckpointError(
            f"{text_encoder} gives {sizes.layers + 1} hidden states of {sizes.hidden_size} channels, "
            f"{opened.file.path.name} reads {wanted.encoder_layers} of {wanted.caption_channels}; take Gemma-3-12B"
        )
    net = load_connectors(opened.file.path, rope=rope, operations=comfy.ops.manual_cast)
    return refiner_clip(path, net, device=device, fingerprint=fingerprint_model(net), config=sizes)


def transformer_files() -> list[str]:
    return sorted({*folder_paths.get_filename_list("diffusion_models"), *folder_paths.get_filename_list("checkpoints")})


def stock_files(path: str) -> list[Path]:
    """Files in the model folders whose name is that of stock LTX-2, which the refiner must not be a copy of."""
    found = []
    for folder in ("diffusion_models", "checkpoints"):
        for name in folder_paths.get_filename_list(folder):
            is_stock = any(word in Path(name).name.lower() for word in STOCK) and "sana" not in name.lower()
            full = folder_paths.get_full_path(folder, name) if is_stock else None
            if full and full != path:
                found.append(Path(full))
    return found


def _connectors(path: str, chosen: str) -> str | Path:
    if chosen != AUTO:
        return model_path(chosen, "diffusion_models", "checkpoints", "text_encoders")
    found = find_connectors(path)
    if found is None:
        raise CheckpointError(
            f"no text connectors lie beside {Path(path).name}: neither in it nor in a folder connectors next to its own; put "
            "those of its release there, or choose the file under advanced"
        )
    return found


def _guarded(opened: RefinerFile, use_anyway: bool, node: str | None) -> list[str]:
    """Lines of warning; CheckpointError for a file that was found to be another, unless it is to be used anyway."""
    findings = list(opened.findings)
    verdict = judged(findings)
    if verdict is Verdict.WRONG and not use_anyway:
        refuse_wrong(opened.file, findings)
    words = "; ".join(finding.words for finding in findings)
    if verdict is Verdict.RECOGNISED:
        return []
    if verdict is Verdict.UNKNOWN:
        return [f"Not verified: {words}. A wrong file gives broken video: compare with stage 1 before you trust it."]
    return [f"WARNING: {words}. Expect broken video unless this is SANA-WM's refiner under another name."]


def _told(opened: RefinerFile) -> list[str]:
    config = opened.config
    kinds = sorted({layer.format for layer in opened.quantised.values()})
    kept = f", {', '.join(kinds)}" if kinds else ""
    read, left = _count(opened.parameters), _count(opened.never_read)
    return [
        f"{opened.file.path.name}: {opened.layout}, {read} parameters{kept}, {left} of audio left on the disk",
        f"{config.depth} blocks, {config.num_heads} heads of {config.head_dim}, rope {config.rope} ({opened.rope_source})",
    ]


def _memory(model) -> list[str]:
    """What refining 1280 x 704 takes; the length does not count."""
    need = planned_memory(model, RELEASED_REFINING, GRID, CONTEXT_TOKENS)
    parts = {"weights": need.weights - need.swapped, "text": need.text, "activations": need.scratch + need.activations}
    if need.window_is_on_device:
        parts["window"] = need.window
    listed = ", ".join(f"{name} {_size(value)}" for name, value in parts.items())
    away = f"; {_size(need.elsewhere)} rest in the computer's memory" if need.elsewhere else ""
    return [f"At 1280 x 704, any length: {_size(need.resident)} on {model.load_device} ({listed}){away}"]


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f}B" if parameters >= 1e8 else f"{parameters / 1e6:.2f}M"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _advanced_inputs() -> list[io.Input]:
    widgets = [
        io.Combo.Input(
            "connectors",
            options=[AUTO, *sorted({*transformer_files(), *folder_paths.get_filename_list("text_encoders")})],
            default=AUTO,
            tooltip="The text connectors, 2.9 GB. auto: in the transformer's file, or in a folder connectors beside its own.",
        ),
        io.Combo.Input(
            "weight_dtype",
            options=list(WEIGHT_DTYPES),
            default=AUTO,
            tooltip="How weights are kept in memory. auto: as in the file, in half precision on a graphics card.",
        ),
        io.Combo.Input(
            "rope",
            options=[AUTO, *ROPE_KINDS],
            default=AUTO,
            tooltip="Which channels turn together. auto: as config.json or the file's metadata says, never guessed.",
        ),
        io.Int.Input(
            "resident_blocks",
            default=-1,
            min=-1,
            max=48,
            tooltip="How many of the 48 blocks stay on the card; the others come over one ahead of their turn, 0.5 GB each in "
            "bf16. LoRAs do not reach those. -1: left to ComfyUI.",
        ),
        io.Combo.Input(
            "encoder_device",
            options=list(DEVICES),
            default=DEVICES[0],
            tooltip="Where Gemma-3 runs. cpu keeps the graphics card free and takes a minute or more for a new prompt.",
        ),
        io.Boolean.Input(
            "use_anyway",
            default=False,
            tooltip="Load a file that was recognised as not being SANA-WM's refiner. Expect broken video.",
        ),
    ]
    return [advanced(widget) for widget in widgets]


NODES = [SanaWMRefinerLoader]
