"""The text encoder: a language model of captions that also says, from the mean of its states, what it was told."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wm_core.text import INSTRUCTION
from wm_core.text.prompts import PAD_TOKEN
from wm_core.tiny_world import GROUNDS, SKIES, TIMES

from .captions import write_caption
from .settings import Rates, Settings
from .text import (
    PIECES,
    TEXT_FILE,
    TINY_GEMMA2,
    encode_captions,
    export_text,
    gemma2,
    instruction_ids,
    make_tokenizer,
    padded,
    read_on,
    read_opening,
    tokenize_with,
)
from .training import Stage

RATES = Rates(muon=0.01, adam=0.003, hold=0.3)
BATCH = 48  # captions a step
ALONE = 0.3  # share of the steps without the instruction: what a prompt with the instruction off is like
LOOSE = 0.5  # share of the captions that are put in other words than write_caption's
PROBED = (3000, 1500)  # captions that the probe is fitted on, and those that it is tried on
UNTOLD = "untold"
KINDS = {name: (*words, UNTOLD) for name, words in (("ground", GROUNDS), ("sky", SKIES), ("time", TIMES))}
LOOK_SECONDS = 15.0
_EOS, _BOS = 1, 2
_IGNORED = -100
_TELLING = {"ground": ("ground", "floor"), "sky": ("sky",)}
_JOINTS = (", ", " and ", ". ", "; ", " ", " with ", ",\n")
_FILLERS = sorted(set(re.findall(r"[a-z]+", INSTRUCTION.lower())) - {*GROUNDS, *SKIES, *TIMES})


@dataclass(frozen=True)
class Told:
    """A caption and what it says: kind -> word or UNTOLD."""

    caption: str
    words: Mapping[str, str]


def train_text(settings: Settings, folder: Path, minutes: float, of: float | None, device: str) -> None:
    """Encoder, its next-token head and its readers; ends by probing the exported file."""
    torch.manual_seed(settings.seed + 10)
    tokenize = tokenize_with(make_tokenizer())
    encoder = gemma2(TINY_GEMMA2)
    nn.init.normal_(encoder.embed_tokens.weight, std=TINY_GEMMA2.hidden_size**-0.5)
    head = nn.Linear(TINY_GEMMA2.hidden_size, PIECES, bias=False)
    readers = nn.ModuleDict({kind: nn.Linear(TINY_GEMMA2.hidden_size, len(words)) for kind, words in KINDS.items()})
    modules = {"encoder": encoder.to(device), "head": head.to(device), "readers": readers.to(device)}
    trained = [p for module in modules.values() for p in module.parameters()]
    stage = Stage("text", folder, settings, modules, trained, RATES, minutes, of)
    rng = np.random.default_rng((settings.seed, 10, stage.step))
    openings = {True: instruction_ids(tokenize), False: (_BOS,)}

    def step() -> dict[str, Tensor]:
        instructed = bool(rng.random() >= ALONE)
        opening = read_opening(encoder, openings[instructed])
        batch = [told_caption(rng) for _ in range(BATCH)]
        texts = [(loosely(rng, told.caption) if rng.random() < LOOSE else told.caption) or "." for told in batch]
        before = INSTRUCTION if instructed else ""
        rows = [tokenize(before + text)[len(opening.ids) :] for text in texts]
        ids = padded(rows).to(device)
        states = read_on(encoder, opening, ids)
        counts = ids != PAD_TOKEN
        said = F.cross_entropy(head(states).transpose(1, 2), _next_tokens(rows).to(device), ignore_index=_IGNORED)
        mean = (opening.bos + (states * counts[..., None]).sum(1)) / (1 + counts.sum(1, keepdim=True))
        read = sum(F.cross_entropy(reader(mean), classes(kind, batch).to(device)) for kind, reader in readers.items())
        return {"norm": stage.learn(said + read), "said": said.detach(), "read": read.detach()}

    def look() -> dict[str, float]:
        """At the end only: of the exported file."""
        export_text(folder, folder / TEXT_FILE)
        return probe(folder / TEXT_FILE, settings.seed)

    stage.train(step, dict, LOOK_SECONDS)
    stage.end(look)


def told_caption(rng: np.random.Generator, *, held_out: bool = False) -> Told:
    """A caption of random words; one in ten of those with three parts is held out, and never trained on."""
    while True:
        words = {kind: str(rng.choice(names[:-1])) for kind, names in KINDS.items()}
        caption = write_caption(rng, words)
        parts = caption.split(", ") if caption else []
        if held_out == (len(parts) == 3 and zlib.crc32(caption.encode()) % 10 == 0):
            break
    told = {kind: any(end in part for part in parts for end in ends) for kind, ends in _TELLING.items()}
    told["time"] = len(parts) > sum(told.values())
    return Told(caption, {kind: word if told[kind] else UNTOLD for kind, word in words.items()})


def loosely(rng: np.random.Generator, caption: str) -> str:
    """The caption as somebody may type it: other joints, a capital, a full stop, something between that says nothing."""
    parts = caption.split(", ")
    if rng.random() < 0.5:
        strange = "".join(map(chr, rng.integers(0x21, 0xD7FF, 3)))
        filler = strange if rng.random() < 0.25 else " ".join(rng.choice(_FILLERS, rng.integers(1, 5)))
        parts.insert(int(rng.integers(len(parts) + 1)), filler)
    text = str(rng.choice(_JOINTS)).join(part for part in parts if part)
    if rng.random() < 0.5:
        text = text[:1].upper() + text[1:]
    return text + "." if rng.random() < 0.5 else text


def classes(kind: str, batch: Sequence[Told]) -> Tensor:
    """(b,) the place of each caption's word among those of its kind."""
    return torch.tensor([KINDS[kind].index(told.words[kind]) for told in batch])


def probe(file: Path, seed: int) -> dict[str, float]:
    """Share of held-out captions whose word a linear map of the mean state gives, for each kind, told or not."""
    rng = np.random.default_rng((seed, 11))
    seen, new = ([told_caption(rng, held_out=i > 0) for _ in range(n)] for i, n in enumerate(PROBED))
    x, y = (
        torch.stack([state.mean(0) for state in encode_captions(file, [t.caption for t in b])]) for b in (seen, new)
    )
    return {
        f"probe_{kind}": (fitted(x, classes(kind, seen))(y).argmax(1) == classes(kind, new)).float().mean().item()
        for kind in KINDS
    }


def mean_states(file: Path, captions: Sequence[str]) -> Tensor:
    """(n, d) the mean over the tokens of each caption."""
    return torch.stack([states.mean(0) for states in encode_captions(file, captions)])


def fitted(x: Tensor, target: Tensor) -> nn.Linear:
    """The linear classifier of x (n, d) for target (n,): logistic regression with a trace of weight decay."""
    linear = nn.Linear(x.shape[1], int(target.max()) + 1)
    nn.init.zeros_(linear.weight), nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(x), target) + 1e-5 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear


def _next_tokens(rows: Sequence[Sequence[int]]) -> Tensor:
    """(b, l) what follows each token: EOS after the last, nothing asked after that."""
    targets = padded([[*row[1:], _EOS] for row in rows])
    return targets.masked_fill(targets == PAD_TOKEN, _IGNORED)
