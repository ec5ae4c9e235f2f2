"""What the tables say: a comparison with another side, or an amount of ours beside the bound that it must keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

NOT_MEASURED = "not measured"
COMPARISON_HEAD = (
    f"{'what':<76} {'theirs':>9} {'ours':>9} {'unit':<5} {'ratio':>6} {'goal':>5}  {'reached':<12} {'differ':>6} "
    f"{'TFLOP/s':>7} {'of roof':>7} {'peak MiB':>8}  beside it"
)
LIMIT_HEAD = f"{'what':<76} {'measured':>9} {'goal':>10} {'unit':<19} {'reached':<12} beside it"


@dataclass(frozen=True)
class Row:
    """One line of the comparison; ratio = theirs / ours, None where nothing was measured.

    tflops, share, peak: of ours, a rate in TFLOP/s, the part of the device's roof, and the most memory above weights and inputs
    in MiB; None where they were not measured. beside: what else is worth knowing, or why nothing was measured.
    """

    what: str
    unit: str
    goal: float
    theirs: float | None = None
    ours: float | None = None
    difference: float | None = None  # relative RMS between the results of both sides
    tflops: float | None = None
    share: float | None = None
    peak: float | None = None
    beside: str = ""

    @property
    def ratio(self) -> float | None:
        return self.theirs / self.ours if self.theirs is not None and self.ours else None

    @property
    def verdict(self) -> str:
        return _verdict(self.ratio is not None, self.ratio is not None and self.ratio >= self.goal)

    def record(self) -> dict:
        return asdict(self) | {"ratio": self.ratio, "reached": self.verdict}

    def __str__(self) -> str:
        share = _number(self.share and 100 * self.share, ".0f")
        return (
            f"{self.what:<76} {_number(self.theirs, '.4g'):>9} {_number(self.ours, '.4g'):>9} {self.unit:<5} "
            f"{_number(self.ratio, '.2f'):>6} {self.goal:>5.2f}  {self.verdict:<12} {_number(self.difference, '.0e'):>6} "
            f"{_number(self.tflops, '.3g'):>7} {share:>5} % {_number(self.peak, '.4g'):>8}  {self.beside}"
        )


@dataclass(frozen=True)
class Limit:
    """One line of the table of limits: `measured` must not be above `goal`; None where nothing was measured.

    beside: what else is worth knowing of the measurement, not judged, or why nothing was measured.
    """

    bound: ClassVar[str] = "at most"
    what: str
    unit: str
    goal: float | None = None
    measured: float | None = None
    beside: str = ""

    def is_reached(self) -> bool:
        return self.measured <= self.goal

    @property
    def verdict(self) -> str:
        return _verdict(self.measured is not None, self.measured is not None and self.is_reached())

    def record(self) -> dict:
        return asdict(self) | {"bound": self.bound, "reached": self.verdict}

    def __str__(self) -> str:
        measured, goal = _number(self.measured, ".4g"), f"{SIGNS[self.bound]} {_number(self.goal, '.4g')}"
        return f"{self.what:<76} {measured:>9} {goal:>10} {self.unit:<19} {self.verdict:<12} {self.beside}"


class Floor(Limit):
    """The same where `measured` must not be below `goal`."""

    bound = "at least"

    def is_reached(self) -> bool:
        return self.measured >= self.goal


class Figure(Limit):
    """An amount that nothing is asked of."""

    bound = "none"

    @property
    def verdict(self) -> str:
        return NOT_MEASURED if self.measured is None else "no goal"


SIGNS = {"at most": "<=", "at least": ">=", "none": ""}


def _verdict(is_measured: bool, is_reached: bool) -> str:
    return ("yes" if is_reached else "NO") if is_measured else NOT_MEASURED


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
