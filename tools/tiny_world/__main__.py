"""Train, measure and export the tiny world's models. MODEL_CARD.md tells the order and what each part took.

    python3 -m tools.tiny_world train vae --minutes 30
    python3 -m tools.tiny_world encode train --seeds 0:1200
    python3 -m tools.tiny_world measure
    python3 -m tools.tiny_world export

Training that is started again goes on where it stopped. On a machine without checkpoints, `unpack` makes them from the
exported files.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

from .drafts import make_drafts
from .export import export_set, unpack_set
from .latents import encode_clips
from .measure import PARTS, measure
from .memory import keep_freed_memory
from .settings import CONFIG, load_settings, with_batch
from .train_refiner import train_refiner
from .train_student import train_student
from .train_text import train_text
from .train_vae import train_decoder, train_vae
from .train_world import train_world

STAGES = {
    "text": train_text,
    "vae": train_vae,
    "decoder": partial(train_decoder, causal=False),
    "causal-decoder": partial(train_decoder, causal=True),
    "world": train_world,
    "causal-world": partial(train_world, causal=True),
    "student": train_student,
    "refiner": train_refiner,
}


def main() -> None:
    options = parse()
    settings, folder = load_settings(options.config), options.folder
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")  # of CUDA: TF32
    if options.command == "train":
        settings = with_batch(settings, options.batch) if options.batch else settings
        STAGES[options.stage](settings, folder, options.minutes, options.of, options.device)
    elif options.command == "encode":
        encode_clips(settings, folder, options.set, options.seeds, options.frames or settings.frames, options.device)
    elif options.command == "drafts":
        make_drafts(settings, folder, options.set, options.clips, options.device)
    elif options.command == "measure":
        measure(settings, options.parts)
    elif options.command == "unpack":
        unpack_set(settings, folder)
    else:
        for file in export_set(settings, folder):
            print(f"{file}: {file.stat().st_size:,} bytes")


def parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tools.tiny_world", description=__doc__, formatter_class=raw)
    parser.add_argument("--folder", type=Path, default=Path("out/tiny_world"), help="where data and checkpoints lie")
    parser.add_argument("--config", type=Path, default=CONFIG)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="one stage of training").add_argument
    train("stage", choices=list(STAGES))
    train("--minutes", type=float, required=True, help="how long this run trains")
    train("--of", type=float, help="minutes of the whole schedule (default: it ends with this run)")
    train("--batch", type=int, help="clips a step (default: the config's, which suits a CPU)")
    encode = commands.add_parser("encode", help="render clips and encode them with the trained VAE").add_argument
    encode("set", help='name of the set: "train", "long" or "held_out"')
    encode("--seeds", type=seeds, required=True, metavar="FIRST:END")
    encode("--frames", type=int, help="pixel frames of a clip (default: the config's)")
    drafts = commands.add_parser("drafts", help="stage-1 clips for the refiner, of encoded clips").add_argument
    drafts("set", help='name of the set: "train" or "held_out"')
    drafts("--clips", type=int, required=True, help="at most so many, mirror images counted")
    for takes_device in (train, encode, drafts):
        takes_device("--device", default="cpu", choices=["cpu", "cuda"])
    parts = commands.add_parser("measure", help="score the exported files, into scores.json").add_argument
    parts("parts", nargs="*", help=f"which scores, of {', '.join(PARTS)} (default: all)")
    commands.add_parser("export", help="write assets/models from the checkpoints")
    commands.add_parser("unpack", help="write checkpoints from assets/models")
    return parser.parse_args()


def seeds(text: str) -> range:
    first, end = (int(part) for part in text.split(":"))
    return range(first, end)


if __name__ == "__main__":
    main()
