"""What is asked of busduct: a figure, or a multiple of the best of its rivals."""

import statistics
from dataclasses import dataclass
from typing import ClassVar

from runner import Results
from tables import summary

# A measure, a peer, and bytes a message.
Cell = tuple[str, str, int]


@dataclass(frozen=True)
class Target:
    """One row: with rivals `asked` is a ratio of medians, without a figure."""

    HEADINGS: ClassVar = ("work", "busduct", "best rival", "result", "asked", "met")

    work: str
    unit: str
    ours: Cell
    asked: float
    rivals: tuple[Cell, ...] = ()
    more_is_better: bool = True

    def row(self, results: Results) -> list[str]:
        """Return the cells of the row."""
        bound = "at least" if self.more_is_better else "under"
        asked = f"{bound} {self.asked:g}{'x' if self.rivals else ' ' + self.unit}"
        own, best = self._named(results, self.ours), self.best_rival(results)
        rival = self._named(results, best) if best else "-" if self.rivals else ""
        value = self.value(results)
        if value is None:
            return [self.work, own, rival, "not measured", asked, "-"]
        result = f"{value:.2f}{'x' if self.rivals else ' ' + self.unit}"
        met = "yes" if self.is_met(value) else "no"
        return [self.work, own, rival, result, asked, met]

    def value(self, results: Results) -> float | None:
        """Return what is compared with `asked`; None if it was not measured."""
        ours, best = results.get(self.ours), self.best_rival(results)
        if not ours or (self.rivals and best is None):
            return None
        divisor = statistics.median(results[best]) if best else 1.0
        return statistics.median(ours) / divisor

    def is_met(self, value: float) -> bool:
        """Compare a value with what is asked."""
        return value >= self.asked if self.more_is_better else value < self.asked

    def best_rival(self, results: Results) -> Cell | None:
        """Return the rival with the best median; None if none was measured."""
        measured = [cell for cell in self.rivals if results.get(cell)]
        if not measured:
            return None
        choose = max if self.more_is_better else min
        return choose(measured, key=lambda cell: statistics.median(results[cell]))

    def _named(self, results: Results, cell: Cell) -> str:
        return f"{cell[1]}: {summary(results.get(cell))} {self.unit}"
