"""What is asked of a case, and the row that answers it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .devices import is_there, unit, why_missing
from .measure import ALIKE, GPU_ALIKE, SIDES, Case, Times, alternate, extra_memory
from .rows import Row


@dataclass(frozen=True)
class Question:
    """A case, what is asked of it and the ratio that is wanted. needs: a module without which it cannot be answered."""

    what: str
    kind: str  # time, memory, or slope: memory against the same case with fewer frames
    goal: float
    case: Case
    fewer_frames: int = 0
    quick: bool = False
    needs: str = ""

    @property
    def unanswered(self) -> Row:
        return Row(self.what, unit(self.case.device) if self.kind == "time" else "MiB", self.goal)


def answer(question: Question) -> Row:
    """Measure; RuntimeError when the sides do not compute the same."""
    case, row = question.case, question.unanswered
    if not is_there(case.device):
        return row
    missing = why_missing(question.needs) if question.needs else ""
    if missing:
        return replace(row, beside=missing)
    if question.kind == "time":
        return _timed(row, case, alternate(case))
    amounts = alternate(case).peaks if case.on_gpu else [extra_memory(case, side) for side in SIDES]
    if question.kind == "slope" and None not in amounts:
        fewer = Case(case.build, {**case.settings, "frames": question.fewer_frames})
        amounts = [amount - extra_memory(fewer, side) for amount, side in zip(amounts, SIDES)]
    return replace(row, theirs=amounts[0], ours=amounts[1])


def _timed(row: Row, case: Case, times: Times) -> Row:
    if times.difference is not None and not times.difference <= (GPU_ALIKE if case.on_gpu else ALIKE):
        raise RuntimeError(f"the results differ by {times.difference:.1e}, the times mean nothing")
    return replace(
        row,
        theirs=times.theirs,
        ours=times.ours,
        difference=times.difference,
        tflops=times.tflops,
        share=case.ceilings.roof(times.work) / times.ours,
        peak=times.peaks[1],
        beside="" if times.difference is not None else "not the same arithmetic",
    )


def answers(questions: Iterable[Question], refusals: list[str]) -> Iterator[Row]:
    """A row for each; where a side fails or both differ it is not measured, and the reason goes to `refusals`."""
    for question in questions:
        try:
            row = answer(question)
        except Exception as error:  # noqa: BLE001 (also other people's kernels fail: the next rows can be measured)
            refusals.append(f"{question.what}: {type(error).__name__}: {error}")
            print(refusals[-1], file=sys.stderr, flush=True)
            row = question.unanswered
        yield row
