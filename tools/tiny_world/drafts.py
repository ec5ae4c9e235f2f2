"""Drafts of the first stage beside the true latents: what the refiner is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wm_core.dit import WorldDiT

from .generate import dense_latents, streamed_latents
from .settings import Settings
from .train_world import WorldClips, draw_given
from .training import load_modules

DENSE_STEPS = (4, 6)
TOGETHER = 32  # clips in a call


class Drafts:
    """Pairs in memory: drafts and truths (n, c, t, h, w), float16."""

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        found = np.load(folder / f"drafts_{name}.npz")
        self.drafts, self.truths = (torch.from_numpy(found[part]).to(device) for part in ("drafts", "truths"))

    def __len__(self) -> int:
        return len(self.drafts)

    @property
    def frames(self) -> int:
        """Latent frames of a clip."""
        return self.drafts.shape[2]

    def pair(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(draft, truth) of these rows, float32."""
        rows = rows.to(self.drafts.device)
        return self.drafts[rows].float(), self.truths[rows].float()


def make_drafts(settings: Settings, folder: Path, name: str, at_most: int, device: str = "cpu") -> None:
    """Drafts of the dense model and of the student, in turn, for the first clips of a set."""
    world, student = (WorldDiT(settings.world.model).to(device) for _ in range(2))
    load_modules(folder / "world.pt", {"average": world})
    load_modules(folder / "student.pt", {"average": student})
    clips = WorldClips(settings, folder, name, device, at_most=at_most)
    random = torch.Generator(device).manual_seed(settings.seed + 40)
    drafts = []
    count = len(clips)
    for turn, at in enumerate(range(0, count, TOGETHER)):
        rows = list(range(at, min(at + TOGETHER, count)))
        frames = clips.latents.shape[2]
        batch = clips.batch(rows, frames, draw_given(len(rows), frames, 0.0, random))
        begun = batch.start(random)
        if turn % 2:
            made = dense_latents(world, begun, DENSE_STEPS[turn // 2 % len(DENSE_STEPS)], settings.world.shift)
        else:
            made = streamed_latents(student, begun)
        drafts.append(made.half().cpu().numpy())
        if turn % 20 == 0:
            print(f"drafts of {rows[-1] + 1} of {count} clips", flush=True)
    part = folder / f"drafts_{name}.part.npz"
    np.savez(part, drafts=np.concatenate(drafts), truths=clips.latents[:count].cpu().numpy())
    part.replace(folder / f"drafts_{name}.npz")
