"""Text nodes: load the encoder, encode a prompt, keep its embedding in a file."""

from __future__ import annotations

import os

import comfy.sd
import folder_paths
import node_helpers
import torch
from comfy.cli_args import args
from comfy.text_encoders import lumina2
from comfy_api.latest import io, ui

from ..wm_core.errors import CheckpointError, ConfigError
from ..wm_core.text import (
    GEMMA_2_2B,
    GemmaConfig,
    PromptEmbedding,
    check_text_encoder,
    has_instruction,
    load_embedding,
    save_embedding,
    select_tokens,
    stated_config,
    token_ids,
    with_instruction,
)
from .compat import advanced, check_choice, model_path

ENCODER = "gemma-2-2b"
EMBEDDING_FOLDER = "sana_wm_text"  # folder key, and the name below models/
_OUTPUT_FOLDER = "text_embeddings"
_ENCODER_KEY = "gemma2_2b"  # what the host calls this encoder in a CLIP and in its tokens


def load_text_encoder(path: str, *, device: str = "default", config: GemmaConfig | None = None) -> comfy.sd.CLIP:
    """Gemma-2-2B, or the Gemma-2 whose sizes the file states, as a CLIP of the host that encodes for SANA-WM.

    In core's CLIPTextEncode too. device: "default" lets the host choose, "cpu" keeps it on the CPU. config: sizes that
    count instead of the stated ones. CheckpointError if the file is another one.
    A host that knows PixelDiT has this very encoder. An older one loads the file as Lumina 2, with our subclass in
    place of its second-to-last layer, and our tokenizer in place of its own.
    """
    config = config or stated_config(path)
    check_text_encoder(path, config)
    options: dict = {}
    if device == "cpu":
        options["load_device"] = options["offload_device"] = torch.device("cpu")
    if config != GEMMA_2_2B:
        options[f"{_ENCODER_KEY}_model_config"] = host_config(config)
    pixeldit = getattr(comfy.sd.CLIPType, "PIXELDIT", None)
    if pixeldit is None:
        options[f"{_ENCODER_KEY}_class"] = LastHiddenGemma2
    clip = comfy.sd.load_clip(
        [str(path)],
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        clip_type=pixeldit or comfy.sd.CLIPType.LUMINA2,
        model_options=options,
    )
    if pixeldit is None:
        clip.tokenizer = PromptTokenizer(clip.tokenizer)
    return clip


class LastHiddenGemma2(lumina2.Gemma2_2BModel):
    """The host's Gemma-2-2B, read at its last hidden state and cut to the tokens that SANA-WM sees.

    The host leaves out Gemma's soft cap of the attention logits, as does transformers 4.49 (sdpa), which NVlabs pins.
    """

    def __init__(self, device, dtype, model_options):
        super().__init__(device=device, layer="last", layer_idx=None, dtype=dtype, model_options=model_options)

    def encode_token_weights(self, token_weight_pairs):
        hidden, pooled, extra = super().encode_token_weights(token_weight_pairs)
        hidden, mask = select_tokens(hidden, extra["attention_mask"])
        return hidden, pooled, {**extra, "attention_mask": mask}


class PromptTokenizer(lumina2.LuminaTokenizer):
    """Tokenizer that puts the instruction before a prompt. Brackets and `embedding:` are text, never weights."""

    def __init__(self, loaded: lumina2.LuminaTokenizer):
        self.clip_name, self.clip = loaded.clip_name, loaded.clip
        setattr(self, self.clip, getattr(loaded, loaded.clip))  # the sentencepiece model is read once

    def tokenize_with_weights(self, text, return_word_ids=False, **kwargs):
        ids = token_ids(with_instruction(text), lambda t: getattr(self, self.clip).tokenizer(t)["input_ids"])
        return {self.clip_name: [[(i, 1.0, 0) if return_word_ids else (i, 1.0) for i in ids]]}


def encode_prompt(clip: comfy.sd.CLIP, prompt: str, *, instruction: bool = True) -> list:
    """CONDITIONING of one prompt with `attention_mask` and the labels that a saved file keeps.

    (1, 300, d); d is the encoder's width, 2304 for Gemma-2-2B.
    """
    tokenizer = _gemma_tokenizer(clip)
    text = with_instruction(prompt) if instruction else prompt
    ids = token_ids(text, lambda t: tokenizer(t)["input_ids"])
    conditioning = clip.encode_from_tokens_scheduled({_ENCODER_KEY: [[(i, 1.0) for i in ids]]})
    return _labelled(conditioning, prompt, _name_of(clip), "instruction" if has_instruction(text) else "plain")


class SanaWMTextEncoderLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        device = io.Combo.Input(
            "device",
            options=["default", "cpu"],
            default="default",
            tooltip="Where the encoder runs. cpu keeps the graphics card free and takes some seconds per prompt.",
        )
        return io.Schema(
            node_id="SanaWMTextEncoderLoader",
            display_name="Load SANA-WM Text Encoder",
            category="SANA-WM/loaders",
            description="Gemma-2-2B with its tokenizer, set up as SANA-WM was trained: last hidden state, 300 tokens.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folder_paths.get_filename_list("text_encoders"),
                    tooltip="Gemma-2-2B as one .safetensors with its tokenizer inside, such as "
                    "gemma_2_2b_fp16.safetensors (about 5 GB), from models/text_encoders.",
                ),
                advanced(device),
            ],
            outputs=[io.Clip.Output(display_name="clip")],
        )

    @classmethod
    def execute(cls, file, device="default"):
        check_choice("device", device, ["default", "cpu"])
        return io.NodeOutput(load_text_encoder(model_path(file, "text_encoders"), device=device))


class SanaWMTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        instruction = io.Boolean.Input(
            "instruction",
            default=True,
            tooltip="Let the encoder read the instruction that SANA-WM was trained with before the prompt. "
            "Turn it off for a negative prompt with words in it. An empty prompt never gets it.",
        )
        return io.Schema(
            node_id="SanaWMTextEncode",
            display_name="SANA-WM Text Encode",
            category="SANA-WM/conditioning",
            description="Encode a prompt for SANA-WM. Leave the text empty for the negative prompt.",
            inputs=[
                io.Clip.Input("clip", tooltip="From Load SANA-WM Text Encoder, or CLIPLoader of type pixeldit."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip="What the scene looks like, up to 299 tokens (about 220 words); the rest is cut. "
                    "Brackets are plain text here, they set no weight.",
                ),
                advanced(instruction),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning")],
        )

    @classmethod
    def execute(cls, clip, text, instruction=True):
        return io.NodeOutput(encode_prompt(clip, text, instruction=instruction))


class SanaWMSaveTextEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMSaveTextEmbedding",
            display_name="Save SANA-WM Text Embedding",
            category="SANA-WM/conditioning",
            description="Keep an encoded prompt in output/text_embeddings, to use it again or share it without the "
            "text encoder.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="One encoded prompt."),
                io.String.Input(
                    "filename_prefix",
                    default="SanaWM",
                    tooltip="Name of the file below output/text_embeddings; a number is added. "
                    "May name a subfolder and %year% %month% %day%.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Full path of the written file.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, conditioning, filename_prefix="SanaWM"):
        prompt = prompt_of(conditioning)
        folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, _embedding_output())
        path = os.path.join(folder, f"{name}_{counter:05}_.safetensors")
        save_embedding(path, prompt)
        return io.NodeOutput(path, ui=ui.PreviewText(path))


class SanaWMLoadTextEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMLoadTextEmbedding",
            display_name="Load SANA-WM Text Embedding",
            category="SANA-WM/conditioning",
            description="Use a prompt that was encoded before. Needs no text encoder.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=embedding_files(),
                    tooltip="A file of Save SANA-WM Text Embedding, from models/sana_wm_text, output/text_embeddings, "
                    "input or this pack; of two with the same name the first of these is used.",
                )
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning")],
        )

    @classmethod
    def validate_inputs(cls, file):
        if _embedding_path(file) is None:
            return (
                f"text embedding {file!r} is not in models/{EMBEDDING_FOLDER}, output/{_OUTPUT_FOLDER} or input; "
                "put it there and refresh, or choose another"
            )
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        path = _embedding_path(file)
        status = os.stat(path) if path else None
        return (path, status and status.st_mtime_ns, status and status.st_size)

    @classmethod
    def execute(cls, file):
        path = _embedding_path(file)
        if path is None:
            raise CheckpointError(cls.validate_inputs(file))
        return io.NodeOutput(conditioning_of(load_embedding(path)))


NODES = [SanaWMTextEncoderLoader, SanaWMTextEncode, SanaWMSaveTextEmbedding, SanaWMLoadTextEmbedding]


def prompt_of(conditioning: list) -> PromptEmbedding:
    """The one prompt in a CONDITIONING; without an attention mask every token counts."""
    if len(conditioning) != 1:
        raise ConfigError(
            f"a text embedding file holds one prompt, got a conditioning of {len(conditioning)}; "
            "save each before they are combined"
        )
    embedding, extra = conditioning[0]
    mask = extra.get("attention_mask")
    if mask is None:
        mask = torch.ones(embedding.shape[:2], dtype=torch.long)
    return PromptEmbedding(
        embedding,
        mask,
        prompt="" if args.disable_metadata else extra.get("sana_wm_prompt", ""),
        encoder=extra.get("sana_wm_encoder", ""),
        variant=extra.get("sana_wm_variant", ""),
    )


def conditioning_of(prompt: PromptEmbedding) -> list:
    """CONDITIONING as encoding the prompt would have given it."""
    extra = {"pooled_output": None, "attention_mask": prompt.mask}
    return _labelled([[prompt.embedding, extra]], prompt.prompt, prompt.encoder, prompt.variant)


def embedding_files() -> list[str]:
    """Names for the file widget: every .safetensors in models/sana_wm_text, output/text_embeddings and input."""
    _register_embedding_folders()
    return [name for name in folder_paths.get_filename_list(EMBEDDING_FOLDER) if name.endswith(".safetensors")]


def _register_embedding_folders() -> None:
    folders = (
        os.path.join(folder_paths.models_dir, EMBEDDING_FOLDER),
        _embedding_output(),
        folder_paths.get_input_directory(),
    )
    for folder in reversed(folders):  # each goes to the front, so what ships with the pack stays behind them
        folder_paths.add_model_folder_path(EMBEDDING_FOLDER, folder, is_default=True)


def _embedding_output() -> str:
    return os.path.join(folder_paths.get_output_directory(), _OUTPUT_FOLDER)


def _embedding_path(file: str) -> str | None:
    _register_embedding_folders()
    return folder_paths.get_full_path(EMBEDDING_FOLDER, file)


def _gemma_tokenizer(clip: comfy.sd.CLIP):
    encoder = getattr(getattr(clip, "cond_stage_model", None), _ENCODER_KEY, None)
    if encoder is None:
        got = type(clip.cond_stage_model).__name__ if clip is not None else "nothing"
    elif encoder.options_default[0] != "last":
        got = "Gemma-2-2B set up for another model (such as CLIPLoader of type lumina2)"
    else:
        return getattr(clip.tokenizer, _ENCODER_KEY).tokenizer
    raise ConfigError(f"clip must be SANA-WM's Gemma-2-2B, got {got}; connect Load SANA-WM Text Encoder")


def host_config(config: GemmaConfig) -> dict[str, int]:
    """Sizes of a Gemma in the host's words, for one that is not of the released size."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
    }


def encoder_name(width: int, layers: int) -> str:
    """What the label of a conditioning calls a Gemma-2."""
    released = (width, layers) == (GEMMA_2_2B.hidden_size, GEMMA_2_2B.layers)
    return ENCODER if released else f"gemma-2-{width}x{layers}"


def _name_of(clip: comfy.sd.CLIP) -> str:
    encoder = getattr(clip.cond_stage_model, _ENCODER_KEY)
    return encoder_name(encoder.transformer.get_input_embeddings().weight.shape[1], encoder.num_layers)


def _labelled(conditioning: list, prompt: str, encoder: str, variant: str) -> list:
    labels = {"sana_wm_prompt": prompt, "sana_wm_encoder": encoder, "sana_wm_variant": variant}
    return node_helpers.conditioning_set_values(conditioning, labels)
