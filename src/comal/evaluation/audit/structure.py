"""What the preferences between systems look like: order, winner, equilibrium, cycles, and what would have been seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from comal.evaluation.audit.cycles import SystemCycles, multiplicity, system_cycles
from comal.evaluation.audit.hodge import HodgeSplit, hodge_split
from comal.evaluation.audit.pairwise import Pairwise
from comal.evaluation.audit.verdicts import Floats
from comal.games import PreferenceGame, nash_policy

LEVEL = 0.05
_IN_SUPPORT = 1e-6
_NASH_RESAMPLES = 200
_NASH_AT_MOST = 60  # systems, for the bootstrap of the support
_POWER = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The preferences between systems.

    Attributes:
        labels: names.
        rates: Pr(row ≻ column), shape (n, n); NaN where two were never compared.
        counts: prompts or comparisons behind each rate; None where that is not known.
        unit: `prompts` or `comparisons`.
        condorcet: the system preferred to every other one, if there is one.
        condorcet_p: p-value that it is not, corrected for the choice among all; None where nothing can be tested.
        leader: the system with HodgeRank's highest score: whom a score would pick.
        leader_beaten: the largest win rate of another system against it; above 1/2 a score's choice can be beaten.
        leader_beaten_p: p-value that none is preferred to it, corrected for the choice among all others; None where
            nothing can be tested.
        nash: the Nash policy's probabilities, None where two systems were never compared.
        support_frequency: how often each system is in the Nash support of a bootstrap sample; None if not known.
        hodge: the split into a score and circles.
        cycles: found and tested.
        detectable: how far above 1/2 all win rates round a circle of three must be, to be found in 4 of 5 such samples;
            None where nothing can be tested.
    """

    labels: tuple[str, ...]
    rates: Floats
    counts: Floats | None
    unit: str
    condorcet: str | None
    condorcet_p: float | None
    leader: str
    leader_beaten: float
    leader_beaten_p: float | None
    nash: Floats | None
    support_frequency: Floats | None
    hodge: HodgeSplit
    cycles: SystemCycles
    detectable: float | None

    @property
    def settled(self) -> bool:
        """Whether the sample says who is preferred: a winner, or a circle; a table without counts stands as it is."""
        if self.counts is None:
            return True
        circle = self.cycles.p_value if self.cycles.triples else None
        return min((p for p in (self.condorcet_p, circle) if p is not None), default=1.0) < LEVEL

    @property
    def support(self) -> tuple[str, ...]:
        """Systems that the Nash policy plays."""
        if self.nash is None:
            return ()
        return tuple(label for label, p in zip(self.labels, self.nash, strict=True) if p > _IN_SUPPORT)


def structure(pairs: Pairwise, level: float = 0.05) -> Structure:
    """The structure of a sample of win rates."""
    P, p = pairs.table(), pairs.p_values()
    beats = np.nan_to_num(P, nan=0.0) > 0.5
    winner = next((i for i in range(pairs.n) if beats[i].sum() == pairs.n - 1), None)
    condorcet_p = None
    if winner is not None and p is not None:
        condorcet_p = min(1.0, pairs.n * float(np.delete(p[winner], winner).max()))
    split = hodge_split(pairs)
    met = np.isfinite(P).sum(axis=0) > 1  # a system that was never compared leads nothing
    leader = int(np.where(met, split.scores, -np.inf).argmax())
    counts = beaten_p = None
    if p is not None:
        beaten_p = min(1.0, (pairs.n - 1) * float(np.delete(p[:, leader], leader).min())) if pairs.n > 1 else 1.0
        counts = np.zeros((pairs.n, pairs.n))
        counts[pairs.first, pairs.second] = counts[pairs.second, pairs.first] = pairs.count
    nash = nash_policy(PreferenceGame(P, pairs.labels)) if pairs.complete else None
    return Structure(
        pairs.labels,
        P,
        counts,
        pairs.unit,
        None if winner is None else pairs.labels[winner],
        condorcet_p,
        pairs.labels[leader],
        float(np.nanmax(np.delete(P[:, leader], leader))) if pairs.n > 1 else 0.5,
        beaten_p,
        nash,
        _support_frequency(pairs) if nash is not None else None,
        split,
        system_cycles(pairs, level),
        detectable_strength(pairs, level),
    )


def detectable_strength(pairs: Pairwise, level: float = 0.05, power: float = _POWER) -> float | None:
    """How far above 1/2 the win rates round a three-cycle must be for the test to find it with this power.

    By the normal approximation, with the middle one of the rates' standard errors were they even (the spread about 1/2,
    not about the mean), and three independent edges, each found with the third root of the power. At most 1/2.
    """
    if pairs.covariance is None or pairs.n < 3:
        return None
    stderr = np.sqrt(np.diag(pairs.covariance) + (pairs.rate - 0.5) ** 2 / pairs.count)
    reach = stats.norm.isf(level / multiplicity(pairs.n)) + stats.norm.ppf(power ** (1 / 3))
    return float(min(0.5, reach * np.median(stderr)))


def _support_frequency(pairs: Pairwise) -> Floats | None:
    if pairs.resampled is None or pairs.n > _NASH_AT_MOST:
        return None
    chosen = pairs.resampled[:_NASH_RESAMPLES]
    played = np.zeros(pairs.n)
    for rate in chosen:
        played += _played(pairs.table(rate))
    frequency: Floats = played / len(chosen)
    return frequency


def _played(P: Floats) -> NDArray[np.bool_]:
    """Whom the Nash policy plays, without a linear program where there is one winner or a circle of three."""
    beats = P > 0.5
    winner: NDArray[np.bool_] = beats.sum(axis=1) == len(P) - 1
    if winner.any():
        return winner
    if len(P) == 3 and (beats | beats.T).sum() == 6:
        opposite = np.abs(P[[1, 2, 0], [2, 0, 1]] - 0.5)
        nash: Floats = opposite / opposite.sum()
    else:
        nash = nash_policy(PreferenceGame(P))
    return nash > _IN_SUPPORT
