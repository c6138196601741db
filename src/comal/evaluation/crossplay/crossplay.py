"""Cross-play: every policy against every other one on the same prompts, under one judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.errors import DataError
from comal.evaluation.estimates import DIFFERENCE, SHARE, known_mean, mean_interval, pooled_interval
from comal.evaluation.exploitability.adversaries import Answers
from comal.evaluation.intervals import Bootstrap, Floats, Interval, wilson
from comal.games.game import PreferenceGame
from comal.judges.asking.oracle import Oracle, OracleStats
from comal.judges.asking.tables import Table, cross

TIE = 1e-9
"""How far from 1/2 a verdict still counts as a tie: averaging two presentation orders rounds."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How often the first of two policies did better.

    Attributes:
        wins, ties, losses: of the first.
        missing: without a verdict.
    """

    wins: int
    ties: int
    losses: int
    missing: int

    @classmethod
    def count(cls, rates: NDArray[np.float64]) -> Outcomes:
        """Count probabilities above, at and below 1/2, and NaN."""
        excess = rates[np.isfinite(rates)] - 0.5
        wins, losses = int((excess > TIE).sum()), int((excess < -TIE).sum())
        return cls(wins, len(excess) - wins - losses, losses, int(rates.size - len(excess)))

    def decided(self, level: float = 0.95) -> Interval:
        """Share of wins among wins and losses, with its Wilson interval."""
        return wilson(self.wins, self.wins + self.losses, level)


@dataclass(frozen=True, slots=True, eq=False)
class CrossPlay:
    """Who beats whom, prompt by prompt.

    Attributes:
        policies: names, in the order of all rows and columns.
        prompts: texts.
        rates: mean of Pr(i ≻ j) over the pairs of answers to a prompt, shape (prompts, n, n); 1/2 on the diagonal, NaN
            where there is no verdict, and rates + ratesᵀ = 1.
        matrix: their means over the prompts with a verdict, shape (n, n); NaN for a pair without any.
        low, high: intervals of the matrix, shape (n, n); NaN for a pair with fewer than two prompts.
        tables: for i < j and each prompt Pr(answer of i ≻ answer of j), shape (answers of i, answers of j).
        bootstrap: the resampling of prompts behind the intervals, which whatever follows from them should share.
        stats: what the judge was asked, its failures, flips and position bias.
        compared: on which prompts each two were compared at all, shape (prompts, n, n); None: on all.
    """

    policies: tuple[str, ...]
    prompts: tuple[str, ...]
    rates: Floats
    matrix: Floats
    low: Floats
    high: Floats
    tables: Mapping[Pair, tuple[Table, ...]]
    bootstrap: Bootstrap
    stats: OracleStats
    compared: NDArray[np.bool_] | None = None

    @property
    def n(self) -> int:
        """Number of policies."""
        return len(self.policies)

    def outcomes(self, i: int, j: int) -> Outcomes:
        """Prompts on which i's mean win rate against j is above, at and below 1/2, or unknown."""
        rates = self.rates[:, i, j]
        return Outcomes.count(rates if self.compared is None else rates[self.compared[:, i, j]])

    def verdicts(self, i: int, j: int) -> Outcomes:
        """The same over single pairs of answers, for i ≠ j."""
        tables = self.tables[min(i, j), max(i, j)]
        flat = np.concatenate([table.ravel() for table in tables])
        return Outcomes.count(flat if i < j else 1 - flat)

    def interval(self, i: int, j: int) -> Interval:
        """Win rate of i against j."""
        return Interval(*(None if np.isnan(x[i, j]) else float(x[i, j]) for x in (self.matrix, self.low, self.high)))

    def difference(self, i: int, j: int, opponent: int) -> Interval:
        """Win rate of i minus that of j against one opponent, over the prompts on which both have a verdict."""
        both = self.rates[:, i, opponent] - self.rates[:, j, opponent]
        known = both[np.isfinite(both)]
        mean = float(known.mean()) if len(known) else None
        if len(known) < 2:
            return Interval(mean, None, None)
        return Interval(mean, *mean_interval(known, DIFFERENCE, self.bootstrap.level))

    def mean_win_rate(self, i: int) -> Interval:
        """Win rate of i against the other policies, each as likely."""
        others = [j for j in range(self.n) if j != i]
        means, rates = self.matrix[i, others], self.rates[:, i, others]
        known = np.isfinite(rates)
        if known.sum(axis=0).min() < 2:
            return Interval(None if np.isnan(means).any() else float(means.mean()), None, None)
        # What each prompt adds to the mean of the means; without gaps its own mean.
        weight = len(rates) / known.sum(axis=0)
        influence = (means + np.where(known, rates - means, 0.0) * weight).mean(axis=1)
        return Interval(float(means.mean()), *pooled_interval(influence, SHARE, self.bootstrap.level))

    def resampled(self) -> Floats:
        """The matrix of every resample of the prompts, shape (draws, n, n)."""
        return self.bootstrap.rates(self.rates)

    def game(self) -> PreferenceGame:
        """The empirical game (Wellman 2006): policies are the actions, the matrix the payoffs.

        Raises:
            DataError: a pair of policies without any verdict.
        """
        if np.isnan(self.matrix).any():
            i, j = (int(k) for k in np.argwhere(np.isnan(self.matrix))[0])
            raise DataError(
                f"{self.policies[i]} against {self.policies[j]}",
                "the judge has no verdict on any prompt, so there is no game; leave one of the two out, or mend the "
                "judge",
            )
        return PreferenceGame.symmetrised(self.matrix, self.policies, name="cross-play")


def cross_play(
    oracle: Oracle,
    prompts: Sequence[str],
    answers_by_policy: Mapping[str, Answers],
    bootstrap: Bootstrap | None = None,
    before_pair: Callable[[str, str], None] | None = None,
) -> CrossPlay:
    """Let every policy play every other one.

    Args:
        oracle: the judge; asked pair by pair of policies, so its share of failures is limited pair by pair.
        prompts: texts of P prompts.
        answers_by_policy: for each policy its answers to each prompt, one or more.
        bootstrap: how the intervals are made.
        before_pair: told the names of two policies before they play.

    Raises:
        DataError: fewer than two policies or prompts, or a prompt that a policy has no answer to.
        JudgeError: too many questions without a verdict (those there are were kept).
    """
    policies = tuple(answers_by_policy)
    if len(policies) < 2:
        raise DataError("policies", f"cross-play needs at least two policies, got {len(policies)}")
    if len(prompts) < 2:
        raise DataError("prompts", f"an interval needs at least two prompts, got {len(prompts)}")
    for name, answers in answers_by_policy.items():
        if len(answers) != len(prompts):
            raise DataError(name, f"answers to {len(answers)} prompts where there are {len(prompts)}")
        if not all(answers):
            x = next(x for x, group in enumerate(answers) if not group)
            raise DataError(name, f"no answer to prompt {x + 1}, {prompts[x][:60]!r}")
    before = oracle.stats
    tables: dict[Pair, tuple[Table, ...]] = {}
    for i, first in enumerate(policies):
        for j in range(i + 1, len(policies)):
            if before_pair is not None:
                before_pair(first, policies[j])
            found = cross(oracle, prompts, answers_by_policy[first], answers_by_policy[policies[j]])
            tables[i, j] = tuple(found)
    return from_tables(policies, prompts, tables, bootstrap or Bootstrap(), oracle.stats - before)


def from_tables(
    policies: Sequence[str],
    prompts: Sequence[str],
    tables: Mapping[Pair, Sequence[Table]],
    bootstrap: Bootstrap,
    stats: OracleStats | None = None,
) -> CrossPlay:
    """The cross-play of verdicts that are there already: for i < j and each prompt Pr(answer of i ≻ answer of j)."""
    n = len(policies)
    rates = np.full((len(prompts), n, n), 0.5)
    for (i, j), group in tables.items():
        rates[:, i, j] = [known_mean(table) for table in group]
        rates[:, j, i] = 1 - rates[:, i, j]
    given = {pair: tuple(group) for pair, group in tables.items()}
    return from_rates(CrossPlayParts(tuple(policies), tuple(prompts), rates, given), bootstrap, stats)


@dataclass(frozen=True, slots=True, eq=False)
class CrossPlayParts:
    """What a cross-play is made of; see `CrossPlay`.

    Attributes:
        tables: for i < j Pr(answer of i ≻ answer of j), in arrays of any shape.
    """

    policies: tuple[str, ...]
    prompts: tuple[str, ...]
    rates: Floats
    tables: Mapping[Pair, tuple[Table, ...]]
    compared: NDArray[np.bool_] | None = None


def from_rates(parts: CrossPlayParts, bootstrap: Bootstrap, stats: OracleStats | None = None) -> CrossPlay:
    """The cross-play of win rates on each prompt."""
    rates, n = parts.rates, len(parts.policies)
    known = np.isfinite(rates)
    number = known.sum(axis=0)
    # Summed above the diagonal only, so that matrix + matrixᵀ = 1 to the last bit.
    matrix = np.where(number > 0, np.where(known, rates, 0.0).sum(axis=0) / np.maximum(number, 1), np.nan)
    lower = np.tril_indices(n, -1)
    matrix[lower] = 1 - matrix.T[lower]
    low, high = _ends(rates, bootstrap.level)
    return CrossPlay(
        parts.policies,
        parts.prompts,
        rates,
        matrix,
        low,
        high,
        parts.tables,
        bootstrap,
        stats or OracleStats(),
        parts.compared,
    )


def _ends(rates: Floats, level: float) -> tuple[Floats, Floats]:
    n = rates.shape[1]
    low, high = np.full((n, n), 0.5), np.full((n, n), 0.5)
    for i in range(n):
        for j in range(i + 1, n):
            known = rates[np.isfinite(rates[:, i, j]), i, j]
            low[i, j], high[i, j] = mean_interval(known, SHARE, level) if len(known) > 1 else (np.nan, np.nan)
            low[j, i], high[j, i] = 1 - high[i, j], 1 - low[i, j]
    return low, high
