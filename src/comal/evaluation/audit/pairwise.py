"""Win rates between systems with what is known of their uncertainty, however they were counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from comal.errors import DataError
from comal.evaluation.audit.bounded import mean_exceeds
from comal.evaluation.audit.verdicts import Floats
from comal.games.game import MOST_WINS

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Pairwise:
    """Win rates of n systems over their E compared pairs (first < second).

    Attributes:
        labels: names of the systems.
        first, second: systems of each pair, shape (E,).
        rate: Pr(first ≻ second), shape (E,).
        count: what the rate is a mean of (prompts, or comparisons), shape (E,); ones where that is not known.
        p_first, p_second: one-sided p-values of "first (second) does not win more than half", shape (E,); None where
            the rates are all there is.
        covariance: of the rates' sampling error, shape (E, E), or None.
        resampled: the rates of bootstrap samples, shape (resamples, E), or None.
        unit: what is counted.
    """

    labels: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    rate: Floats
    count: Floats
    p_first: Floats | None
    p_second: Floats | None
    covariance: Floats | None
    resampled: Floats | None
    unit: str

    @classmethod
    def of_prompts(cls, tables: Floats, labels: Sequence[str], seed: int = 0) -> Pairwise:
        """From a table a prompt, shape (prompts, n, n), NaN without a verdict; prompts are the independent units."""
        upper = np.triu_indices(len(labels), k=1)
        values = tables[:, upper[0], upper[1]]
        compared = np.isfinite(values).any(axis=0)
        first, second, values = upper[0][compared], upper[1][compared], values[:, compared]
        judged = np.isfinite(values)
        count = judged.sum(axis=0).astype(np.float64)
        filled = np.where(judged, values, 0.0)
        rate = filled.sum(axis=0) / count
        residual = np.where(judged, values - rate, 0.0) / count
        n = len(values)
        covariance = residual.T @ residual * (n / (n - 1) if n > 1 else 1.0)
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64)
        drawn = weights @ judged
        # A pair that a bootstrap sample lacks keeps its rate: the sample says nothing else of it.
        resampled = np.where(drawn > 0, (weights @ filled) / np.maximum(drawn, 1.0), rate)
        return cls(
            tuple(labels), first, second, rate, count,
            np.array([mean_exceeds(column, 0.5) for column in values.T]),
            np.array([mean_exceeds(1 - column, 0.5) for column in values.T]),
            covariance, resampled, "prompts",
        )  # fmt: skip

    @classmethod
    def of_counts(cls, wins: ArrayLike, labels: Sequence[str], seed: int = 0, resamples: int = _RESAMPLES) -> Pairwise:
        """From independent comparisons: wins[i, j] times i was preferred to j; a tie is half a win of each.

        Raises:
            DataError: a negative count, one that is no multiple of 1/2, or one of more than 10^15.
        """
        table = np.asarray(wins, dtype=np.float64)
        if not np.isfinite(table).all() or (table < 0).any() or np.abs(2 * table - np.round(2 * table)).max() > 1e-6:
            raise DataError("counts", "wins are whole numbers, or halves for ties, and not negative")
        if table.max(initial=0.0) > MOST_WINS:
            raise DataError("counts", f"{table.max():g} wins are more than can be counted here, {MOST_WINS:g} at most")
        upper = np.triu_indices(len(labels), k=1)
        up, down = table[upper], table.T[upper]
        compared = up + down > 0
        up, down = up[compared], down[compared]
        count = up + down
        rate = up / count
        # Rounded so that a half, a tie, counts against whoever is tested.
        p_first = np.asarray(stats.binom.sf(np.floor(up) - 1, np.ceil(count), 0.5))
        p_second = np.asarray(stats.binom.sf(np.floor(down) - 1, np.ceil(count), 0.5))
        spread = (up + 0.5) / (count + 1)
        covariance = np.diag(spread * (1 - spread) / count)
        rng = np.random.default_rng(seed)
        resampled = rng.binomial(np.ceil(count).astype(np.int64), rate, size=(resamples, len(rate))) / np.ceil(count)
        return cls(
            tuple(labels), upper[0][compared], upper[1][compared], rate, count, p_first, p_second, covariance,
            resampled, "comparisons",
        )  # fmt: skip

    @classmethod
    def of_rates(cls, P: ArrayLike, labels: Sequence[str]) -> Pairwise:
        """From win rates alone: what they are a mean of is not known, so nothing can be tested."""
        table = np.asarray(P, dtype=np.float64)
        upper = np.triu_indices(len(labels), k=1)
        rate = table[upper]
        known = np.isfinite(rate)
        return cls(
            tuple(labels), upper[0][known], upper[1][known], rate[known], np.ones(int(known.sum())), None, None, None,
            None, "",
        )  # fmt: skip

    @property
    def n(self) -> int:
        """Number of systems."""
        return len(self.labels)

    @property
    def complete(self) -> bool:
        """Whether every two systems were compared."""
        return len(self.rate) == self.n * (self.n - 1) // 2

    def table(self, rate: Floats | None = None) -> Floats:
        """The rates as a matrix P, 1/2 on the diagonal, NaN where two were never compared."""
        values = self.rate if rate is None else rate
        P = np.full((self.n, self.n), np.nan)
        P[range(self.n), range(self.n)] = 0.5
        P[self.first, self.second] = values
        P[self.second, self.first] = 1 - values
        return P

    def differ(self) -> float | None:
        """p-value that every two systems are equally good, corrected for the choice among pairs; None without any."""
        if self.p_first is None or self.p_second is None or not len(self.rate):
            return None
        smallest = float(np.minimum(self.p_first, self.p_second).min())
        return min(1.0, 2 * len(self.rate) * smallest)

    def p_values(self) -> Floats | None:
        """p[i, j]: one-sided p-value of "i does not win more than half against j"; 1 where nothing is known."""
        if self.p_first is None or self.p_second is None:
            return None
        p = np.ones((self.n, self.n))
        p[self.first, self.second] = self.p_first
        p[self.second, self.first] = self.p_second
        return p
