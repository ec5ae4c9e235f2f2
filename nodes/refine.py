"""The second stage as a node: a draft in, a watchable clip out, block by block, kept on the disk as it comes."""

from __future__ import annotations

from comfy_api.latest import InputImpl, io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..wm_core.config import RefinerRecipe
from ..wm_core.errors import ConfigError, ShapeError
from ..wm_core.sampling.refining import check_frames
from .compat import advanced, check_choice
from .generate import RESUME, seed_input
from .native_refiner import refiner_of
from .place import REFINED, unfinished
from .refining import Work, carry_out
from .rolling import video_metadata
from .second_stage import context_of, strength_input
from .stages import own_vae
from .types import OpenRollout, RolloutSession

BLOCKS, SINGLE_SHOT = "block by block", "single shot"
NO_VAE = "SANA-WM Refine was given no VAE, so it has no video; connect one, or decode its latent"


class SanaWMRefine(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMRefine",
            display_name="SANA-WM Refine",
            category="SANA-WM/refiner",
            description="Sharpen what stage 1 made with the LTX-2 refiner. The draft is left as it is; stop whenever you "
            "like, queue the same graph again and it goes on.",
            inputs=[
                io.Model.Input("refiner", tooltip="From Load LTX-2 Refiner."),
                io.Conditioning.Input("positive", tooltip="The prompt, encoded with the refiner's own CLIP."),
                io.MultiType.Input(
                    "draft",
                    [io.Latent, RolloutSession],
                    tooltip="What stage 1 made: a latent, or a session of Generate.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=0.0,
                    max=120.0,
                    step=1.0,
                    tooltip="Frames per second, which the refiner reads as time. SANA-WM's videos have 16. 0: the session's.",
                ),
                io.Combo.Input(
                    "mode",
                    options=[BLOCKS, SINGLE_SHOT],
                    default=BLOCKS,
                    tooltip="block by block: 3 latent frames at a time with 11 in view, as trained, in memory that does not "
                    "grow. single shot: the whole clip at once, for short ones; memory grows with its length.",
                ),
                strength_input(),
                seed_input("Of the noise that covers the draft."),
                io.String.Input(
                    "save_prefix",
                    default="video/SanaWM_refined",
                    tooltip="Name of the work's folder and video below the output folder; a number is added.",
                ),
                io.Combo.Input(
                    "resume",
                    options=RESUME,
                    default="auto",
                    tooltip="auto: go on with a refinement of this name that has the same inputs. never: begin anew.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The LTX-2 video VAE, for a video. Without: a latent only."),
                *_range_inputs(),
                *_window_inputs(),
            ],
            outputs=[io.Latent.Output(display_name="latent"), io.Video.Output(display_name="video")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, save_prefix=None, resume="auto", **_):
        return unfinished(save_prefix, REFINED) if resume == "auto" and save_prefix else None

    @classmethod
    def execute(
        cls, refiner, positive, draft, fps, mode, start_sigma, seed, save_prefix, resume,
        vae=None, first_frame=0, last_frame=-1, block=3, sink=1, window=11,
    ):  # fmt: skip
        check_choice("mode", mode, [BLOCKS, SINGLE_SHOT])
        check_choice("resume", resume, RESUME)
        recipe = RefinerRecipe(block=0 if mode == SINGLE_SHOT else block, sink=sink, window=window)
        latents = _latents(draft)
        _check_vae(refiner, vae, latents, draft)
        work = Work(
            refiner=refiner,
            vae=vae,
            latents=latents,
            context=context_of(refiner, positive, "positive"),
            recipe=recipe.starting_at(start_sigma),
            frames=_frames(latents, recipe, first_frame, last_frame, _stride(vae, draft)),
            fps=_fps(draft, fps),
            seed=seed,
            node=cls.hidden.unique_id,
            camera=draft.session.camera if isinstance(draft, OpenRollout) else None,
        )
        place, refined = carry_out(
            work, save_prefix, resume == "auto", video_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        )
        latent = {"samples": refined}
        if vae is None:
            return io.NodeOutput(latent, ExecutionBlocker(NO_VAE))
        return io.NodeOutput(latent, InputImpl.VideoFromFile(str(place.video)), ui=ui.PreviewVideo([place.shown]))


def _latents(draft: dict | OpenRollout) -> Tensor:
    """Stage 1's latents, float32 on the CPU."""
    if isinstance(draft, OpenRollout):
        return draft.session.latents.float().cpu()
    latents = draft["samples"]
    if latents.ndim != 5 or latents.shape[0] != 1:
        raise ShapeError(
            f"draft must be one video's latent (1, c, t, h, w), got {tuple(latents.shape)}; refine the videos of a batch one by one"
        )
    return latents.float().cpu()


def _fps(draft: dict | OpenRollout, fps: float) -> float:
    if fps > 0:
        return fps
    if isinstance(draft, OpenRollout) and draft.session.camera is not None:
        return draft.session.camera.fps
    raise ConfigError(f"fps must be positive, got {fps:g}, and a latent has none of its own; SANA-WM's videos have 16")


def _stride(vae, draft: dict | OpenRollout) -> int:
    """Pixel frames of one latent."""
    if isinstance(draft, OpenRollout):
        return draft.session.stride.t
    return own_vae(vae).config.stride.t if vae is not None else 8


def _frames(latents: Tensor, recipe: RefinerRecipe, first: int, last: int, stride: int) -> range:
    """The latent frames that show pixel frames first to last, behind the sink; last -1 is the clip's last."""
    check_frames(latents, recipe)
    total = latents.shape[2]
    if first < 0 or last < -1 or (last != -1 and last < first):
        raise ConfigError(f"first_frame must be at least 0 and last_frame -1 or not before it, got {first} and {last}")
    shows = lambda frame: (frame + stride - 1) // stride  # the latent frame that a pixel frame comes from
    stop = total if last == -1 else min(total, shows(last) + 1)
    start = max(recipe.sink, shows(first))
    if last != -1 and last < (recipe.sink - 1) * stride + 1:
        raise ConfigError(
            f"frames {first} to {last} lie in the sink of {recipe.sink} latent frames, which stays as it is; choose a last_frame "
            f"of at least {(recipe.sink - 1) * stride + 1}"
        )
    if start >= total:
        frames = (total - 1) * stride + 1
        raise ConfigError(f"first_frame must be one of the clip's {frames}, got {first}; the first is 0")
    return check_frames(latents, recipe, range(start, stop))


def _check_vae(refiner, vae, latents: Tensor, draft: dict | OpenRollout) -> None:
    """Latents of another VAE are told by their channels, and by the fingerprint in a session."""
    wanted = refiner_of(refiner).config.in_channels
    got = latents.shape[1]
    if got != wanted:
        raise ShapeError(
            f"the refiner reads latents of {wanted} channels, got {got}; refine what the LTX-2 video VAE of SANA-WM encodes"
        )
    if vae is None:
        return
    own = own_vae(vae)
    if own.config.latent_channels != wanted:
        raise ConfigError(
            f"vae has {own.config.latent_channels} latent channels, the refiner {wanted}; load the LTX-2 VAE"
        )
    made = draft.session.vae if isinstance(draft, OpenRollout) else None
    if made is not None and made != own.fingerprint:
        raise ConfigError(
            f"the session was decoded with VAE {made}, this one is {own.fingerprint}; load the VAE it was made with"
        )


def _range_inputs() -> list[io.Input]:
    first = io.Int.Input(
        "first_frame",
        default=0,
        min=0,
        max=1000000,
        tooltip="First frame to refine; goes out to whole latents of 8 frames.",
    )
    last = io.Int.Input(
        "last_frame",
        default=-1,
        min=-1,
        max=1000000,
        tooltip="Last frame to refine; -1 is the clip's last. The rest stays.",
    )
    return [first, last]


def _window_inputs() -> list[io.Input]:
    block = io.Int.Input("block", default=3, min=1, max=64, tooltip="Latent frames refined together. 3 as trained.")
    sink = io.Int.Input(
        "sink",
        default=1,
        min=1,
        max=16,
        tooltip="Leading latent frames that all blocks see and that stay as they are. 1 as trained.",
    )
    window = io.Int.Input(
        "window",
        default=11,
        min=1,
        max=256,
        tooltip="Latent frames whose keys are kept, the sink's among them. 11 as trained.",
    )
    return [advanced(block), advanced(sink), advanced(window)]


NODES = [SanaWMRefine]
