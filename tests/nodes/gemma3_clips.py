"""What tests of the refiner's text side share: connectors that fit, core's encoding, transformers' own hidden states."""

from __future__ import annotations

from functools import cache

import torch

from tools.make_tiny_gemma3 import TINY_GEMMA3, config_json, tiny_weights

PROMPT = "  a small robot walks (slowly:1.4) through the embedding:forest, mist and warm light \n"
WIDTH = 20


class Connectors(torch.nn.Module):
    """A projection, and one learned row where there is no text: enough to see what goes in and what comes out."""

    def __init__(self, config):
        super().__init__()
        g = torch.Generator().manual_seed(7)
        packed = config.hidden_size * (config.layers + 1)
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, packed, generator=g) * packed**-0.5)
        self.register = torch.nn.Parameter(torch.randn(WIDTH, generator=g))

    def forward(self, packed, length=1024):
        x = packed @ self.weight.T
        return torch.cat([x, self.register.expand(x.shape[0], length - x.shape[1], -1)], 1)


def encode(clip, prompt=PROMPT):
    """What core's own node makes of a prompt."""
    import nodes

    with torch.inference_mode():
        return nodes.CLIPTextEncode().encode(clip, prompt)[0]


def ids_of(clip, prompt=PROMPT):
    return [token[0] for token in clip.tokenize(prompt)["gemma3_12b"][0]]


def hidden_states(ids, mask=None, config=TINY_GEMMA3, **changes):
    """(1, l, d, layers + 1) of transformers' Gemma-3 in float32 with the tiny weights. changes: to its config.json."""
    mask = None if mask is None else torch.tensor([mask])
    model = _reference(config, tuple(changes.items()))
    with torch.inference_mode():
        found = model(torch.tensor([ids]), attention_mask=mask, output_hidden_states=True, use_cache=False)
    return torch.stack(found.hidden_states, -1)


def check_close(got, want, limit=1e-5):
    ratio = ((got - want).square().mean() / want.square().mean()).sqrt().item()
    assert ratio <= limit, f"RMS ratio {ratio:.2e} of {want.square().mean().sqrt():.2f}"


@cache
def _reference(config, changes):
    from transformers import Gemma3TextConfig, Gemma3TextModel

    model = Gemma3TextModel(Gemma3TextConfig.from_dict(config_json(False, config) | dict(changes))).eval()
    model.load_state_dict({key.removeprefix("model."): weight for key, weight in tiny_weights(config).items()})
    return model
