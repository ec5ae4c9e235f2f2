"""What the tables say: a comparison with another side, or an amount of ours and the most that it may be."""

from __future__ import annotations

from dataclasses import asdict, dataclass

COMPARISON_HEAD = f"{'what':<60} {'theirs':>9} {'ours':>9} {'unit':<5} {'ratio':>6} {'goal':>5}  {'reached':<12} differ"
LIMIT_HEAD = f"{'what':<60} {'measured':>9} {'goal':>9} {'unit':<12} {'reached':<12} beside it"


@dataclass(frozen=True)
class Row:
    """One line of the comparison; ratio = theirs / ours, None where nothing was measured."""

    what: str
    unit: str
    goal: float
    theirs: float | None = None
    ours: float | None = None
    difference: float | None = None  # relative RMS between the results of both sides

    @property
    def ratio(self) -> float | None:
        return self.theirs / self.ours if self.theirs is not None and self.ours else None

    @property
    def verdict(self) -> str:
        return _verdict(self.ratio is not None, self.ratio is not None and self.ratio >= self.goal)

    def record(self) -> dict:
        return asdict(self) | {"ratio": self.ratio, "reached": self.verdict}

    def __str__(self) -> str:
        difference = _number(self.difference, ".0e")
        return (
            f"{self.what:<60} {_number(self.theirs, '.3f'):>9} {_number(self.ours, '.3f'):>9} {self.unit:<5} "
            f"{_number(self.ratio, '.2f'):>6} {self.goal:>5.2f}  {self.verdict:<12} {difference:>6}"
        )


@dataclass(frozen=True)
class Limit:
    """One line of the table of limits: `measured` must not be above `goal`; None where nothing was measured.

    beside: what else is worth knowing of the measurement, not judged.
    """

    what: str
    unit: str
    goal: float
    measured: float | None = None
    beside: str = ""

    @property
    def verdict(self) -> str:
        return _verdict(self.measured is not None, self.measured is not None and self.measured <= self.goal)

    def record(self) -> dict:
        return asdict(self) | {"reached": self.verdict}

    def __str__(self) -> str:
        measured = _number(self.measured, ".4g")
        return f"{self.what:<60} {measured:>9} {self.goal:>9.4g} {self.unit:<12} {self.verdict:<12} {self.beside}"


def _verdict(is_measured: bool, is_reached: bool) -> str:
    return ("yes" if is_reached else "NO") if is_measured else "not measured"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
