"""Captions of clips: what the ground, the sky and the time of day are, in a few sentence forms, sometimes left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wm_core.tiny_world import GROUNDS, SKIES, TIMES

EMPTY = 0.1  # share of the clips without words: what guidance and an empty prompt need
LEFT_OUT = 0.15  # share of the words that a caption does not mention
_GROUND = ("{} ground", "a {} ground", "{} floor", "the floor is {}")
_SKY = ("{} sky", "a {} sky", "under a {} sky", "the sky is {}")
_TIME = {
    "day": ("day", "at day", "daylight", "it is day"),
    "dusk": ("dusk", "at dusk", "evening light", "it is dusk"),
    "night": ("night", "at night", "darkness", "it is night"),
}


def write_caption(rng: np.random.Generator, words: Mapping[str, str], told: Sequence[str] = ()) -> str:
    """A caption for words {"ground", "sky", "time"}; "" in one of ten. Those of `told` are never left out."""
    if rng.random() < EMPTY and not told:
        return ""
    forms = {"ground": _GROUND, "sky": _SKY, "time": _TIME[words["time"]]}
    parts = [
        str(rng.choice(forms[name])).format(words[name])
        for name in rng.permutation(list(forms))
        if rng.random() >= LEFT_OUT or name in told
    ]
    return ", ".join(parts)


def every_part() -> list[str]:
    """Every part a caption can have: the text from which the tokenizer is made."""
    parts = [form.format(word) for form in _GROUND for word in GROUNDS]
    parts += [form.format(word) for form in _SKY for word in SKIES]
    return parts + [form for word in TIMES for form in _TIME[word]]
