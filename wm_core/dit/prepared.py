"""What the model makes of a prompt and of a camera, once for all the steps that use it."""

from __future__ import annotations

from dataclasses import replace
from weakref import ref

from torch import Tensor

from .mixers import Geometry
from .model import WorldConditions, WorldDiT, WorldPrompt

PROMPTS = 2  # with guidance two take turns


class Prepared:
    """Conditions as the model reads them. The last prompts and the last camera are told by identity, and kept.

    Belongs to a stage, so to weights that do not change while it is used; the model itself remembers nothing.
    """

    def __init__(self, model: WorldDiT) -> None:
        self._model = model
        self._prompts: list[tuple[ref, Tensor | None, tuple, WorldPrompt]] = []
        self._placed: tuple[ref, tuple, Geometry] | None = None

    def __call__(self, cond: WorldConditions, x: Tensor, first_frame: int) -> WorldConditions:
        """For latents x (b, c, t, h, w) that begin at latent frame `first_frame`, in their dtype and on their device."""
        if not isinstance(cond.text, WorldPrompt):
            cond = replace(cond, text=self._prompt(cond.text, cond.text_mask, x), text_mask=None)
        if cond.raymap is None:
            return cond
        return replace(cond, geometry=self._place(cond.raymap, x, first_frame))

    def _prompt(self, text: Tensor, mask: Tensor | None, x: Tensor) -> WorldPrompt:
        key = x.dtype, x.device
        for kept, kept_mask, kept_key, prompt in self._prompts:
            if kept() is text and kept_mask is mask and kept_key == key:
                return prompt
        if mask is None or len(text) > 1:
            prompt = self._model.read_prompt(text.to(x), None if mask is None else mask.bool().to(x.device))
        else:  # padding is left out
            prompt = self._model.read_prompt(text[:, mask[0].bool()].to(x))
        self._prompts = [(ref(text), mask, key, prompt), *self._prompts][:PROMPTS]
        return prompt

    def _place(self, raymap: Tensor, x: Tensor, first_frame: int) -> Geometry:
        grid = self._model.tokens_of(x)
        key = grid, first_frame, x.device
        if self._placed is None or self._placed[0]() is not raymap or self._placed[1] != key:
            self._placed = None  # first let go of the old one
            self._placed = ref(raymap), key, self._model.place(raymap, grid, first_frame, x.device)
        return self._placed[2]
