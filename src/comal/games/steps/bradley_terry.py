"""Bradley-Terry scores that best explain comparisons: of a whole game, or of counted wins.

The scores s maximise sum_ij wins_ij log sigmoid(s_i − s_j), which is concave. With met_ij = wins_ij + wins_ji, its
gradient is

    F_i = sum_j (wins_ij − met_ij · sigmoid(s_i − s_j)),

divided here by some m_i > 0 of the answer's own, so that answers that hardly ever meet another one are as well
conditioned as the rest. There is a maximum if no group of answers always beats the others (Ford 1957), and it is unique
up to a constant.
"""

from __future__ import annotations

import numpy as np

from comal.errors import GameError
from comal.games.game import Floats

_NEWTON_STEPS = 500
_ROUNDING = 1e-13


def bradley_terry_scores(P: Floats, p: Floats) -> Floats:
    """Scores of the best fit to preferences on pairs from p × p; see `comal.algorithms.base.BradleyTerryStep`.

    Args:
        P: preferences, (B, n, n), P + Pᵀ = 1.
        p: how often each answer is drawn, (B, n).

    Returns:
        (B, n), with <p, s> = 0.

    Raises:
        GameError: some answers always win, so that no scores are best.
    """
    _require_wins_both_ways(P)  # whatever p: an answer that has all but vanished still has its score
    # wins_ij = p_i p_j P_ij, divided by p_i; a pair of equal answers says nothing.
    met = np.broadcast_to(p[:, None, :], P.shape)
    scores = _fit(met * P, met)
    centred: Floats = scores - (p * scores).sum(axis=1, keepdims=True) / p.sum(axis=1, keepdims=True)
    return centred


def scores_of_wins(wins: Floats) -> Floats:
    """Scores of the best fit to counted wins, with mean 0.

    Args:
        wins: weight with which i was preferred to j, (B, n, n), the diagonal ignored.

    Returns:
        (B, n).

    Raises:
        GameError: some answers always won, so that no scores are best; a prior on every pair sees to that.
    """
    wins = wins * ~np.eye(wins.shape[-1], dtype=np.bool_)
    _require_wins_both_ways(wins)
    met = wins + np.swapaxes(wins, -1, -2)
    own = np.maximum(met.sum(axis=-1, keepdims=True), 1e-300)
    return _fit(wins / own, met / own)


def _require_wins_both_ways(wins: Floats) -> None:
    from scipy.sparse.csgraph import connected_components  # not at the top: games load fast

    if any(connected_components(table > 0, connection="strong")[0] > 1 for table in wins):
        raise _no_fit()


def _fit(wins: Floats, met: Floats) -> Floats:
    """Newton's method on F = 0, each row already divided by its m_i; mean score 0."""
    from scipy.special import expit  # not at the top: games load fast

    n = wins.shape[-1]
    off_diagonal = ~np.eye(n, dtype=np.bool_)
    scores: Floats = np.zeros(wins.shape[:2])
    for _ in range(_NEWTON_STEPS):
        chance = expit(scores[:, :, None] - scores[:, None, :])
        gradient = (wins - met * chance).sum(axis=2)
        if np.all(np.abs(gradient) <= _ROUNDING):
            return scores
        weight = met * chance * (1 - chance)
        # Where a curvature has underflowed, scores have run off, and the loop ends without a fit.
        curvature = np.maximum(weight.sum(axis=2, keepdims=True), 1e-300)
        # The rows of D − W sum to 0: adding a constant makes it regular and keeps the mean at 0.
        matrix = np.where(off_diagonal, 0.0, curvature) - weight + 1 / n
        change = np.linalg.solve(matrix, gradient[..., None])[..., 0]
        spread = np.ptp(change, axis=1, keepdims=True)
        # The logistic curvature changes by at most e^spread along the step: a damped step never overshoots by much.
        scores = scores + change / np.maximum(1.0, spread)
        scores = scores - scores.mean(axis=1, keepdims=True)
        if not np.all(np.abs(scores) < 200):
            break
    raise _no_fit()


def _no_fit() -> GameError:
    return GameError(
        "game",
        "no Bradley-Terry scores fit its comparisons best, because some answers always win; soften the "
        "preferences (no entry 0 or 1), or use `iterative_ipo`, which needs no scores",
    )
