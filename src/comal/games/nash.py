"""The exact Nash policy by linear programming: minimise v subject to A p ≤ v, p a policy; v is 0 by skew symmetry."""

from __future__ import annotations

import numpy as np

from comal.errors import GameError
from comal.games.game import Floats, PreferenceGame
from comal.games.measures import gap_of_payoff

_GOOD_ENOUGH = 1e-10  # relative to the largest payoff; HiGHS's own tolerances are 1e-7, so the gap is computed anew


def nash_policy(game: PreferenceGame) -> Floats:
    """A Nash policy of one game, by HiGHS.

    Raises:
        GameError: the game is a batch.
    """
    if game.batch is not None:
        raise GameError(game.name, "linear programming solves one game at a time")
    return solve_lp(game.A)


def solve_lp(A: Floats) -> Floats:
    """The policy p with the smallest max(A p), A skew, that the interior-point and the simplex method find."""
    from scipy.optimize import linprog  # not at the top: it costs every command a third of a second

    n = len(A)
    scale = float(np.abs(A).max())
    if scale == 0.0:
        return np.full(n, 1 / n)
    best, best_gap = np.full(n, 1 / n), np.inf
    for method in ("highs-ipm", "highs-ds"):
        outcome = linprog(
            c=np.r_[np.zeros(n), 1.0],
            A_ub=np.c_[A / scale, -np.ones(n)],
            b_ub=np.zeros(n),
            A_eq=np.r_[np.ones(n), 0.0][None],
            b_eq=[1.0],
            bounds=[(0, None)] * n + [(None, None)],
            method=method,
        )
        if outcome.x is None:
            continue
        p = np.maximum(outcome.x[:n], 0.0)
        p /= p.sum()
        gap = float(gap_of_payoff(A @ p)) / scale
        if gap < best_gap:
            best, best_gap = p, gap
        if best_gap <= _GOOD_ENOUGH:
            break
    return best
