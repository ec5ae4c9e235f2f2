"""The streaming student inside the host's sampling: a SAMPLER that goes through the latent chunk by chunk."""

from __future__ import annotations

from itertools import pairwise

import comfy.samplers
import torch
from comfy_api.latest import io
from torch import Tensor

from ..wm_core.errors import ConfigError
from ..wm_core.rollout import Recipe
from ..wm_core.sampling import STUDENT_SIGMAS
from ..wm_core.shapes import chunk_lengths
from .compat import advanced
from .native import STREAM_KEY, StreamHolder

STEPS = ", ".join(f"{1000 * sigma:g}" for sigma in STUDENT_SIGMAS)


def recipe_inputs() -> list[io.Input]:
    """Widgets of a streaming recipe, all advanced: the released values are what the model was distilled for."""
    return [
        advanced(
            io.String.Input(
                "timesteps",
                default=STEPS,
                tooltip="Noise levels in thousandths, from 1000 down to 0. The student was distilled for these four steps.",
            )
        ),
        advanced(
            io.Int.Input(
                "chunk", default=3, min=1, max=64, tooltip="Latent frames made at a time; 3 as released, 24 frames."
            )
        ),
        advanced(
            io.Int.Input(
                "window",
                default=2,
                min=-1,
                max=1000,
                tooltip="Past chunks that attention still sees, the first one included. -1: all, and memory grows with "
                "time.",
            )
        ),
        advanced(
            io.Boolean.Input(
                "sink", default=True, tooltip="Keep the first chunk in view for ever; without it long videos drift."
            )
        ),
    ]


class SanaWMStreamingSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMStreamingSampler",
            display_name="SANA-WM Streaming Sampler",
            category="SANA-WM/sampling",
            description="Sampler and levels for the distilled streaming model: four steps a chunk and constant memory. "
            "Connect both to SamplerCustomAdvanced, with cfg 1.",
            inputs=recipe_inputs(),
            outputs=[io.Sampler.Output(display_name="sampler"), io.Sigmas.Output(display_name="sigmas")],
        )

    @classmethod
    def execute(cls, timesteps=STEPS, chunk=3, window=2, sink=True):
        options = {"recipe": Recipe(chunk=chunk, window=window, keeps_sink=sink)}
        return io.NodeOutput(comfy.samplers.KSAMPLER(sample_stream, options), parse_levels(timesteps))


def parse_levels(text: str) -> Tensor:
    """Comma-separated thousandths as sigmas (steps + 1,); ConfigError unless they fall from 1000 to 0."""
    try:
        levels = torch.tensor([float(part) / 1000 for part in text.split(",")])
    except ValueError as error:
        raise ConfigError(
            f"timesteps must be numbers with commas between them, such as {STEPS}, got {text!r}"
        ) from error
    if len(levels) < 2 or levels[-1] != 0 or levels[0] > 1 or not (levels.diff() < 0).all():
        raise ConfigError(f"timesteps must fall from at most 1000 to 0, such as {STEPS}, got {text!r}")
    return levels


@torch.no_grad()
def sample_stream(model, x, sigmas, extra_args=None, callback=None, disable=None, *, recipe: Recipe):
    """Denoise x (b, c, t, h, w) chunk by chunk. `model` is the host's denoiser: (x, sigma, **extra_args) -> x0.

    A chunk's first step also takes the finished chunk before it through the model, clean, for the state that it leaves: one
    pass over the weights for both. The state travels in a holder in transformer_options, on copies, so that nothing of it
    outlives the call.
    """
    holder = StreamHolder(recipe.window, recipe.keeps_sink)
    arguments = _with_holder(extra_args or {}, holder)
    mask, known = arguments.pop("denoise_mask", None), model.latent_image
    chunks, out, start = chunk_lengths(x.shape[2], recipe.chunk), [], 0
    try:
        for index, length in enumerate(chunks):
            frames = slice(start, start + length)
            start += length
            part = x[:, :, frames]
            image, own_mask = (None if y is None else y[:, :, frames] for y in (known, mask))
            for step, (sigma, lower) in enumerate(pairwise(sigmas)):
                level = sigma * part.new_ones(part.shape[0])
                if step == 0 and out:
                    clean = _settling(model, holder, out[-1], part, level, (image, own_mask), arguments)
                else:
                    model.latent_image, arguments["denoise_mask"] = image, own_mask
                    clean = model(part, level, **arguments)
                part = clean + (part - clean) * (lower / sigma)
                if callback is not None:
                    done = (index * (len(sigmas) - 1) + step) // len(chunks)
                    callback({"x": part, "i": done, "sigma": sigma, "sigma_hat": sigma, "denoised": clean})
            out.append(part)
    finally:
        model.latent_image = known
    return torch.cat(out, 2)


def _settling(model, holder: StreamHolder, done: Tensor, part: Tensor, level: Tensor, known: tuple, arguments: dict):
    """x0 of a chunk's first step, beside the finished chunk, whose state is the past from here on.

    known: (image, mask) of the chunk's given frames, or None each.
    """
    image, mask = known
    mask = torch.ones_like(part[:, :1]) if mask is None else mask
    image = torch.zeros_like(part) if image is None else image
    holder.settling = done.shape[2]
    model.latent_image = torch.cat([done, image], 2)
    kept = mask.new_zeros(*mask.shape[:2], done.shape[2], *mask.shape[3:])
    together = {**arguments, "denoise_mask": torch.cat([kept, mask], 2)}
    clean = model(torch.cat([done, part], 2), level, **together)[:, :, done.shape[2] :]
    holder.settled()
    return clean


def _with_holder(extra_args: dict, holder: StreamHolder) -> dict:
    options = dict(extra_args.get("model_options", {}))
    options["transformer_options"] = {**options.get("transformer_options", {}), STREAM_KEY: holder}
    return {**extra_args, "model_options": options}


NODES = [SanaWMStreamingSampler]
