"""A refinement inside the host: block by block onto the disk, decoded as it comes, gone on with after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import comfy.model_management as management
import comfy.utils
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..wm_core.camera import CameraPath
from ..wm_core.config import RefinerRecipe
from ..wm_core.rollout import (
    FILM,
    RefinedKey,
    VideoWriter,
    find_refined,
    fingerprint_latents,
    finish,
    load_blocks,
    save_block,
    write_refined_sidecar,
)
from ..wm_core.sampling.noise import refiner_noise
from ..wm_core.sampling.refining import block_spans, refine
from .bridge import announce, say
from .native_refiner import host_refiner_stage, planned_memory, refiner_of, release
from .place import REFINED, Place, new_place, places
from .rolling import EVENT, PREVIEW_SIDE
from .stages import decode_arriving, fingerprint_patches, own_vae


@dataclass(frozen=True, eq=False)
class Work:
    """One refinement: latents (1, c, t, h, w) of stage 1, context (1, l, c) of the prompt, latent frames to refine."""

    refiner: object
    vae: object | None
    latents: Tensor
    context: Tensor
    recipe: RefinerRecipe
    frames: range
    fps: float
    seed: int
    node: str | None
    camera: CameraPath | None = None  # of the frames, if stage 1's session knows it

    @cached_property
    def key(self) -> RefinedKey:
        net = refiner_of(self.refiner)
        return RefinedKey(
            refiner=net.fingerprint + fingerprint_patches(self.refiner.patches),
            draft=fingerprint_latents(self.latents),
            prompt=fingerprint_latents(self.context),
            recipe=self.recipe,
            seed=self.seed,
            fps=self.fps,
            frames=(self.frames.start, self.frames.stop),
        )


def carry_out(work: Work, prefix: str, resumes: bool, metadata: dict[str, str]) -> tuple[Place, Tensor]:
    """The place and the whole clip, refined frames in their places. On any stop what is finished stays."""
    key, size = work.key, (0, 0)
    known = [place.folder for place in places(prefix, size, REFINED)] if resumes else []
    found = find_refined(known, key)
    place = Place(found, REFINED) if found else new_place(prefix, size, REFINED)
    done = load_blocks(place.folder, key) if found else []
    spans = block_spans(work.frames, work.recipe.block)
    clip = work.latents.clone()
    if len(done) == len(spans) and (work.vae is None or _has_film_of(place, work)):
        for span, block in zip(spans, done):
            clip[:, :, span.start : span.stop] = block
        say(f"{place.folder.name} was finished before; nothing was made again", work.node)
        return place, clip
    progress = Progress(work, place, len(spans), len(done))
    with progress.telling(), place.nothing_half_done():
        pieces = _pieces(work, place, key, spans, done, clip, progress)
        if work.vae is None:
            for _ in pieces:
                pass
        else:
            _film(work, place, pieces, progress, metadata)
    say(_finished(place, work, len(spans), len(done)), work.node)
    return place, clip


def _finished(place: Place, work: Work, total: int, earlier: int) -> str:
    before = f", {earlier} of them in an earlier run" if earlier else ""
    kept = place.folder.name if work.vae is None else f"{place.video.name}, its blocks in {place.folder.name}"
    return f"{total} blocks refined{before}: {kept}. Stage 1 is unchanged"


def _pieces(
    work: Work, place: Place, key: RefinedKey, spans: list[range], done: list[Tensor], clip: Tensor, progress: Progress
) -> Iterator[Tensor]:
    """The clip's latents in order, each block once it is refined and on the disk. clip is filled on the way."""
    yield work.latents[:, :, : work.frames.start]
    if len(done) == len(spans):
        blocks: Iterator[tuple[range, Tensor]] = zip(spans, done)
    else:
        blocks = _refined(work, done, progress)
    try:
        for i, (span, block) in enumerate(blocks):
            if i >= len(done):
                save_block(place.folder, key, i, block)
            clip[:, :, span.start : span.stop] = block.to(clip)
            progress.blocks = max(progress.blocks, i + 1)
            yield block
    finally:
        release(work.refiner)
    if work.frames.stop < work.latents.shape[2]:
        yield work.latents[:, :, work.frames.stop :]


def _refined(work: Work, done: list[Tensor], progress: Progress) -> Iterator[tuple[range, Tensor]]:
    grid = (work.recipe.sink + len(work.frames), *work.latents.shape[3:])
    memory = planned_memory(work.refiner, work.recipe, grid, work.context.shape[1])
    stage, device = host_refiner_stage(work.refiner, memory), work.refiner.load_device
    if not memory.window_is_on_device:
        say(f"the window of {memory.window / 1e9:.1f} GB rests in the computer's memory", work.node)
    draw = lambda start, shape: refiner_noise(work.seed, start, shape)
    latents = work.latents.to(device)
    with torch.no_grad():
        prompt = stage.prompt_keys(work.context)
    blocks = refine(
        stage, latents, prompt, draw, fps=work.fps, recipe=work.recipe, frames=work.frames,
        done=[block.to(device) for block in done], on_step=progress.step,
    )  # fmt: skip
    for span, block in blocks:
        yield span, block.cpu()


def _film(work: Work, place: Place, pieces: Iterator[Tensor], progress: Progress, metadata: dict[str, str]) -> None:
    """Decode what arrives into a film that grows; when it is whole, it becomes the video beside the folder."""
    place.folder.mkdir(parents=True, exist_ok=True)
    film, writer = place.folder / FILM, None
    for frames in decode_arriving(work.vae, pieces):
        writer = writer or VideoWriter(film, frames.shape[1:3], work.fps)
        begin = writer.frames
        writer.append(frames)
        about = {"node": work.node, "frames": [begin, writer.frames], "fps": work.fps, "file": place.file(FILM)}
        announce(EVENT, about)
        progress.show(frames[-1])
    finish(film, place.video, metadata)
    film.unlink(missing_ok=True)
    vae = own_vae(work.vae).fingerprint
    write_refined_sidecar(
        place.video.with_suffix(".json"), place.video.name, work.key, vae=vae, frames=writer.frames, size=writer.size,
        camera=work.camera,
    )  # fmt: skip


def _has_film_of(place: Place, work: Work) -> bool:
    """Whether the video is there, decoded with this very VAE."""
    try:
        told = json.loads(place.video.with_suffix(".json").read_text())
        return place.is_finished and told["vae"] == own_vae(work.vae).fingerprint
    except (OSError, ValueError, KeyError):
        return False


class Progress:
    """What the user sees of a refinement: one bar, the last frame, and how to go on after a stop."""

    def __init__(self, work: Work, place: Place, total: int, done: int) -> None:
        self.work, self.place, self.total, self.blocks = work, place, total, done
        steps = len(work.recipe.sigmas) - 1
        self.bar, self.steps = comfy.utils.ProgressBar(total * steps), done * steps

    def step(self, index: int, x: Tensor) -> None:
        self.steps += 1
        self.bar.update_absolute(self.steps)

    def show(self, frame: NDArray) -> None:
        """A frame (h, w, 3) uint8 as the node's preview."""
        self.bar.update_absolute(self.steps, preview=("JPEG", Image.fromarray(frame.copy()), PREVIEW_SIDE))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say what is kept and how to go on, whatever stops the work, and let it pass."""
        try:
            yield
        except BaseException as error:
            words = [f"stage 1 is untouched; {self.blocks} of {self.total} refined blocks are kept"]
            if isinstance(error, management.OOM_EXCEPTION):
                words.append(
                    "out of memory: load the refiner with fewer resident_blocks or as fp8, or start ComfyUI with --lowvram"
                )
            if self.blocks:
                words.append(f"queue again to go on in {self.place.folder.name}")
            say("; ".join(words), self.work.node)
            raise
