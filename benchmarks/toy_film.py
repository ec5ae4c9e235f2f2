"""A film by the real engine with tiny random models: session, growing video and last frame written chunk by chunk.

The strides, the window, the recipe and the order of writing are the released ones; only widths and depths are small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tools.make_tiny_checkpoints import TINY_VAE, TINY_WORLD, tiny_vae, tiny_world
from wm_core.camera import actions_to_path
from wm_core.rollout import Plan, Prompt, Session, given_path, open_film, open_session, record, run, stages_of
from wm_core.vae import VideoVAE

FPS = 16.0
CONTRAST = 0.03  # of a random decoder's pictures, which are noise, for which a video encoder is not made


class ToyFilm:
    """A film of at most `chunks` chunks of 3 latents of grid (h, w), in a folder. session: what it goes on from."""

    def __init__(self, grid: tuple[int, int], chunks: int, folder: Path) -> None:
        self._stages = stages_of(tiny_world(), _calm_vae())
        self._folder = folder
        self.session = open_session(self._stages, _draw(1, TINY_WORLD.in_channels, 1, *grid))
        frames = self.session.span(chunks - 1)[1]
        actions = f"w-{frames // 2},dw-{frames - frames // 2}"
        self._poses = given_path(actions_to_path(actions, size=self.session.size, fov_deg=80))
        self._prompt = Prompt(_draw(1, 5, TINY_WORLD.caption_channels))

    def make(self, chunks: int) -> Iterator[Session]:
        """The sessions after each of the next chunks, once it is on the disk.

        Before this returns the film is opened and what lies in it behind self.session is cut off, as when a run begins.
        """
        writer = open_film(self._folder, self.session, self._stages, fps=FPS)
        plan = Plan(self._prompt, self._poses, self.session.chunks + chunks, seed=1)
        return (event.session for event, _ in record(run(self._stages, plan, self.session), writer))


def _calm_vae() -> VideoVAE:
    vae = tiny_vae(replace(TINY_VAE, decoder_causal=True))
    with torch.no_grad():
        for parameter in vae.decoder.conv_out.parameters():
            parameter.mul_(CONTRAST)
    return vae


def _draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))
