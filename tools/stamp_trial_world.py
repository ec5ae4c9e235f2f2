"""Make the demo's model files from the trial world's export: the same numbers in single files that say what they are.

    python3 -m tools.stamp_trial_world EXPORT_FOLDER

EXPORT_FOLDER holds transformer/ and vae/ in diffusers layout. Writes assets/models/; running it again gives the same
bytes. The trial is a 7.1M-parameter toy that shows the system, not the quality of SANA-WM.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from wm_core.text.embedding_file import EMBEDDING_FORMAT, EMBEDDING_VERSION

from .reproducible import write_safetensors

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "models"
NAME = "sana_wm_trial_world"
SAMPLING = {"steps": 6, "cfg": 1.0, "shift": 4.0, "dialect": "nvlabs-v1"}
ABOUT = {
    "modelspec.title": "SANA-WM trial world (toy)",
    "modelspec.description": "7.1M-parameter toy trained on procedurally rendered boxes, 64 x 96 pixels, 33 frames, "
    "horizontal field of view 71 degrees. Shows that the system works; not SANA-WM's quality.",
    "modelspec.license": "Apache-2.0",
}


def main(export: Path) -> None:
    transformer = ABOUT | {
        "sana_wm.format": "1",
        "sana_wm.variant": "bidirectional",
        "sana_wm.reference": "diffusers",
        "sana_wm.sampling": json.dumps(SAMPLING),
        "sana_wm.config": (export / "transformer" / "config.json").read_text(),
    }
    vae = ABOUT | {"sana_wm.format": "1", "sana_wm.vae_config": (export / "vae" / "config.json").read_text()}
    _write(export / "transformer", ASSETS / "diffusion_models" / f"{NAME}.safetensors", transformer)
    _write(export / "vae", ASSETS / "vae" / f"{NAME}_vae.safetensors", vae)
    prompt = {"format": EMBEDDING_FORMAT, "version": str(EMBEDDING_VERSION), "encoder": "constant", "prompt": ""}
    constant = {"embedding": torch.ones(1, 2, 16), "mask": torch.ones(1, 2, dtype=torch.long)}
    write_safetensors(
        ASSETS / "sana_wm_text" / f"{NAME}_prompt.safetensors", constant, prompt | {"variant": "constant"}
    )


def _write(source: Path, target: Path, metadata: dict[str, str]) -> None:
    write_safetensors(target, load_file(source / "diffusion_pytorch_model.safetensors"), metadata)
    print(f"{target.relative_to(ASSETS.parents[1])}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    main(parser.parse_args().export)
