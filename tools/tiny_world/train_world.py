"""The world model on encoded clips: the flow from noise to latents, dense or chunk-causal. SANA-WM sec. 4.

Training is plain autograd through the core's own forward; the only difference between the two models is the chunk list and
that a chunk-causal clip has a noise level of its own in every chunk.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wm_core.dit import WorldConditions, WorldDiT
from wm_core.sampling import shifted
from wm_core.shapes import chunk_lengths

from .generate import Start
from .gradients import Gradients
from .latents import conditions, load_latents
from .mixed import MIXED
from .settings import Settings, WorldSettings
from .text import TEXT_FILE, encode_captions, padded_states
from .training import Stage, load_modules

LEVELS = (0.5, 0.9)
ANOTHER = 6  # rows from a clip to one of another scene


@dataclass(frozen=True, eq=False)
class Batch:
    """latents (b, c, t, h, w), what they show, and which frames are given, (b, t)."""

    latents: Tensor
    cond: WorldConditions
    given: Tensor

    def start(self, random: torch.Generator) -> Start:
        """Noise to make these clips from, the given frames in place."""
        return self.started(draw_noise(self.latents, random))

    def started(self, noise: Tensor) -> Start:
        return Start(torch.where(self.given[:, None, :, None, None], self.latents, noise), self.given, self.cond)

    def tensors(self) -> tuple[Tensor, ...]:
        cond = self.cond
        return self.latents, cond.text, cond.text_mask, cond.raymap, cond.plucker, self.given

    @classmethod
    def of(cls, latents: Tensor, *rest: Tensor) -> Batch:
        """What `tensors` gave."""
        *cond, given = rest
        return cls(latents, WorldConditions(*cond), given)


class WorldClips:
    """Encoded clips with their cameras and prompts, in the memory of a device."""

    def __init__(
        self, settings: Settings, folder: Path, name: str, device: str = "cpu", *, at_most: int | None = None
    ) -> None:
        clips = load_latents(folder, name).first(at_most)
        self.latents = torch.from_numpy(clips.latents).to(device)
        self.raymap, self.plucker = (x.to(device) for x in conditions(clips, settings.size, settings.vae.model.stride))
        captions = sorted(set(clips.captions))
        text, mask = padded_states(encode_captions(folder / TEXT_FILE, captions))
        self.text, self.text_mask = text.to(device), mask.to(device)
        place = {caption: i for i, caption in enumerate(captions)}
        self.prompt_of = torch.tensor([place[caption] for caption in clips.captions], device=device)

    def __len__(self) -> int:
        return len(self.latents)

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Rows of that many clips."""
        return torch.randint(len(self), (count,), generator=random, device=random.device)

    def batch(
        self, rows: Tensor | Sequence[int], frames: int, given: Tensor, cameras: Sequence[int] | None = None
    ) -> Batch:
        """The first `frames` latent frames of these rows; `cameras`: rows whose cameras to show instead."""
        rows = torch.as_tensor(rows, device=self.latents.device)
        seen = rows if cameras is None else torch.as_tensor(cameras, device=rows.device)
        said = self.prompt_of[rows]
        cond = WorldConditions(
            self.text[said], self.text_mask[said], self.raymap[seen, :frames], self.plucker[seen, :, :frames]
        )
        return Batch(self.latents[rows, :, :frames].float(), cond, given.to(rows.device))


def begun_world(settings: WorldSettings) -> WorldDiT:
    """Weights to start from: every operator passes its input on, gates are open, the output is zero."""
    world = WorldDiT(settings.model, MIXED)
    for name, p in world.named_parameters():
        if ".conv_k" in name:
            nn.init.zeros_(p)
            p.data[:, 0, -1] = 1.0
        elif name.endswith("t_conv.weight") or name.startswith("final_layer.linear"):
            nn.init.zeros_(p)
        elif name.startswith("plucker_embedder.proj.weight"):
            nn.init.normal_(p, std=p.shape[1] ** -0.5)
        elif name.startswith("blocks") and name.endswith("scale_shift_table"):
            p.data.normal_(std=0.02)
            p.data[[2, 5]] = 1.0
        elif name.startswith("blocks") and name.endswith(
            (".proj.weight", "out_proj_cam.weight", "point_conv.conv.weight")
        ):
            p.data.mul_(0.5)
    return world


def plain_parameters(world: WorldDiT) -> list[nn.Parameter]:
    """Everything outside the blocks: embeddings and heads learn with Adam."""
    return [p for name, p in world.named_parameters() if not name.startswith("blocks")]


def train_world(
    settings: Settings, folder: Path, minutes: float, of: float | None, device: str, *, causal: bool = False
) -> None:
    """The dense model, or from its weights the chunk-causal one."""
    torch.manual_seed(settings.seed + 10 + causal)
    recipe = settings.causal if causal else settings.world
    world = begun_world(settings.world).to(device)
    average = copy.deepcopy(world).requires_grad_(False)
    if causal:
        load_modules(folder / "world.pt", {"average": world})
        average.load_state_dict(world.state_dict())
    name = "causal_world" if causal else "world"
    modules = {"world": world, "average": average}
    plain = plain_parameters(world)
    stage = Stage(name, folder, settings, modules, world.parameters(), recipe, minutes, of, plain=plain)
    clips = WorldClips(settings, folder, "train", device)
    held_out = WorldClips(settings, folder, "held_out", device)
    random = torch.Generator(device).manual_seed(settings.seed + stage.step)

    def gather(chunks: tuple[int, ...], sigma: Tensor, noise: Tensor, *batch: Tensor) -> Tensor:
        loss = flow_loss(world, Batch.of(*batch), chunks, sigma, noise)
        loss.backward()
        return loss

    gradients = Gradients(gather, stage.trained, device, stage.not_counted)

    def step() -> dict[str, Tensor]:
        frames, count = clips.latents.shape[2], recipe.batch
        if stage.progress < recipe.short:  # as many tokens a step, in shorter clips
            frames, count = settings.short_latents, recipe.batch * frames // settings.short_latents
        given = draw_given(count, frames, recipe.without_picture, random)
        batch = clips.batch(clips.draw(count, random), frames, given)
        chunks = chunk_lengths(frames) if causal else (frames,)
        sigma = draw_sigma(count, chunks, settings.world.shift, random)
        loss = gradients(chunks, sigma, draw_noise(batch.latents, random), *batch.tensors())
        norm = stage.descend()
        update_average(average, world, recipe.average, stage.step)
        return {"loss": loss, "norm": norm}

    stage.train(step, lambda: validate(average, held_out, causal))
    stage.end(lambda: validate(average, held_out, causal))


def draw_given(count: int, frames: int, without: float, random: torch.Generator) -> Tensor:
    """(b, t): the first frame is given, but in a share `without` of the clips, which start from words alone."""
    given = torch.zeros(count, frames, dtype=torch.bool, device=random.device)
    given[:, 0] = torch.rand(count, generator=random, device=random.device) >= without
    return given


def draw_sigma(count: int, chunks: tuple[int, ...], shift: float, random: torch.Generator) -> Tensor:
    """(b, t) noise levels in whole thousandths, one for each chunk."""
    level = torch.randn(count, len(chunks), generator=random, device=random.device)
    level = (shifted(torch.sigmoid(level * 1.2 + 0.3), shift) * 1000).round().clamp(1, 1000) / 1000
    return torch.cat([level[:, i : i + 1].expand(-1, length) for i, length in enumerate(chunks)], 1)


def draw_noise(like: Tensor, random: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=random, device=random.device).to(like)


def flow_loss(world: WorldDiT, batch: Batch, chunks: tuple[int, ...], sigma: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the velocity over the frames that are not given; sigma (b, t), noise like the latents."""
    z = batch.latents
    sigma = torch.where(batch.given, 0.0, sigma)
    level = sigma[:, None, :, None, None]
    velocity, _ = world((1 - level) * z + level * noise, sigma, batch.cond, chunks=chunks)
    return mean_of_made((velocity - (noise - z)).square(), batch.given)


def mean_of_made(error: Tensor, given: Tensor) -> Tensor:
    """Mean of errors (b, c, t, h, w) over the frames that are not given, (b, t)."""
    made = ~given
    return (error.mean((1, 3, 4)) * made).sum() / made.sum()


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Running average of the weights, faster at the start."""
    share = 1 - min(decay, 1 - 1 / (0.1 * step + 1))
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), share)


@torch.no_grad()
def validate(world: WorldDiT, clips: WorldClips, causal: bool = False) -> dict[str, float]:
    """Loss on held-out clips at fixed noise levels, with their own cameras and with those of other clips."""
    frames, rows = clips.latents.shape[2], list(range(len(clips)))
    chunks = chunk_lengths(frames) if causal else (frames,)
    result = {}
    for level in LEVELS:
        for which, shift in (("own", 0), ("other", ANOTHER)):
            random, losses = torch.Generator().manual_seed(1), []
            for at in range(0, len(rows), 8):
                part = rows[at : at + 8]
                cameras = [(row + shift) % len(rows) for row in part]
                batch = clips.batch(part, frames, draw_given(len(part), frames, 0.0, random), cameras)
                sigma = torch.full_like(batch.given, level, dtype=torch.float32)
                losses.append(flow_loss(world, batch, chunks, sigma, draw_noise(batch.latents, random)).item())
            result[f"{which}_{level:g}"] = math.fsum(losses) / len(losses)
    return result
