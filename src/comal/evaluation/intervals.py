"""Intervals: Wilson's for counts, and the paired bootstrap over prompts for everything that is computed from win rates.

Win rates themselves, their means and differences have those of `comal.evaluation.estimates`, which keep their coverage
on few prompts; a bootstrap does not.

Prompts are the independent units. One set of resamples serves all policies, so that differences between policies, and
whatever is made of a whole matrix (equilibria, ratings), keep what the policies have in common on a prompt.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_INVENTED = 4


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its interval; None where there is none.

    Attributes:
        value: the figure on the prompts as they are.
        low, high: ends of the interval.
    """

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The resampling of prompts.

    Attributes:
        draws: resamples; each draws as many prompts as there are, with replacement.
        level: of the percentile intervals.
        seed: of the draws.

    Raises:
        ValueError: fewer than 20 draws, or a level that is none.
    """

    draws: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 20:
            raise ValueError(f"draws: an interval needs at least 20 resamples, got {self.draws}")
        if not 0 < self.level < 1:
            raise ValueError(f"level: need a share between 0 and 1, got {self.level}")

    def counts(self, prompts: int) -> Floats:
        """How often each prompt is in each resample, shape (draws, prompts); rows sum to `prompts`."""
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=self.draws).astype(np.float64)

    def means(self, values: Floats) -> Floats:
        """Means over the prompts of every resample, NaN values left out.

        Args:
            values: one row a prompt, shape (prompts, ...).

        Returns:
            Shape (draws, ...); NaN where a resample has no value.
        """
        known = np.isfinite(values)
        flat, weight = (np.reshape(part, (len(values), -1)) for part in (np.where(known, values, 0.0), known))
        counts = self.counts(len(values))
        total, number = counts @ flat, counts @ weight.astype(np.float64)
        means = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return means.reshape(self.draws, *values.shape[1:])

    def rates(self, values: Floats) -> Floats:
        """Means over the prompts of every resample, for values in [0, 1] that mirror one another.

        As for the interval of one mean (`comal.evaluation.estimates`), four prompts are invented, else few prompts that
        happen to agree would agree in every resample: on each of them every i wins or loses all against every j.

        Args:
            values: rates[x, i, j] = 1 - rates[x, j, i], shape (prompts, n, n), NaN where not known.

        Returns:
            Shape (draws, n, n), 1/2 on the diagonal; NaN where a resample has no value.
        """
        return self._drawn(values)[0]

    def wins(self, values: Floats) -> Floats:
        """As `rates`, the sums instead of the means: how often i won against j, 0 where a resample has no value."""
        means, number = self._drawn(values)
        return np.where(np.isfinite(means), means, 0.0) * number

    def _drawn(self, values: Floats) -> tuple[Floats, Floats]:
        """The means of every resample, and of how many prompts they are, those that were invented included."""
        prompts, n, _ = values.shape
        rng = np.random.default_rng(self.seed)
        total = prompts + _INVENTED
        counts = rng.multinomial(total, np.full(total, 1 / total), size=self.draws).astype(np.float64)
        above = np.triu_indices(n, 1)
        own = values[:, above[0], above[1]]
        known = np.isfinite(own)
        invented = counts[:, prompts:].sum(axis=1)[:, None]
        won = rng.binomial(invented.astype(np.int64), 0.5, size=(self.draws, len(above[0])))
        number = counts[:, :prompts] @ known.astype(np.float64)
        upper = (counts[:, :prompts] @ np.where(known, own, 0.0) + won) / (number + invented).clip(1)
        means = np.full((self.draws, n, n), 0.5)
        means[:, above[0], above[1]] = np.where(number > 0, upper, np.nan)
        means[:, above[1], above[0]] = 1 - means[:, above[0], above[1]]
        numbers = np.zeros((self.draws, n, n))
        numbers[:, above[0], above[1]] = numbers[:, above[1], above[0]] = np.where(number > 0, number + invented, 0.0)
        return means, numbers

    def ends(self, resampled: Floats) -> tuple[Floats, Floats]:
        """Both ends of the percentile interval along the first axis; NaN where more than 1 in 20 resamples has none.

        Resamples without a value are left out.
        """
        rare = np.isnan(resampled).mean(axis=0) <= 0.05
        filled = np.where(rare, resampled, 0.0)
        low, high = np.nanquantile(filled, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return np.where(rare, low, np.nan), np.where(rare, high, np.nan)

    def interval(self, value: float, resampled: Floats) -> Interval:
        """The percentile interval of one figure, from its values on the resamples, shape (draws,)."""
        low, high = self.ends(resampled)
        return Interval(*(None if np.isnan(x) else float(x) for x in (value, low, high)))

    def of_mean(self, values: Floats) -> Interval:
        """The mean of per-prompt values, shape (prompts,), NaN left out; no interval where fewer than two are known."""
        known = int(np.isfinite(values).sum())
        mean = float(np.nanmean(values)) if known else float("nan")
        if known < 2:
            return Interval(mean if known else None, None, None)
        return self.interval(mean, self.means(values))


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """A share and its score interval (Wilson, 1927, JASA 22:209-212); all None when nothing was tried.

    Raises:
        ValueError: more successes than trials, or negative counts.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if trials == 0:
        return Interval(None, None, None)
    found = binomtest(successes, trials).proportion_ci(level, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))
