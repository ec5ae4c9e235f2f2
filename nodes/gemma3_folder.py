"""Gemma-3's language model from a folder: transformers' wiring, with every weight in a layer that the host can offload.

transformers keeps a model on one device; on a 24 GB card 12 billion parameters in bf16 do not fit beside anything. So
its linear maps, its embedding and its norms give way to layers that fetch their weight from where the host put it.
"""

from __future__ import annotations

import comfy.model_management as management
import comfy.ops
import torch
from torch import Tensor, nn

from ..wm_core.errors import CheckpointError, ConfigError
from ..wm_core.text import Gemma3Files

STORED_DTYPE = torch.bfloat16  # as trained; float16 cannot hold this model's activations, nor is it needed for weights


class LanguageModel(nn.Module):
    """Token ids -> all hidden states. The weights are empty until `load_language_model` fills them."""

    def __init__(self, files: Gemma3Files):
        from transformers import Gemma3TextConfig, Gemma3TextModel

        super().__init__()
        config = Gemma3TextConfig.from_dict(dict(files.config))
        with torch.device("meta"):
            self.model = Gemma3TextModel(config).eval()
        self.scale = config.hidden_size**0.5
        _give_way(self.model)

    def forward(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """ids (b, l) without padding -> (b, l, d, layers + 1) in `dtype`: the embedding, then the state after each layer,
        the last one after the final norm."""
        for child in self.model.children():
            if not any(True for _ in child.parameters()):
                child.to(ids.device)  # rotary tables: the host moves weights only
        embedded = self.model.embed_tokens(ids, out_dtype=dtype)
        embedded = embedded * torch.tensor(self.scale, dtype=dtype, device=ids.device)  # rounded, as in training
        found = self.model(inputs_embeds=embedded, use_cache=False, output_hidden_states=True, return_dict=True)
        return torch.stack(found.hidden_states, -1)


def load_language_model(files: Gemma3Files) -> LanguageModel:
    """The network with its weights in bf16, on the CPU. CheckpointError if they do not fit the config.json."""
    network = LanguageModel(files)
    weights = {name.removeprefix("model."): tensor for name, tensor in files.read(STORED_DTYPE).items()}
    try:
        network.model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {files.path.name} do not fit its config.json ({error}); download the folder again"
        ) from error
    return network.requires_grad_(False)


class _Norm(nn.Module):
    """Gemma's RMSNorm, x / rms(x) * (1 + w). Its weight may lie on another device than x."""

    def __init__(self, weight: Tensor, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(weight), eps

    def forward(self, x: Tensor) -> Tensor:
        weight = management.cast_to(self.weight, torch.float32, x.device)
        y = x.float()  # fp32: squares of bf16 activations
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps) * (1 + weight)).to(x.dtype)


def _give_way(model: nn.Module) -> None:
    """Put the host's layers in the place of transformers', and real rotary tables in the place of empty ones."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                has_bias = child.bias is not None
                child = comfy.ops.manual_cast.Linear(child.in_features, child.out_features, has_bias, device="meta")
            elif isinstance(child, nn.Embedding):
                child = comfy.ops.manual_cast.Embedding(child.num_embeddings, child.embedding_dim, device="meta")
            elif type(child).__name__ == "Gemma3RMSNorm":
                child = _Norm(child.weight, child.eps)
            elif any(buffer.is_meta for buffer in child.buffers(recurse=False)):
                child = type(child)(child.config)  # a rotary embedding: made again, with values
            setattr(parent, name, child)
    known = (_Norm, comfy.ops.manual_cast.Linear, comfy.ops.manual_cast.Embedding)
    strange = {type(m).__name__ for m in model.modules() if not isinstance(m, known) and [*m.parameters(recurse=False)]}
    if strange or any(buffer.is_meta for buffer in model.buffers()):
        raise ConfigError(
            f"the installed transformers builds Gemma-3 in a way that is not known here ({', '.join(strange)}); "
            "use a single-file encoder, or transformers 4.50 to 5"
        )
