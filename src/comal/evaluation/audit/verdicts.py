"""Verdicts as an audit sees them: one row each, with who was shown first, by whom, and how often asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from comal.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HARD = (0.0, 0.5, 1.0)
"""What single verdicts in words come as: lost, tied, won."""


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict on two answers to one prompt.

    Attributes:
        prompt: index of the prompt.
        first, second: answers (columns of `Verdicts.lengths`), `first` being the one that was presented first.
        probability: Pr(first ≻ second); NaN without a verdict.
        rater: index of who gave it.
        repeat: 0, and 1, 2, ... where the same rater was asked again.
    """

    prompt: int
    first: int
    second: int
    probability: float
    rater: int = 0
    repeat: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """All verdicts of an audit. A prompt has up to K answers, each of which belongs to one of S systems.

    Attributes:
        name: what to call them in messages.
        prompts: ids, unique.
        systems: names; empty where "answer 1" means nothing beyond its prompt, so that prompts cannot be pooled.
        owner: the system of each of the K answers, all 0 without systems.
        raters: who judged.
        rows: the verdicts.
        lengths: characters of each answer, shape (prompts, K); NaN where unknown.
        exact: whether a probability is all there is to know of a verdict, not one draw from it; None asks the values:
            verdicts that are all 0, 1/2 or 1 are draws.
        draws: how many sampled verdicts one probability is the mean of, where they are draws.
        reasons: why there was no verdict and how often, commonest first, of a judge that was asked.
        users: of a judge that is a population, its users' own verdicts, a rater each; they are in none of the rows.
        shares: of these raters among the users, where that is what they are.

    Raises:
        DataError: no row, or a probability outside [0, 1].
    """

    name: str
    prompts: tuple[str, ...]
    systems: tuple[str, ...]
    owner: tuple[int, ...]
    raters: tuple[str, ...]
    rows: tuple[Row, ...]
    lengths: Floats
    exact: bool | None = None
    draws: int = 1
    reasons: Mapping[str, int] = field(default_factory=dict)
    users: Verdicts | None = None
    shares: tuple[float, ...] = ()
    _columns: dict[str, NDArray[np.generic]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.rows:
            raise DataError(self.name, "holds no comparison of two answers")
        p = np.array([row.probability for row in self.rows])
        outside = np.isfinite(p) & ((p < 0) | (p > 1))
        if outside.any():
            raise DataError(self.name, f"{p[outside][0]:g} is no probability between 0 and 1")
        columns: dict[str, NDArray[np.generic]] = {
            name: np.array([getattr(row, name) for row in self.rows], dtype=np.int64)
            for name in ("prompt", "first", "second", "rater", "repeat")
        }
        object.__setattr__(self, "_columns", columns | {"probability": p})
        if self.exact is None:
            object.__setattr__(self, "exact", not np.isin(p[np.isfinite(p)], HARD).all() and self.draws == 1)

    @property
    def probability(self) -> Floats:
        """Pr(first ≻ second) of every row."""
        column: Floats = self._columns["probability"].astype(np.float64)
        return column

    def column(self, name: str) -> Ints:
        """`prompt`, `first`, `second`, `rater` or `repeat` of every row."""
        column: Ints = self._columns[name].astype(np.int64)
        return column

    @property
    def failures(self) -> int:
        """Rows without a verdict."""
        return int(np.isnan(self.probability).sum())

    def of_rater(self, rater: int) -> Verdicts:
        """The verdicts of one rater.

        Raises:
            DataError: there is none.
        """
        rows = tuple(replace(row, rater=0) for row in self.rows if row.rater == rater)
        return replace(self, raters=(self.raters[rater],), rows=rows)

    def grouped(self) -> dict[tuple[int, int, int], list[Row]]:
        """Rows by prompt and pair of answers (i < j), whatever the order of presentation, rater and repeat."""
        groups: dict[tuple[int, int, int], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.prompt, min(row.first, row.second), max(row.first, row.second)), []).append(row)
        return groups

    def tables(self) -> Floats:
        """P[x, i, j] = Pr(answer i ≻ answer j) on prompt x, shape (prompts, K, K); NaN without a verdict.

        Both presentation orders count alike, then all raters do. A rater who was shown both orders and has a verdict on
        one only has none: half an answer carries the whole position bias.
        """
        K = len(self.owner)
        tables = np.full((len(self.prompts), K, K), np.nan)
        tables[:, range(K), range(K)] = 0.5
        for (x, i, j), rows in self.grouped().items():
            by_rater: dict[int, list[Row]] = {}
            for row in rows:
                by_rater.setdefault(row.rater, []).append(row)
            means = [mean for rater in by_rater.values() if math.isfinite(mean := balanced(rater))]
            if means:
                tables[x, i, j] = mean_of_few(means)
                tables[x, j, i] = 1 - tables[x, i, j]
        return tables

    def wins(self) -> Floats:
        """w[x, i, j]: how many single draws preferred answer i to j on prompt x; ties count for neither."""
        K = len(self.owner)
        wins = np.zeros((len(self.prompts), K, K))
        for row in self.rows:
            if not math.isfinite(row.probability):
                continue
            if self.draws > 1:
                wins[row.prompt, row.first, row.second] += round(row.probability * self.draws)
                wins[row.prompt, row.second, row.first] += round((1 - row.probability) * self.draws)
            else:
                wins[row.prompt, row.first, row.second] += row.probability > 0.5
                wins[row.prompt, row.second, row.first] += row.probability < 0.5
        return wins

    def system_tables(self) -> Floats:
        """Mean of `tables` over the answers of each two systems, shape (prompts, S, S); NaN without a verdict."""
        tables, S = self.tables(), len(self.systems)
        owner = np.array(self.owner)
        pooled = np.full((len(self.prompts), S, S), np.nan)
        pooled[:, range(S), range(S)] = 0.5
        for i in range(S):
            for j in range(i + 1, S):
                block = tables[:, owner == i][:, :, owner == j].reshape(len(tables), -1)
                judged = np.isfinite(block)
                count = judged.sum(axis=1)
                total = np.where(judged, block, 0.0).sum(axis=1)
                pooled[:, i, j] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
                pooled[:, j, i] = 1 - pooled[:, i, j]
        return pooled

    def both_orders(self) -> Iterator[tuple[int, float, float]]:
        """(prompt, Pr(i ≻ j) with i shown first, Pr(i ≻ j) with j shown first) of all that were judged both ways."""
        for (x, i, _), rows in self.grouped().items():
            paired: dict[tuple[int, int], dict[bool, float]] = {}
            for row in rows:
                if math.isfinite(row.probability):
                    forth = row.first == i
                    value = row.probability if forth else 1 - row.probability
                    paired.setdefault((row.rater, row.repeat), {})[forth] = value
            for both in paired.values():
                if len(both) == 2:
                    yield x, both[True], both[False]


def without_rater(verdicts: Verdicts, rater: int) -> Verdicts:
    """The verdicts of all other raters.

    Raises:
        DataError: there is no other.
    """
    raters = tuple(name for number, name in enumerate(verdicts.raters) if number != rater)
    rows = tuple(replace(row, rater=row.rater - (row.rater > rater)) for row in verdicts.rows if row.rater != rater)
    return replace(verdicts, raters=raters, rows=rows)


def balanced(rows: Sequence[Row]) -> float:
    """Pr(i ≻ j), i < j, of one rater: the mean of the presentation orders' means; NaN where one has no verdict."""
    means = []
    for forth in (True, False):
        values = [row.probability for row in rows if (row.first < row.second) == forth]
        if values:
            given = [value for value in values if math.isfinite(value)]
            if not given:
                return float("nan")
            mean = mean_of_few(given)
            means.append(mean if forth else 1 - mean)
    return mean_of_few(means)


def mean_of_few(values: Sequence[float]) -> float:
    """The mean, without an array for the one or two values that there mostly are."""
    match values:
        case [value]:
            return value
        case [value, other]:
            return (value + other) / 2
        case _:
            return float(np.mean(values))
