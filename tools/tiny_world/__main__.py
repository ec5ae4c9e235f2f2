"""Train, measure and export the tiny world's models, one stage at a time.

    python3 -m tools.tiny_world STAGE --minutes 30

A stage that is started again goes on where it stopped; everything lies in --folder. Stages in their order: see MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from .settings import CONFIG, load_settings
from .train_vae import train_decoder, train_vae
from .train_world import train_world

STAGES = {
    "vae": train_vae,
    "decoder": partial(train_decoder, causal=False),
    "causal-decoder": partial(train_decoder, causal=True),
    "world": train_world,
    "causal-world": partial(train_world, causal=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        "tools.tiny_world", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("--minutes", type=float, required=True, help="how long this run trains")
    parser.add_argument(
        "--of", type=float, help="length of the whole schedule in minutes (default: it ends with this run)"
    )
    parser.add_argument("--folder", type=Path, default=Path("out/tiny_world"), help="where data and checkpoints lie")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    STAGES[options.stage](load_settings(options.config), options.folder, options.minutes, options.of, options.device)


if __name__ == "__main__":
    main()
