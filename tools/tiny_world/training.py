"""What every training stage shares: a budget of minutes, a log, a checkpoint to go on from, and falling learning rates."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .muon import Muon
from .settings import Rates, Settings

Step = Callable[[], dict[str, Tensor]]  # learns once; scalars that it noted, which nobody waits for
Look = Callable[[], dict[str, float]]  # scores on held-out clips

SAVE_SECONDS = 120.0
LOOK_SECONDS = 300.0
WARM_UP = 30  # steps
LAST_RATE = 0.01  # of the first
CLIP_NORM = 1.0
CRAMPED = 16  # a weight with fewer rows or columns is not for Muon


class Stage:
    """A stage between its first and its last minute.

    modules: name -> module, all saved; trained: the parameters that learn. `minutes` more minutes are trained, `of` is the
    length of the whole schedule (None: it ends with these minutes). plain: parameters that Adam takes whatever their shape.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: Settings,
        modules: dict[str, nn.Module],
        trained: Iterable[nn.Parameter],
        rates: Rates,
        minutes: float,
        of: float | None = None,
        *,
        plain: Iterable[nn.Parameter] = (),
    ) -> None:
        self.name, self.folder, self.modules, self.rates = name, folder, modules, rates
        trained, plain = list(trained), {id(p) for p in plain}
        muon = [p for p in trained if p.ndim >= 2 and min(p.flatten(1).shape) >= CRAMPED and id(p) not in plain]
        chosen = {id(p) for p in muon}
        adam = [p for p in trained if id(p) not in chosen]
        self.trained = trained
        self.optimizers = {
            "muon": Muon(muon, rates.muon),
            "adam": torch.optim.Adam(adam, rates.adam, betas=(0.9, 0.98)),
        }
        self.step, self.spent = 0, 0.0
        self._noted: dict[str, list[Tensor]] = {}
        if self.file.is_file():
            self._load()
        self.begun = self.saved = time.perf_counter()
        self.until = self.spent + 60 * minutes
        self.whole = 60 * of if of else self.until
        self.log({"event": "begin", "minutes": minutes, "of": of, "threads": torch.get_num_threads()})
        self.log({"event": "config", "seed": settings.seed, "config": json.loads(settings.source)})

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pt"

    @property
    def seconds(self) -> float:
        """Trained so far, over all runs."""
        return self.spent + time.perf_counter() - self.begun

    @property
    def progress(self) -> float:
        return min(1.0, self.seconds / self.whole)

    def train(self, step: Step, look: Look, look_seconds: float = LOOK_SECONDS) -> None:
        """Steps until the minutes are over. Now and then the means of what they return are logged with what `look` finds."""
        looked = self.begun = self.saved = time.perf_counter()  # what was loaded or rendered until now does not count
        while self.seconds < self.until:
            for name, value in step().items():
                self._noted.setdefault(name, []).append(value)
            now = time.perf_counter()
            if now - self.saved > SAVE_SECONDS:
                self.save()
            if now - looked > look_seconds:
                self.log(self._means() | look())
                looked = time.perf_counter()

    def end(self, look: Look) -> None:
        """After the last step of a run."""
        self.save()
        self.log({"event": "end"} | self._means() | look())

    def not_counted(self, seconds: float) -> None:
        """Time that was not training."""
        self.begun += seconds

    def _means(self) -> dict[str, float]:
        """Of what the steps noted since the last call."""
        noted, self._noted = self._noted, {}
        return {name: torch.stack(values).mean().item() for name, values in noted.items()}

    def rate(self) -> float:
        """Share of the first learning rate: warm-up, constant, cosine."""
        fall = max(0.0, (self.progress - self.rates.hold) / (1 - self.rates.hold))
        cosine = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fall))
        return min(1.0, (self.step + 1) / WARM_UP) * cosine

    def learn(self, loss: Tensor) -> Tensor:
        """One step down the loss; the norm of its gradient."""
        loss.backward()
        return self.descend()

    def descend(self) -> Tensor:
        """One step down the gradients that are there; their norm."""
        norm = nn.utils.clip_grad_norm_(self.trained, CLIP_NORM)
        rate = self.rate()
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = getattr(self.rates, name) * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return norm

    def log(self, values: dict) -> None:
        """One line to the stage's JSONL and to the terminal."""
        self.folder.mkdir(parents=True, exist_ok=True)
        row = {"stage": self.name, "step": self.step, "seconds": round(self.seconds if self.step else self.spent, 1)}
        row |= {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        with (self.folder / f"{self.name}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if values.get("event") != "config":
            print(json.dumps(row), flush=True)

    def save(self) -> None:
        """The checkpoint, whole or not at all."""
        self.saved = time.perf_counter()
        content = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "spent": self.seconds,
        }
        part = self.file.with_suffix(".part")
        torch.save(content, part)
        os.replace(part, self.file)

    def _load(self) -> None:
        content = torch.load(self.file, weights_only=True, map_location="cpu")
        for name, module in self.modules.items():
            module.load_state_dict(content["modules"][name])
        for name, optimizer in self.optimizers.items():
            if content["optimizers"]:  # none beside weights that came from exported files
                optimizer.load_state_dict(content["optimizers"][name])
        self.step, self.spent = content["step"], content["spent"]


def load_modules(file: Path, modules: dict[str, nn.Module]) -> None:
    """The weights of a finished stage's checkpoint."""
    content = torch.load(file, weights_only=True, map_location="cpu")
    for name, module in modules.items():
        module.load_state_dict(content["modules"][name])
