"""Rolling generation: a world that goes on chunk by chunk, is saved as it comes, and can be stopped, resumed and branched."""

from __future__ import annotations

import torch
from comfy_api.latest import InputImpl, io, ui

from ..wm_core.camera import CameraPath, fit_crop
from ..wm_core.config import RELEASED_REFINING
from ..wm_core.errors import ConfigError
from ..wm_core.rollout import FILM, Plan, Prompt, Recipe, Session, given_path, open_session, read_last_frame
from ..wm_core.shapes import Stride, snap_frames
from .bridge import cropped, image_of, say
from .compat import advanced, check_choice
from .native import counted_tokens, world_info
from .native_refiner import release
from .place import Place, unfinished
from .rolling import Order, roll, session_of, video_metadata
from .second_stage import AUTO, OFF, OVERLAPS, fit_together, refiner_inputs, second_stage, with_context
from .stages import host_stages
from .stream import STEPS, parse_levels, recipe_inputs
from .types import Camera, RolloutSession

CATEGORY = "SANA-WM/rollout"
RESUME = ["auto", "never"]
FOLLOWS, WHOLE = "what follows", "the whole film"


class SanaWMGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SanaWMGenerate",
            display_name="SANA-WM Generate",
            category=CATEGORY,
            description="A video of any length, made chunk by chunk with the streaming model and saved as it grows. Stop it "
            "whenever you like: queue the same graph again and it goes on.",
            inputs=[
                io.Model.Input("model", tooltip="The streaming model, with LoRAs if you like."),
                io.Vae.Input("vae", tooltip="The causal LTX-2 video VAE of the streaming release."),
                io.Conditioning.Input("positive", tooltip="One prompt: what the scene looks like."),
                Camera.Input("camera", tooltip="Where the camera goes. Held at its end if the video is longer."),
                seed_input("A chunk's noise depends on this and on its number only."),
                io.Int.Input(
                    "length",
                    default=241,
                    min=1,
                    max=1000001,
                    step=24,
                    tooltip="Frames of the video, 16 a second; goes to the nearest 24k + 1. 961 is a minute.",
                ),
                io.Int.Input("width", default=1280, min=32, max=8192, step=32, tooltip="Pixels, a multiple of 32."),
                io.Int.Input("height", default=704, min=32, max=8192, step=32, tooltip="Pixels, a multiple of 32."),
                *_output_inputs(),
                io.Image.Input("image", optional=True, tooltip="First frame. Resized to cover the video and cut."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="In place of a picture: its first latent frame is the first frame, its size that of the video.",
                ),
                io.Conditioning.Input("negative", optional=True, tooltip="Read when cfg is not 1."),
                *_recipe_inputs(),
                *refiner_inputs(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, save_prefix=None, resume="auto", **_):
        return unfinished(save_prefix) if resume == "auto" and save_prefix else None

    @classmethod
    def execute(
        cls, model, vae, positive, camera, seed, length, width, height, save_prefix, resume,
        image=None, latent=None, negative=None, cfg=1.0, timesteps=STEPS, chunk=3, window=2, sink=True,
        refiner=None, refiner_positive=None, start_sigma=RELEASED_REFINING.sigmas[0], overlap=OFF,
    ):  # fmt: skip
        check_choice("resume", resume, RESUME)
        check_choice("overlap", overlap, OVERLAPS)
        _advise(model, cls.hidden.unique_id)
        recipe = Recipe(tuple(parse_levels(timesteps).tolist()), cfg, chunk, window, sink)
        first, device = _first_latent(vae, image, latent, (height, width)), model.load_device
        refining = RELEASED_REFINING.starting_at(start_sigma)
        prompt = with_context(prompt_of(positive, negative, cfg), refiner, refiner_positive)
        second = second_stage(refiner, refining, chunk, first, prompt, cls.hidden.unique_id)
        stages = host_stages(model, vae, second)
        session = open_session(stages, first.to(device), recipe, refining=refining, fps=camera.fps)
        chunks = _chunks(length, recipe, stages.stride, cls.hidden.unique_id)
        path = camera.cropped(fit_crop(camera.size, session.size)).with_length(session.span(chunks - 1)[1])
        return _made(
            cls,
            Order(
                stages=stages,
                plan=Plan(prompt, given_path(path), chunks, seed),
                session=session,
                keep=0,
                film=None,
                fps=path.fps,
                prefix=save_prefix,
                resumes=resume == "auto",
                device=device,
                node=cls.hidden.unique_id,
                metadata=video_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo),
                overlaps=overlap == AUTO and fit_together(model, vae, refiner, second, (*first.shape[:2], chunk + 1, *first.shape[3:])),
            ),
            refiner,
        )


class SanaWMExtend(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        after = io.Int.Input(
            "from_chunk",
            default=-1,
            min=-1,
            max=100000,
            tooltip="How many chunks to keep. -1: all. Fewer: a branch from there, which leaves what it came from untouched.",
        )
        return io.Schema(
            node_id="SanaWMExtend",
            display_name="SANA-WM Extend",
            category=CATEGORY,
            description="Go on with a rollout: more frames, another way for the camera, another prompt or seed from some chunk "
            "on. Makes a new video that begins with the old one's frames.",
            inputs=[
                RolloutSession.Input("session", tooltip="From Generate, Extend or Load Session."),
                io.Model.Input("model", tooltip="The model that the session was made with."),
                io.Vae.Input("vae", tooltip="The VAE that the session was made with."),
                Camera.Input("camera", tooltip="Where the camera goes now; see camera_is."),
                io.Combo.Input(
                    "camera_is",
                    options=[FOLLOWS, WHOLE],
                    default=FOLLOWS,
                    tooltip="what follows: the path begins where the kept frames end. the whole film: it begins at frame 0 and "
                    "must be the old one up to there, as when later keyframes were edited.",
                ),
                seed_input("Of the chunks that are made now."),
                io.Int.Input(
                    "length",
                    default=120,
                    min=24,  # the frontend rounds to whole steps from here, so multiples of 24 stay what they are
                    max=1000000,
                    step=24,
                    tooltip="How many frames more; goes to the nearest multiple of 24.",
                ),
                *_output_inputs(),
                io.Conditioning.Input("positive", optional=True, tooltip="Another prompt from here on. Without: the last one."),
                io.Conditioning.Input("negative", optional=True, tooltip="Read when the session was made with a cfg above 1."),
                advanced(after),
                *refiner_inputs()[:2],
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, save_prefix=None, resume="auto", **_):
        return unfinished(save_prefix) if resume == "auto" and save_prefix else None

    @classmethod
    def execute(
        cls, session, model, vae, camera, camera_is, seed, length, save_prefix, resume,
        positive=None, negative=None, from_chunk=-1, refiner=None, refiner_positive=None,
    ):  # fmt: skip
        check_choice("resume", resume, RESUME)
        check_choice("camera_is", camera_is, [FOLLOWS, WHOLE])
        old = session_of(session, model.load_device)
        keep = old.chunks if from_chunk < 0 else from_chunk
        if keep > old.chunks:
            raise ConfigError(f"from_chunk must be at most the {old.chunks} chunks that are finished, got {from_chunk}")
        step = old.recipe.chunk * old.stride.t
        chunks = keep + max(1, round(length / step))
        path = _extended_path(old, keep, camera, camera_is).with_length(old.span(chunks - 1)[1])
        prompt = _prompt_from(old, keep, positive, negative)
        if refiner_positive is not None or (old.refiner and prompt.context is None):
            prompt = with_context(prompt, refiner, refiner_positive)
        refining = old.refiner.recipe if old.refiner else RELEASED_REFINING
        second = second_stage(refiner, refining, old.recipe.chunk, old.first, prompt, cls.hidden.unique_id)
        return _made(
            cls,
            Order(
                stages=host_stages(model, vae, second),
                plan=Plan(prompt, given_path(path), chunks, seed),
                session=old,
                keep=keep,
                film=session.folder / FILM,
                fps=path.fps,
                prefix=save_prefix,
                resumes=resume == "auto",
                device=model.load_device,
                node=cls.hidden.unique_id,
                metadata=video_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo),
            ),
            refiner,
        )


def prompt_of(positive: list, negative: list | None = None, cfg: float = 1.0) -> Prompt:
    """The one prompt of a CONDITIONING, the tokens that count; `negative` under guidance only."""
    if cfg == 1.0:
        return Prompt(_tokens(positive))
    if negative is None:
        raise ConfigError(f"cfg {cfg:g} needs a negative prompt; connect an empty one, or set cfg to 1")
    return Prompt(_tokens(positive), negative=_tokens(negative))


def _tokens(conditioning: list) -> torch.Tensor:
    if len(conditioning) != 1:
        raise ConfigError(f"a rollout takes one prompt at a time, got {len(conditioning)}; do not combine conditionings")
    text, extra = conditioning[0]
    return counted_tokens(text, extra.get("attention_mask"))


def _prompt_from(session: Session, keep: int, positive: list | None, negative: list | None) -> Prompt:
    if positive is not None:
        return prompt_of(positive, negative, session.recipe.cfg)
    if not session.chunks:
        raise ConfigError("the session has no finished chunk and so no prompt; connect one to positive")
    return session.prompt_of(max(0, keep - 1))


def _extended_path(session: Session, keep: int, camera: CameraPath, camera_is: str) -> CameraPath:
    following = camera.cropped(fit_crop(camera.size, session.size))
    if camera_is == WHOLE or not keep:
        return following
    return session.camera.slice(0, session.span(keep - 1)[1]).then(following)


def _first_latent(vae, image, latent: dict | None, size: tuple[int, int]) -> torch.Tensor:
    """The given frame, (1, c, 1, h, w)."""
    if (image is None) == (latent is None):
        raise ConfigError("give the first frame once: connect image or latent, " + ("got both" if latent else "got neither"))
    if latent is not None:
        return latent["samples"][:1, :, :1]
    return vae.encode(cropped(image, fit_crop(tuple(image.shape[1:3]), size)))[:, :, :1]


def _chunks(length: int, recipe: Recipe, stride: Stride, node: str | None) -> int:
    step = recipe.chunk * stride.t
    frames = max(step + 1, snap_frames(length, multiple=step))
    if frames != length:
        say(f"{length} frames became {frames}, the nearest {step}k + 1", node)
    return (frames - 1) // step


def _advise(model, node: str | None) -> None:
    variant = world_info(model).variant
    if variant != "streaming":
        say(f"the model is {variant}: only the streaming one was made for a few steps without guidance", node)


def _made(cls, order: Order, refiner) -> io.NodeOutput:
    try:
        rollout = roll(order)
    finally:
        if refiner is not None:
            release(refiner)
    place = Place(rollout.folder)
    return io.NodeOutput(
        InputImpl.VideoFromFile(str(place.video)),
        {"samples": rollout.session.shown},
        rollout,
        image_of(read_last_frame(rollout.folder)),
        {"samples": rollout.session.latents},
        rollout.session.camera.with_length(rollout.session.frames),
        ui=ui.PreviewVideo([place.shown]),
    )


def seed_input(what: str) -> io.Input:
    """A seed that stays as it is: one that changes after every queue would leave nothing to resume."""
    tooltip = f"{what} It stays as it is when you queue, so that a stopped run can go on."
    return io.Int.Input("seed", default=42, min=0, max=2**63 - 1, control_after_generate=False, tooltip=tooltip)


def _output_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "save_prefix",
            default="video/SanaWM",
            tooltip="Name of the video below the output folder; a number is added. May name a subfolder.",
        ),
        io.Combo.Input(
            "resume",
            options=RESUME,
            default="auto",
            tooltip="auto: go on with a rollout of this name that begins the same way, stopped or finished. never: begin anew.",
        ),
    ]


def _recipe_inputs() -> list[io.Input]:
    cfg = io.Float.Input(
        "cfg", default=1.0, min=0.0, max=30.0, step=0.1, tooltip="1 for the streaming model, which needs no guidance."
    )
    return [advanced(cfg), *recipe_inputs()]


def _outputs() -> list[io.Output]:
    return [
        io.Video.Output(display_name="video"),
        io.Latent.Output(display_name="latent"),
        RolloutSession.Output(display_name="session"),
        io.Image.Output(display_name="last_frame"),
        io.Latent.Output(display_name="draft", tooltip="What stage 1 made; the same as latent without a refiner."),
        Camera.Output(display_name="camera", tooltip="The camera as it was followed: cut or held to the video's length."),
    ]


NODES = [SanaWMGenerate, SanaWMExtend]
