"""The refiner's text side as a CLIP of the host: Gemma-3-12B, all hidden states, packed, through the connectors."""

from __future__ import annotations

import hashlib
import importlib.util
import os

import comfy.model_management as management
import comfy.sd
import folder_paths
import torch
from torch import Tensor, nn

from ..wm_core.errors import CheckpointError, ConfigError
from ..wm_core.text import (
    GEMMA_3_12B,
    REFINER_TOKENS,
    Gemma3Files,
    GemmaConfig,
    PromptCache,
    gemma3_fingerprint,
    gemma3_tokenizer,
    open_gemma3,
    pack_hidden_states,
    refiner_token_ids,
    tokenizer_package,
)
from .compat import Patcher, check_choice
from .gemma3_encoders import TOKENS_KEY, FolderEncoder, HostEncoder, Places, host_reads_gemma3

REFINER_ENCODER = "gemma-3-12b"
DEVICES = ("default", "cpu")
_RECIPE = 1  # counts up with whatever changes the embedding of the same tokens
_CACHE_FOLDER = ("__sana_wm", "prompts")  # the host serves no folder of user/ that begins with two underscores


def refiner_clip(
    encoder_path: str,
    connectors: nn.Module,
    *,
    device: str = "default",
    fingerprint: str,
    config: GemmaConfig = GEMMA_3_12B,
) -> comfy.sd.CLIP:
    """A CLIP whose prompts are contexts of the refiner, (1, 1024, c). Nothing of the encoder but headers is read yet.

    encoder_path: a single file where the host has Gemma-3-12B, or a folder as transformers writes it. connectors: packed
    states (b, l, d * layers), length -> (b, length, c), fingerprint: tells them from others. device: "default" lets the
    host choose. Encoder and connectors are loaded and offloaded by the host as two models, when a prompt is not in the
    cache. CheckpointError, in the words of `missing_encoder`.
    """
    check_choice("device", device, DEVICES)
    if problem := missing_encoder(encoder_path, config):
        raise CheckpointError(problem)
    files = open_gemma3(encoder_path, config)
    places = Places.of(device)
    encoder = (FolderEncoder if files.is_folder else HostEncoder)(files, config, places)
    seen = (gemma3_fingerprint(files), fingerprint, type(encoder).__name__, str(places.dtype), str(_RECIPE))
    cache = PromptCache(_cache_folder(), hashlib.sha256("\n".join(seen).encode()).hexdigest())
    text = RefinerText(
        encoder, Patcher(connectors, load_device=places.load, offload_device=places.offload), cache, places
    )
    return _clip(text, RefinerTokenizer(files))


def missing_encoder(path: str, config: GemmaConfig = GEMMA_3_12B) -> str | None:
    """One sentence on why the refiner's prompts cannot be encoded with what is at `path`, and what to do; None if they can.

    Reads headers only.
    """
    try:
        files = open_gemma3(path, config)
    except CheckpointError as error:
        return str(error)
    if not files.is_folder and not host_reads_gemma3():
        return (
            f"{files.path.name} is a single-file Gemma-3-12B, which this ComfyUI cannot run: it has no Gemma-3-12B; update "
            "ComfyUI, or choose a folder with the config.json, tokenizer and .safetensors of Gemma-3-12B"
        )
    if files.is_folder and not _has_package("transformers.models.gemma3"):
        return (
            f"{files.path.name} is read with transformers 4.50 or newer, which is not installed here; run `pip install -U "
            "transformers` for the Python of ComfyUI" + ("" if not host_reads_gemma3() else ", or choose a single file")
        )
    if not _has_package(package := tokenizer_package(files)):
        return (
            f"the tokenizer in {files.tokenizer.name} is read with {package}, which is not installed here; run `pip install "
            f"{package}` for the Python of ComfyUI"
        )
    return None


class RefinerTokens(dict):
    """Tokens as the host passes them on, with the prompt that they came from for the label."""

    def __init__(self, rows: list, prompt: str):
        super().__init__({TOKENS_KEY: rows})
        self.prompt = prompt


class RefinerTokenizer:
    """Prompt -> tokens without padding. Brackets and `embedding:` are text, never weights."""

    def __init__(self, files: Gemma3Files):
        self.files, self.tokenize = files, None

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_) -> RefinerTokens:
        self.tokenize = self.tokenize or gemma3_tokenizer(self.files)
        ids = refiner_token_ids(text, self.tokenize)
        return RefinerTokens([[(i, 1.0, 0) if return_word_ids else (i, 1.0) for i in ids]], text)

    def state_dict(self) -> dict:
        return {}


class RefinerText(nn.Module):
    """What the host takes for the text encoder. It has no weights: it answers from the cache, or calls for two networks."""

    disable_offload = True  # of this shell, which is empty

    def __init__(self, encoder: FolderEncoder | HostEncoder, connectors: Patcher, cache: PromptCache, places: Places):
        super().__init__()
        self.dtypes = {torch.float32}
        self.encoder, self.connectors, self.cache, self.places = encoder, connectors, cache, places

    def encode_token_weights(self, tokens: dict) -> tuple[Tensor, None, dict]:
        rows = tokens.get(TOKENS_KEY, [])
        if len(rows) != 1:
            raise ConfigError(
                f"the refiner's encoder reads one row of tokens under {TOKENS_KEY!r}, got {len(rows)} and the keys "
                f"{sorted(tokens)}; make them with this CLIP's own tokenizer, as CLIPTextEncode does"
            )
        ids = [token[0] for token in rows[0]]
        embedding = self.cache.load(ids)
        if embedding is None:
            embedding = self._encode(ids).cpu()
            self.cache.save(ids, embedding, encoder=REFINER_ENCODER)
        labels = {"sana_wm_encoder": REFINER_ENCODER, "sana_wm_variant": "plain"}
        labels["sana_wm_prompt"] = getattr(tokens, "prompt", "")
        return embedding.to(management.intermediate_device(), torch.float32), None, labels

    def set_clip_options(self, options: dict) -> None:
        """The host's options choose a layer; this recipe takes all."""

    def reset_clip_options(self) -> None:
        """There are none."""

    @torch.no_grad()
    def _encode(self, ids: list[int]) -> Tensor:
        """(1, 1024, c) in the compute dtype."""
        states = self.encoder.states(ids).to(self.places.load)
        packed = pack_hidden_states(states.float()).to(self.places.dtype)  # fp32: the range of a whole layer
        management.load_models_gpu([self.connectors], memory_required=4 * packed.nbytes)
        return self.connectors.model(packed, length=REFINER_TOKENS)


def _clip(text: RefinerText, tokenizer: RefinerTokenizer) -> comfy.sd.CLIP:
    """A CLIP by the host's own constructor, so that it has every attribute that this release expects."""

    class Target:
        params: dict = {}  # noqa: RUF012  the host copies it

        @staticmethod
        def clip(**_):
            return text

        @staticmethod
        def tokenizer(**_):
            return tokenizer

    cpu = torch.device("cpu")  # of the shell
    options = {"load_device": cpu, "offload_device": cpu, "initial_device": cpu, "dtype": torch.float32}
    return comfy.sd.CLIP(Target, model_options=options)


def _cache_folder() -> str:
    """Below user/: it outlives a restart, unlike temp/, is no picture as in output/, and is private, unlike models/."""
    return os.path.join(folder_paths.get_user_directory(), *_CACHE_FOLDER)


def _has_package(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # a package above it is missing
        return False
