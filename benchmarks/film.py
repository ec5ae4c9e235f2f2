"""A film by random models of a given size, on any device: all three stages, or stage 1 and the decoder.

The engine is that of wm_core.rollout, without its files: see toy_film.py for those, rolling.py for what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tools.make_tiny_checkpoints import TINY_VAE, TINY_WORLD
from wm_core.camera import actions_to_path
from wm_core.checkpoint.quantisable import REFINER_LAYERS, WORLD_LAYERS, quantisable
from wm_core.config import RELEASED_DIT, RELEASED_VAE, DiTConfig, RefinerConfig, VAEConfig
from wm_core.dit import Prepared, WorldConditions, WorldDiT, WorldState
from wm_core.refiner import CONTEXT_TOKENS, VideoRefiner
from wm_core.rollout import Plan, Prompt, Session, Stages, given_path, open_session
from wm_core.sampling.refining import refiner_stage
from wm_core.vae import VideoVAE, decode_chunk

from .dit import TEXT_TOKENS
from .random_models import random_model
from .vae import thin_vae

FPS = 16.0
FP8 = "TensorCoreFP8Layout"


@dataclass(frozen=True)
class Size:
    """grid: (h, w) of the latents. text, context: tokens of the prompt as stage 1 and as the refiner reads it."""

    world: DiTConfig
    vae: VAEConfig
    refiner: RefinerConfig
    grid: tuple[int, int]
    text: int = TEXT_TOKENS
    context: int = CONTEXT_TOKENS


RELEASED = Size(RELEASED_DIT, replace(RELEASED_VAE, decoder_causal=True), RefinerConfig("split"), (22, 40))
SIZES = {
    "tiny": Size(
        TINY_WORLD,
        replace(TINY_VAE, decoder_causal=True),
        RefinerConfig("split", in_channels=8, out_channels=8, depth=2, num_heads=2, head_dim=16, caption_channels=16),
        (2, 3),
        text=5,
        context=6,
    ),
    "toy": Size(
        replace(RELEASED_DIT, depth=4, hidden_size=448, num_heads=4),
        replace(thin_vae(4), decoder_causal=True),
        RefinerConfig("split", depth=4, num_heads=8, head_dim=64, caption_channels=480),
        (6, 10),
    ),
    "720p": RELEASED,
    "352 x 640": replace(RELEASED, grid=(11, 20)),
}


class Film:
    """Models on a device and what they are to film. refined: with the second stage. fp8: the large matrices of stage 1 and
    the refiner are kept in eight bits, and multiplied in dtype."""

    def __init__(self, size: Size, device: str, dtype: str, *, refined: bool = True, fp8: bool = False) -> None:
        kind = getattr(torch, dtype)
        self._size, self._device, self._dtype = size, device, kind
        self.world = random_model(lambda: WorldDiT(size.world), device, kind)
        self.vae = random_model(lambda: VideoVAE(size.vae), device, kind)
        self.refiner = random_model(lambda: VideoRefiner(size.refiner), device, kind) if refined else None
        if fp8:
            round_to_fp8(self.world, WORLD_LAYERS)
            if refined:
                round_to_fp8(self.refiner, REFINER_LAYERS)
        draw = lambda *shape: torch.randn(shape, generator=torch.Generator().manual_seed(3))
        self._first = draw(1, size.world.in_channels, 1, *size.grid).to(device)
        context = draw(1, size.context, size.refiner.caption_channels) if refined else None
        self._prompt = Prompt(draw(1, size.text, size.world.caption_channels), context=context)
        self.stages = self._stages()
        self.seconds_of_a_chunk = self.session().recipe.chunk * size.vae.stride.t / FPS

    def session(self) -> Session:
        """Before the first chunk."""
        return open_session(self.stages, self._first, fps=FPS)

    def plan(self, chunks: int) -> Plan:
        frames, size = self.session().span(chunks - 1)[1], self.session().size
        path = actions_to_path(f"w-{frames // 2},dw-{frames - frames // 2}", size=size, fov_deg=80)
        return Plan(self._prompt, given_path(path), chunks, seed=1)

    def _stages(self) -> Stages:
        """As stages_of makes them, in the dtype of the models; their numbers are random, so a name will do to tell them by."""
        world, vae, dtype = self.world, self.vae, self._dtype
        prepared = Prepared(world)

        def velocity(x: Tensor, sigma: Tensor, cond: WorldConditions, past: WorldState) -> tuple[Tensor, WorldState]:
            x = x.to(dtype)
            v, after = world(x, sigma, prepared(cond, x, past.frames), past=past)
            return v.float(), after

        return Stages(
            velocity=velocity,
            begin=lambda window, keeps_sink: world.begin(window=window, keeps_sink=keeps_sink),
            world="random",
            stride=vae.config.stride,
            decode=lambda z, tails: decode_chunk(vae, z.to(dtype), tails),
            vae="random",
            refine=refiner_stage(self.refiner) if self.refiner else None,
            refiner="random" if self.refiner else None,
        )


def round_to_fp8(model: nn.Module, layers: tuple[str, ...]) -> None:
    """What tools.quantize does to a file, and the host to a model."""
    from comfy_kitchen.tensor import QuantizedTensor

    shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    for name in quantisable(shapes, layers):
        layer = model.get_submodule(name)
        layer.weight = nn.Parameter(QuantizedTensor.from_float(layer.weight.data, FP8), requires_grad=False)
