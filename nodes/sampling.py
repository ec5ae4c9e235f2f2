"""Noise levels for the host's samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..wm_core.config import RELEASED_SAMPLING
from ..wm_core.sampling import released_schedule
from .native import world_info


class SanaWMScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMScheduler",
            display_name="SANA-WM Scheduler",
            category="SANA-WM/sampling",
            description="The released noise levels, whose low end is shifted twice. For SamplerCustomAdvanced with euler.",
            inputs=[
                io.Int.Input(
                    "steps",
                    default=RELEASED_SAMPLING.steps,
                    min=1,
                    max=1000,
                    tooltip="Model calls per guidance branch. Released: 60. Below 40 the camera is followed less closely.",
                ),
                io.Float.Input(
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip="How long to stay at high noise. 0: what the connected model was made for, 9.8 without one; "
                    "the published benchmark used 8.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Only read for the shift that its file asks for; core's ModelSampling nodes do not change it.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas")],
        )

    @classmethod
    def execute(cls, steps, shift, model=None):
        own = RELEASED_SAMPLING.shift if model is None else world_info(model).sampling.shift
        return io.NodeOutput(released_schedule(steps, shift or own))


NODES = [SanaWMScheduler]
