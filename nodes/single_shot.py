"""The refiner in core's samplers: the single-shot pass, one step at a time.

The leading frames that the latent's noise mask calls known are the sink. What all steps of one run have in common, the prompt's
keys and the angles, is computed once and kept in transformer_options, which are gone with the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..wm_core.errors import ShapeError
from ..wm_core.refiner import Keeps, KVRing, Part, Past, PromptKeys, RingSize, Rotation, VideoRefiner
from .compat import walk_prefetching
from .native import host_attention

FPS = 16.0  # of SANA-WM's videos; core's LTXVConditioning says another
RUN_KEY = "sana_wm_refiner_run"  # in transformer_options: SamplerRun


@dataclass
class SamplerRun:
    """What the steps of one sampler run share."""

    prompts: dict[object, PromptKeys] = field(default_factory=dict)
    rotations: dict[object, Rotation] = field(default_factory=dict)


def in_one_run(release: Callable[[], None]) -> Callable:
    """A wrapper of the host's outer sample: gives the steps a SamplerRun, and releases what they held."""

    def wrapper(sample, *arguments, **options):
        guider = sample.class_obj
        before = guider.model_options.get("transformer_options", {})
        guider.model_options["transformer_options"] = {**before, RUN_KEY: SamplerRun()}
        try:
            return sample(*arguments, **options)
        finally:
            guider.model_options["transformer_options"] = before
            release()

    return wrapper


def single_shot(
    net: VideoRefiner, x: Tensor, timestep: Tensor, context: Tensor, options: dict, mask: Tensor | None, fps: float
) -> Tensor:
    """Velocity of x (b, c, t, h, w) at one noise level, but for the sink. timestep (b,) in thousandths, all the same."""
    run: SamplerRun = options.get(RUN_KEY) or SamplerRun()
    grid = tuple(x.shape[2:])
    sink = 0 if mask is None else _leading_known(mask)

    def place(start: int, length: int) -> Rotation:
        key = (start, length, *grid[1:], fps, x.device)
        if key not in run.rotations:
            run.rotations[key] = net.rotation(start, (length, *grid[1:]), fps, x.device)
        return run.rotations[key]

    who = tuple(options.get("uuids") or options.get("cond_or_uncond") or ())
    if who not in run.prompts:
        run.prompts[who] = net.prompt_keys(context)
    level = net.time_embed(timestep[0].float(), x.dtype)
    if sink:
        ring = KVRing(net.config, RingSize(grid[1] * grid[2], sink, 0), dtype=x.dtype, device=x.device, batch=x.shape[0])
        first, clean = place(0, sink), net.level(0.0, x.dtype, x.device)
        parts = [
            Part(x[:, :, :sink], 0, clean, first, keeps=Keeps.SINK),
            Part(x[:, :, sink:], sink, level, place(sink, grid[0] - sink), Past(range(0), first)),
        ]
    else:
        ring, parts = None, [Part(x, 0, level, place(0, grid[0]))]
    velocity = VideoRefiner.forward(
        net, parts, run.prompts[who], ring, attend=host_attention(options), walk=walk_prefetching(x.device, options)
    )
    return torch.cat(velocity, 2)


def _leading_known(mask: Tensor) -> int:
    """How many frames at the beginning are known; ShapeError if others are too."""
    known = (mask.float().amax((0, 1, 3, 4)) == 0).tolist()
    sink = known.index(False) if False in known else len(known)
    if any(known[sink:]) or sink == len(known):
        raise ShapeError(
            "the refiner's sink is the beginning of the clip: its noise mask must be 0 on the first frames and 1 on all others, "
            f"got {known.count(True)} known of {len(known)}; take the latent of SANA-WM Image to Video"
        )
    return sink
