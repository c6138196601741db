"""Bradley-Terry ratings on the Elo scale, and where they mislead.

    Pr(i ≻ j) = σ(r_i − r_j),    Elo_i = 1000 + (400 / ln 10) · r_i,    mean r = 0

The ratings are the maximum-likelihood ones of all win rates at once (Bradley & Terry 1952; Hunter 2004), not those of
some order of games. Every pair counts alike; of verdicts that somebody else collected, where some pairs met often and
some never, every prompt does. One number a policy cannot say that a beats b, b beats c and c beats a: `misleading`
lists what it then gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.errors import GameError
from comal.evaluation.crossplay.crossplay import CrossPlay
from comal.evaluation.intervals import Interval
from comal.games.steps.bradley_terry import bradley_terry_scores, scores_of_wins

Floats = NDArray[np.float64]

BASE = 1000.0
SCALE = 400 / np.log(10)
_EQUAL = 1e-6  # ratings are found to about 1e-9


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A pair whose winner the ratings get wrong.

    Attributes:
        winner, loser: names; the winner's rating is no higher.
        win_rate: of the winner, with an interval that lies above 1/2.
        predicted: the winner's win rate by the ratings.
    """

    winner: str
    loser: str
    win_rate: Interval
    predicted: float


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Elo ratings.

    Attributes:
        elo: of each policy, with bootstrap intervals over prompts; None where no finite ratings exist.
        error: root mean square of measured minus predicted win rate over the pairs; None without ratings.
        misleading: pairs whose winner they get wrong.
    """

    elo: tuple[Interval, ...] | None
    error: float | None
    misleading: tuple[Contradiction, ...]


def bradley_terry(P: Floats) -> Floats | None:
    """Maximum-likelihood ratings r of win rates P, shape (n,), mean 0; every pair counts alike.

    Returns:
        None where the maximum is at infinity: some policies never lose to the others (Ford 1957).
    """
    try:
        scores: Floats = bradley_terry_scores(P[None], np.full((1, len(P)), 1 / len(P)))[0]
    except GameError:
        return None
    return scores


def bradley_terry_of_wins(wins: Floats) -> Floats | None:
    """Maximum-likelihood ratings of counted wins, shape (n,), mean 0; pairs that never met say nothing.

    Returns:
        None where the maximum is at infinity, or policies are compared by no chain of meetings.
    """
    try:
        scores: Floats = scores_of_wins(wins[None])[0]
    except GameError:
        return None
    return scores


def rate(play: CrossPlay, *, counted: bool = False) -> Ratings:
    """Elo ratings of a cross-play, with what they get wrong.

    Args:
        play: who beats whom.
        counted: every prompt counts alike, so that pairs need not have met equally often, or at all.

    Raises:
        DataError: a pair of policies without any verdict, where pairs count alike.
    """
    from scipy.special import expit

    if counted:
        P, known = play.matrix, np.isfinite(play.rates)
        r = bradley_terry_of_wins(np.where(known, play.rates, 0.0).sum(axis=0))
    else:
        P = play.game().P
        r = bradley_terry(P)
    if r is None:
        return Ratings(None, None, ())
    resampled = np.full((play.bootstrap.draws, play.n), np.nan)
    for number, table in enumerate(play.bootstrap.wins(play.rates) if counted else play.resampled()):
        drawn = bradley_terry_of_wins(table) if counted else _of_whole(table)
        if drawn is not None:
            resampled[number] = drawn
    low, high = play.bootstrap.ends(resampled)
    low, high = np.minimum(low, r), np.maximum(high, r)  # a NaN stays one

    def elo(i: int) -> Interval:
        values = (float(BASE + SCALE * x[i]) for x in (r, low, high))
        return Interval(*(None if np.isnan(value) else value for value in values))

    predicted = expit(r[:, None] - r)
    above = np.triu_indices(play.n, 1)
    wrong = [
        Contradiction(play.policies[i], play.policies[j], play.interval(i, j), float(predicted[i, j]))
        for i, j in np.argwhere(play.low > 0.5).tolist()
        if r[i] < r[j] + _EQUAL
    ]
    error = float(np.sqrt(np.nanmean((P - predicted)[above] ** 2)))
    return Ratings(tuple(elo(i) for i in range(play.n)), error, tuple(wrong))


def _of_whole(table: Floats) -> Floats | None:
    return bradley_terry(table) if np.isfinite(table).all() else None
