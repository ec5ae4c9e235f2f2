"""The files of the model set: what stage of training makes which, below assets/models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "assets" / "models"
_NAME = "sana_wm_tiny_world"


@dataclass(frozen=True)
class WorldFile:
    """A world model's file, its variant, and the steps that it is sampled with."""

    path: str
    variant: str
    steps: int


TEXT = f"text_encoders/{_NAME}_text.safetensors"
VAES = {"decoder": f"vae/{_NAME}_vae.safetensors", "causal_decoder": f"vae/{_NAME}_causal_vae.safetensors"}
WORLDS = {
    "world": WorldFile(f"diffusion_models/{_NAME}.safetensors", "bidirectional", 6),
    "causal_world": WorldFile(f"diffusion_models/{_NAME}_chunk_causal.safetensors", "chunk-causal", 6),
    "student": WorldFile(f"diffusion_models/{_NAME}_streaming.safetensors", "streaming", 4),
}
REFINER = f"diffusion_models/{_NAME}_refiner.safetensors"
REFINER_PROMPT = f"sana_wm_text/{_NAME}_refiner_prompt.safetensors"  # the one context that the refiner was trained with
DIALECT = "nvlabs-v1"  # of the commands that the models are measured with: 0.05 m and 1.2 degrees a frame
