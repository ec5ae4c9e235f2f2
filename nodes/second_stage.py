"""The refiner inside a rollout: its inputs, its stage, and whether all three stages fit the card at once."""

from __future__ import annotations

from dataclasses import replace

import comfy.model_management as management
from comfy_api.latest import io
from torch import Tensor

from ..wm_core.config import RELEASED_REFINING, RefinerRecipe
from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.rollout import Prompt
from .bridge import say
from .compat import advanced
from .native import counted_tokens
from .native_refiner import host_refiner_stage, planned_memory, refiner_of, refuse_unconnected
from .stages import SecondStage, fingerprint_patches

AUTO, OFF = "auto", "off"
CARD_ROOM = 0.85  # of the card: the rest is what stage 1 carries, and what a host keeps free
OVERLAPS = [OFF, AUTO]


def refiner_inputs() -> list[io.Input]:
    """Inputs of a node that can refine: the model and its prompt, then settings."""
    overlap = io.Combo.Input(
        "overlap",
        options=OVERLAPS,
        default=OFF,
        optional=True,
        tooltip="auto: where all three stages fit the card, stage 1 works a chunk ahead of the refiner and that a chunk ahead "
        "of the decoder. Same result; the gain was not measured on a card yet.",
    )
    return [
        io.Model.Input(
            "refiner", optional=True, tooltip="From Load LTX-2 Refiner: every chunk is refined as soon as it is made."
        ),
        io.Conditioning.Input(
            "refiner_positive", optional=True, tooltip="The prompt, encoded with the refiner's own CLIP."
        ),
        advanced(strength_input(optional=True)),
        advanced(overlap),
    ]


def strength_input(*, optional: bool = False) -> io.Input:
    """optional: where graphs from before there was a refiner must still run."""
    return io.Float.Input(
        "start_sigma",
        optional=optional,
        default=RELEASED_REFINING.sigmas[0],
        min=0.0,
        max=1.0,
        step=0.000001,
        round=False,
        tooltip="Strength of the refiner: how much noise covers the draft before it is refined. 0.909375 as released; lower "
        "keeps more of the draft and takes fewer steps below 0.725 and 0.421875.",
    )


def context_of(refiner, positive: list, what: str) -> Tensor:
    """The one prompt of a CONDITIONING as the refiner reads it, (1, l, c). what: the input's name, for errors."""
    if len(positive) != 1:
        raise ConfigError(f"the refiner takes one prompt at a time, got {len(positive)}; do not combine conditionings")
    text, extra = positive[0]
    refuse_unconnected(extra, what)
    context = counted_tokens(text, extra.get("attention_mask"))
    wanted = refiner_of(refiner).config.caption_channels
    if context.shape[-1] != wanted:
        raise ShapeError(
            f"{what} must have {wanted} channels, got {context.shape[-1]}; encode it with the CLIP of Load LTX-2 Refiner, not "
            "with stage 1's text encoder"
        )
    return context


def with_context(prompt: Prompt, refiner, positive: list | None) -> Prompt:
    """The prompt with what the refiner reads; ConfigError if only one of refiner and its prompt is there."""
    if refiner is None:
        if positive is not None:
            raise ConfigError("refiner_positive is read by a refiner, and none is connected; connect Load LTX-2 Refiner")
        return prompt
    if positive is None:
        raise ConfigError("a refiner needs the prompt as its own text encoder reads it; connect refiner_positive")
    return replace(prompt, context=context_of(refiner, positive, "refiner_positive"))


def second_stage(
    refiner, recipe: RefinerRecipe, chunk: int, first: Tensor, prompt: Prompt, node: str | None
) -> SecondStage | None:
    """The stage of a refiner that takes a chunk of latents at a time, None without one. first: (1, c, 1, h, w)."""
    if refiner is None:
        return None
    net = refiner_of(refiner)
    if first.shape[1] != net.config.in_channels:
        raise ShapeError(
            f"the refiner reads latents of {net.config.in_channels} channels, got {first.shape[1]}; take the LTX-2 video VAE"
        )
    recipe = replace(recipe, block=chunk, sink=1)
    grid = (1 + chunk * (1 + recipe.history), *first.shape[3:])  # so long that the window is full
    memory = planned_memory(refiner, recipe, grid, prompt.context.shape[1] if prompt.context is not None else 1)
    if not memory.window_is_on_device:
        say(f"the refiner's window of {memory.window / 1e9:.1f} GB rests in the computer's memory", node)
    return SecondStage(
        stage=host_refiner_stage(refiner, memory),
        fingerprint=net.fingerprint + fingerprint_patches(refiner.patches),
        beside=memory.resident - memory.weights + memory.swapped + memory.slots,
    )


def fit_together(model, vae, refiner, second: SecondStage | None, shape: tuple[int, ...]) -> bool:
    """Whether all stages can lie on the card at once, with what they compute and the refiner carries.

    shape: of a chunk's latents, (1, c, t, h, w).
    """
    if second is None or model.load_device.type != "cuda":
        return False
    weights = sum(patcher.model_size() for patcher in (model, refiner, vae.patcher))
    computing = model.memory_required(list(shape)) + vae.memory_used_decode((1, *shape[1:2], 1, *shape[3:]), vae.vae_dtype)
    return weights + second.beside + computing <= CARD_ROOM * management.get_total_memory(model.load_device)
