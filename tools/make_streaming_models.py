"""Write what a streaming graph needs, tiny and random, as it lies in a ComfyUI's models folder.

    python3 -m tools.make_streaming_models MODELS
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from wm_core.text import PromptEmbedding, save_embedding

from .make_tiny_checkpoints import STREAMING_RECIPE, TINY_VAE, TINY_WORLD, TinyVAE, TinyWorld, write_vae, write_world

STREAMING_WORLD = TinyWorld(
    "diffusion_models/tiny_streaming.safetensors",
    metadata={"sana_wm.format": "1", "sana_wm.variant": "streaming"},
    variant="streaming",
    source="file metadata",
    sampling=STREAMING_RECIPE,
)
CAUSAL_VAE = TinyVAE("vae/tiny_causal_vae.safetensors", replace(TINY_VAE, decoder_causal=True), stated="stamp")
PROMPTS = ("sana_wm_text/tiny_prompt.safetensors", "sana_wm_text/tiny_other_prompt.safetensors")


def make_streaming_models(models: Path) -> None:
    """The streaming student, the causal VAE and two prompts for it, random, below a ComfyUI's models folder."""
    write_world(models, STREAMING_WORLD)
    write_vae(models, CAUSAL_VAE)
    for seed, name in enumerate(PROMPTS):
        text = torch.randn(1, 5, TINY_WORLD.caption_channels, generator=torch.Generator().manual_seed(seed))
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        save_embedding(models / name, PromptEmbedding(text, torch.ones(1, 5, dtype=torch.long)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    make_streaming_models(parser.parse_args().models)
