"""The two ways to Gemma-3-12B: the host's own class with a single file, transformers' with a folder.

Both give all hidden states of tokens without padding: the embedding, then the state after each layer, the last one after
the final norm. Both read their weights when they are first asked, and leave them to the host's model management.
"""

from __future__ import annotations

import comfy.model_management as management
import comfy.sd
import torch
from comfy.text_encoders import lt
from torch import Tensor

from ..wm_core.text import GEMMA_3_12B, Gemma3Files, GemmaConfig
from .compat import Patcher
from .gemma3_folder import load_language_model
from .text import host_config

TOKENS_KEY = "gemma3_12b"  # what the host calls this encoder in its tokens


def host_reads_gemma3() -> bool:
    """Whether this ComfyUI runs Gemma-3-12B from a single file."""
    return hasattr(lt, "gemma3_te")


class Places:
    """Where the networks run and rest, and in which dtype they compute."""

    def __init__(self, load: torch.device, offload: torch.device):
        self.load, self.offload = load, offload
        self.dtype = torch.bfloat16 if management.should_use_bf16(load) else torch.float32

    @classmethod
    def of(cls, device: str) -> Places:
        if device == "cpu":
            return cls(torch.device("cpu"), torch.device("cpu"))
        return cls(management.text_encoder_device(), management.text_encoder_offload_device())


class HostEncoder:
    """The host's own Gemma-3-12B, quantised or not, from a single file."""

    def __init__(self, files: Gemma3Files, config: GemmaConfig, places: Places):
        self.files, self.clip = files, None
        self.options = {"load_device": places.load, "offload_device": places.offload}
        if config != GEMMA_3_12B:
            self.options |= {"model_name": TOKENS_KEY, f"{TOKENS_KEY}_model_config": host_config(config)}

    def states(self, ids: list[int]) -> Tensor:
        """(1, l, d, layers + 1), float32."""
        if self.clip is None:
            self.clip = comfy.sd.load_clip(
                [str(self.files.path)], clip_type=comfy.sd.CLIPType.LTXV, model_options=self.options
            )
        return self.clip.encode_from_tokens([[(i, 1.0) for i in ids]]).movedim(1, -1)


class FolderEncoder:
    """transformers' Gemma-3 from a folder."""

    def __init__(self, files: Gemma3Files, config: GemmaConfig, places: Places):
        self.files, self.config, self.places, self.patcher = files, config, places, None

    def states(self, ids: list[int]) -> Tensor:
        """(1, l, d, layers + 1) in the compute dtype, on the load device."""
        places = self.places
        if self.patcher is None:
            network = load_language_model(self.files)
            self.patcher = Patcher(network, load_device=places.load, offload_device=places.offload)
        values = len(ids) * self.config.hidden_size * (self.config.layers + 1)
        management.load_models_gpu([self.patcher], memory_required=16 * values)  # the states, packed in fp32, and room
        return self.patcher.model(torch.tensor([ids], device=places.load), places.dtype)
