"""Quality presets for core's SamplerCustomAdvanced: guider, sampler and noise levels, and what they cost."""

from __future__ import annotations

import comfy.samplers
from comfy_api.latest import io

from ..wm_core.checkpoint import WorldInfo
from ..wm_core.config import RELEASED_SAMPLING
from ..wm_core.errors import ConfigError
from ..wm_core.sampling import QUALITIES, Quality, describe_cost, lowest_guided, released_schedule
from .bridge import say
from .compat import check_choice
from .native import world_info
from .stream import SanaWMStreamingSampler

PRICES = "\n".join(describe_cost(quality, RELEASED_SAMPLING.cfg) for quality in QUALITIES.values())


class EarlyGuider(comfy.samplers.CFGGuider):
    """Classifier-free guidance down to a noise level; below it the conditional branch alone, one model call a step."""

    def __init__(self, model, lowest: float):
        super().__init__(model)
        self.lowest = lowest

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        # One number read back a step: as the host does for conditionings with a start and an end.
        cfg = self.cfg if float(timestep[0]) >= self.lowest else 1.0
        negative, positive = self.conds.get("negative"), self.conds.get("positive")
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, negative, positive, cfg, model_options=model_options or {}, seed=seed
        )


class SanaWMQuality(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMQuality",
            display_name="SANA-WM Quality",
            category="SANA-WM/sampling",
            description="Guider, sampler and noise levels for SamplerCustomAdvanced by what they cost. None has too few steps "
            "for the camera: with 20 to 30 the published rotation error is 22 to 44 % higher.",
            inputs=[
                io.Model.Input("model", tooltip="Its file decides guidance and shift: 5 and 9.8 as released."),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="An empty prompt, as released. full and balanced need it."
                ),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default="full",
                    tooltip=f"preview takes the streaming model, the others a bidirectional or chunk-causal one.\n{PRICES}",
                ),
            ],
            outputs=[
                io.Guider.Output(display_name="guider"),
                io.Sampler.Output(display_name="sampler"),
                io.Sigmas.Output(display_name="sigmas"),
                io.String.Output(display_name="cost", tooltip="What was chosen, and its price."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, positive, quality, negative=None):
        check_choice("quality", quality, QUALITIES)
        preset, info = QUALITIES[quality], world_info(model)
        check_variant(preset, info)
        cfg = 1.0 if preset.streams else info.sampling.cfg
        check_negative(preset, cfg, negative)
        cost = describe_cost(preset, cfg)
        say(cost, cls.hidden.unique_id)
        make = streaming if preset.streams else dense
        return io.NodeOutput(*make(model, preset, info, positive, negative), cost)


def dense(model, preset: Quality, info: WorldInfo, positive: list, negative: list | None) -> tuple:
    """(guider, sampler, sigmas): core's euler over the released levels, guided as far as the preset says."""
    sigmas = released_schedule(preset.steps, info.sampling.shift)
    guider = EarlyGuider(model, lowest_guided(sigmas, preset.guided))
    guider.inner_set_conds({"positive": positive} if negative is None else {"positive": positive, "negative": negative})
    guider.set_cfg(info.sampling.cfg)
    return guider, comfy.samplers.sampler_object("euler"), sigmas


def streaming(model, preset: Quality, info: WorldInfo, positive: list, negative: list | None) -> tuple:
    """(guider, sampler, sigmas) of the streaming sampler's node; the student has its guidance inside."""
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": positive})
    return guider, *SanaWMStreamingSampler.execute().args


def check_variant(preset: Quality, info: WorldInfo) -> None:
    """ConfigError unless the preset is for this kind of model."""
    if info.variant not in preset.variants:
        others = " or ".join(name for name, other in QUALITIES.items() if info.variant in other.variants)
        raise ConfigError(
            f"quality {preset.name} needs a {' or '.join(preset.variants)} model, got {info.name}, which is "
            f"{info.variant}; choose {others}, or load another model"
        )


def check_negative(preset: Quality, cfg: float, negative: list | None) -> None:
    """ConfigError if guidance has nothing to guide away from."""
    if preset.guided and cfg != 1 and negative is None:
        raise ConfigError(
            f"quality {preset.name} guides (cfg {cfg:g}) and needs a negative conditioning, got none; connect negative of "
            "SANA-WM Image to Video"
        )


NODES = [SanaWMQuality]
