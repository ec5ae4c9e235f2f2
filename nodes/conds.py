"""Conditions of the world model for one sampling run: what is made of prompt and camera once, and what may share a batch."""

from __future__ import annotations

from weakref import WeakSet, WeakValueDictionary

import comfy.conds
import torch
from torch import Tensor

from ..wm_core.camera import CameraConditions
from ..wm_core.dit import WorldDiT, WorldPrompt
from ..wm_core.dit.mixers import Geometry

SEQUENTIAL_TOKENS = 20_000  # from here on one branch fills the device; two at once only double the activations


_HOLDING: WeakSet[PromptOnce | CameraOnce] = WeakSet()  # what has memory of the device for a run


def forget_after(run, *arguments, **options):
    """OUTER_SAMPLE wrapper: what was made for a run goes with it. After a cancel the host keeps the run's conditionings."""
    try:
        return run(*arguments, **options)
    finally:
        for once in list(_HOLDING):
            once.forget()


class PromptOnce:
    """A prompt (1, l, c) of a run: what the model reads of it is made in the first step and gone with the run."""

    def __init__(self, text: Tensor):
        self.text = text
        self._read: tuple[tuple, WorldPrompt] | None = None

    def read(self, model: WorldDiT, like: Tensor) -> WorldPrompt:
        """In the dtype and on the device of `like`."""
        key = (id(model), like.dtype, like.device)
        if self._read is None or self._read[0] != key:
            self._read = key, model.read_prompt(self.text.to(like))
            _HOLDING.add(self)
        return self._read[1]

    def forget(self) -> None:
        self._read = None


class CameraOnce:
    """The camera of a run. Of the last frames asked for it keeps where their tokens are and their Pluecker volume, on the device."""

    def __init__(self, camera: CameraConditions):
        self.camera = camera
        self._placed: tuple[tuple, tuple[Geometry, Tensor]] | None = None

    def place(self, model: WorldDiT, camera: CameraConditions, frames: slice, like: Tensor) -> tuple[Geometry, Tensor]:
        """Of latent frames `frames`, whose conditions are `camera`, for latents `like` (b, c, t, h, w)."""
        grid = model.tokens_of(like)
        key = (frames.start, grid, like.device)
        if self._placed is None or self._placed[0] != key:
            self._placed = None  # first let go of the old one
            geometry = model.place(camera.raymap, grid, frames.start, like.device)
            self._placed = key, (geometry, camera.plucker.to(like.device))
            _HOLDING.add(self)
        return self._placed[1]

    def forget(self) -> None:
        self._placed = None


_CAMERAS: WeakValueDictionary[int, CameraOnce] = WeakValueDictionary()  # of the runs that are under way


def camera_once(camera: CameraConditions | CameraOnce) -> CameraOnce:
    """One for all conditionings of a run that have this very camera; what is one already stays it."""
    if isinstance(camera, CameraOnce):
        return camera
    found = _CAMERAS.get(id(camera))
    if found is None or found.camera is not camera:
        found = _CAMERAS[id(camera)] = CameraOnce(camera)
    return found


class CONDPrompt(comfy.conds.CONDConstant):
    """A prompt that is read once. In a batch with others it is a tuple of them, in the order of the branches."""

    def can_concat(self, other):
        return True

    def concat(self, others):
        return (self.cond, *(other.cond for other in others))


class CONDSequential(comfy.conds.CONDConstant):
    """A constant of the world model that joins no batch where one branch has more than `limit` tokens.

    tokens: of the whole latent, all of its batch; a stream whose chunks are smaller counts the whole of it too.
    """

    def __init__(self, cond, tokens: int, limit: int = SEQUENTIAL_TOKENS):
        super().__init__(cond)
        self.tokens, self.limit = tokens, limit

    def _copy_with(self, cond):
        return self.__class__(cond, self.tokens, self.limit)

    def can_concat(self, other):
        return self.tokens <= self.limit and super().can_concat(other)


def joined(prompts: list[WorldPrompt]) -> WorldPrompt:
    """Prompts of one length as a batch."""
    pairs = zip(*(prompt.blocks for prompt in prompts))
    return WorldPrompt(tuple(tuple(torch.cat(parts) for parts in zip(*pair)) for pair in pairs))
