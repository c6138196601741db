"""Past comparisons as estimates: a running table of wins, its uncertainty, and what a policy earns on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comal.games.game import Floats
from comal.games.measures import product


class Record:
    """Wins counted for each run of a batch; a pair that was never compared counts as even.

    P̂[i, j] = (wins[i, j] + prior / 2) / (wins[i, j] + wins[j, i] + prior): both readings of a pair are one datum, so
    P̂ − ½ is skew.

    Attributes:
        wins: how often i was preferred to j, (runs, n, n).
        prior: pseudo-comparisons of every pair, half of them won.
    """

    def __init__(self, runs: int, n: int, prior: float) -> None:
        self.wins = np.zeros((runs, n, n))
        self.prior = prior
        self._A = np.zeros((runs, n, n))
        self._variance = np.tile(_prior_variance(n, prior), (runs, 1, 1))

    def add(
        self, runs: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp], won: NDArray[np.bool_]
    ) -> None:
        """Count comparisons, (len(runs), M); an answer against itself tells nothing."""
        winner, loser = np.where(won, first, second), np.where(won, second, first)
        rows = np.repeat(runs, first.shape[1])
        np.add.at(self.wins, (rows, winner.ravel(), loser.ravel()), (first != second).ravel().astype(np.float64))
        wins = self.wins[runs]
        lost = np.swapaxes(wins, -1, -2)
        total = wins + lost + self.prior
        A = (wins - lost) / (2 * total)
        self._A[runs] = A
        variance = (0.25 - A * A) / (total + 1)
        variance[:, np.arange(variance.shape[1]), np.arange(variance.shape[1])] = 0.0
        self._variance[runs] = variance

    def payoff(self, runs: NDArray[np.intp], opponent: Floats) -> Floats:
        """Estimated P(y > opponent) − ½ of every answer, (len(runs), n)."""
        return product(self._A[runs], opponent)

    def variance(self, runs: NDArray[np.intp]) -> Floats:
        """Of every cell of P̂, as of a Beta posterior, (len(runs), n, n); symmetric, with a zero diagonal."""
        found: Floats = self._variance[runs]
        return found


def _prior_variance(n: int, prior: float) -> Floats:
    variance = np.full((n, n), 0.25 / (prior + 1))
    np.fill_diagonal(variance, 0.0)
    return variance
