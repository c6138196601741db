"""Judges for groups of answers, found from other processes by their names."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from comal.judges.base import Judge
from waiting import LIMIT, wait_until


@dataclass(frozen=True)
class Table(Judge):
    """Pr(first ≻ second) by the answers' names, first favoured by `bias`; none on `silent` ones."""

    rows: tuple[tuple[str, str, float], ...]
    bias: float = 0.0
    silent: tuple[str, ...] = ()

    @property
    def expensive(self):
        return False

    def compare(self, comparisons):
        known = {(a, b): p for a, b, p in self.rows} | {(b, a): 1 - p for a, b, p in self.rows}
        return [
            None if {c.first, c.second} & set(self.silent) else known.get((c.first, c.second), 0.5) + self.bias
            for c in comparisons
        ]


CYCLE = (("a", "b", 0.8), ("b", "c", 0.7), ("c", "a", 0.9))


@dataclass(frozen=True)
class Met(Judge):
    """Answers nothing before `GATE` is open; every comparison leaves a line in `bill`."""

    bill: str

    def identity(self):
        return {"name": "met"}

    def compare(self, comparisons):
        with Path(self.bill).open("a") as bill:
            bill.writelines(f"{c.first} {c.second}\n" for c in comparisons)
        wait_until(GATE.is_set, "everybody")
        return [0.5 + 0.1 * ((c.first < c.second) - (c.first > c.second)) for c in comparisons]


@dataclass(frozen=True)
class Silent(Judge):
    """Never a verdict."""

    @property
    def expensive(self):
        return False

    def compare(self, comparisons):
        return [None] * len(comparisons)


GATE = threading.Event()
__all__ = ["CYCLE", "GATE", "LIMIT", "Met", "Silent", "Table"]
