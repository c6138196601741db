"""The empirical game: which mixture of the policies is beaten by none of them, and how sure that is.

The policies are the actions of a symmetric zero-sum game whose payoffs are the cross-play win rates (Wellman 2006). Its
Nash mixture comes from a linear program; where there are several, Nash averaging (Balduzzi et al. 2018, arXiv
1806.02643) takes the one of maximal entropy, which does not care how often a policy is entered. They take log-odds as
payoffs; here it is P − 1/2, which is bounded, and whose equilibrium is the Nash policy that comal aligns to.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.comal import COMAL
from comal.errors import GameError
from comal.evaluation.crossplay.crossplay import CrossPlay
from comal.evaluation.intervals import Interval
from comal.games.game import PreferenceGame
from comal.games.measures import duality_gap, win_rates
from comal.games.nash import nash_policy
from comal.games.solution import solve

Floats = NDArray[np.float64]

IN_SUPPORT = 1e-4
"""Probability from which a policy counts as part of a mixture."""


@dataclass(frozen=True, slots=True, eq=False)
class EmpiricalGame:
    """The game of a cross-play.

    Attributes:
        policies: names.
        nash: a Nash mixture, by linear programming, shape (n,).
        nash_averaging: the one of maximal entropy, shape (n,).
        skill: win rate of every policy against `nash_averaging`, shape (n,); 1/2 in its support, at most 1/2 elsewhere.
        gap: duality gap of `nash` within the pool of policies. Its value is 0 up to rounding; what it will be on other
            prompts is seen by bootstrap: mixtures found on resamples, measured on the prompts as they are.
            `low` is 0 then, and `high` bounds the gap with the bootstrap's whole level.
        support: share of the resamples in whose Nash mixture each policy is, shape (n,).
        mixture_low, mixture_high: percentile interval of each policy's probability, shape (n,).
        resamples: how many resamples gave a game; a pair without any verdict in one makes it none.
        condorcet: the policy that beats every other one, if there is one.
        condorcet_share: for each policy, the share of the resamples in which it is that policy, shape (n,).
        cycles: triples a ≻ b ≻ c ≻ a.
        certain_cycles: those of them whose three win rates all have intervals above 1/2.
    """

    policies: tuple[str, ...]
    nash: Floats
    nash_averaging: Floats
    skill: Floats
    gap: Interval
    support: Floats
    mixture_low: Floats
    mixture_high: Floats
    resamples: int
    condorcet: str | None
    condorcet_share: Floats
    cycles: tuple[tuple[str, str, str], ...]
    certain_cycles: tuple[tuple[str, str, str], ...]


def empirical_game(play: CrossPlay) -> EmpiricalGame:
    """Solve the game of a cross-play and of every resample of its prompts.

    Raises:
        DataError: a pair of policies without any verdict.
    """
    game = play.game()
    nash = nash_policy(game)
    averaging = nash_averaging(game)
    resampled = play.resampled()
    whole = resampled[np.isfinite(resampled).all(axis=(1, 2))]
    if not len(whole):
        raise GameError("cross-play", "in every resample of the prompts some pair has no verdict; mend the judge")
    drawn = PreferenceGame.symmetrised(whole, play.policies)
    # Mirror descent's limit has the largest support, so ties do not drop a policy by chance.
    mixtures = solve(drawn, COMAL()).policy
    gaps = duality_gap(PreferenceGame(np.broadcast_to(game.P, whole.shape), play.policies), mixtures)
    winners = ((drawn.P > 0.5).sum(axis=2) == play.n - 1).mean(axis=0)
    winner = game.condorcet_winner()
    low, high = play.bootstrap.ends(mixtures)
    cycles = _cycles(game.P > 0.5)
    certain = _cycles(play.low > 0.5)
    return EmpiricalGame(
        policies=play.policies,
        nash=nash,
        nash_averaging=averaging,
        skill=win_rates(game, averaging),
        gap=Interval(float(duality_gap(game, nash)), 0.0, float(np.quantile(gaps, play.bootstrap.level))),
        support=(mixtures > IN_SUPPORT).mean(axis=0),
        mixture_low=low,
        mixture_high=high,
        resamples=len(whole),
        condorcet=None if winner is None else play.policies[winner],
        condorcet_share=winners,
        cycles=tuple((play.policies[i], play.policies[j], play.policies[k]) for i, j, k in cycles),
        certain_cycles=tuple((play.policies[i], play.policies[j], play.policies[k]) for i, j, k in certain),
    )


def nash_averaging(game: PreferenceGame) -> Floats:
    """The Nash mixture of maximal entropy, shape (n,).

    The Nash mixtures of a symmetric zero-sum game are the polytope {p ≥ 0, Σp = 1, A p ≤ 0}. A linear program finds its
    largest support S; within it every row of A p is 0 (complementary slackness), and the entropy, strictly concave, is
    maximised by SLSQP.

    Raises:
        GameError: the game is a batch, or the optimiser failed.
    """
    from scipy.optimize import minimize

    start = _interior_nash(game)
    support = np.flatnonzero(start > 0)
    A = game.A[:, support]
    p = start[support]
    if len(support) > 1 and _freedom(A[support]) > 0:
        inside = np.isin(np.arange(game.n), support)
        constraints: list[Any] = [{"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like}]
        equal = _independent(A[support])
        if len(equal):
            constraints.append({"type": "eq", "fun": lambda x: equal @ x, "jac": lambda _: equal})
        if not inside.all():
            outside = A[~inside]
            constraints.append({"type": "ineq", "fun": lambda x: -outside @ x, "jac": lambda _: -outside})
        outcome = minimize(
            _negative_entropy,
            p,
            jac=True,
            bounds=[(1e-12, 1.0)] * len(p),
            constraints=constraints,
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        p = np.maximum(outcome.x, 0) / np.maximum(outcome.x, 0).sum()
    full = np.zeros(game.n)
    full[support] = p
    if duality_gap(game, full) > 1e-6:
        raise GameError(game.name, "the Nash mixture of maximal entropy was not found to 1e-6")
    return full


def _negative_entropy(p: Floats) -> tuple[float, Floats]:
    log_p = np.log(p)
    return float(p @ log_p), log_p + 1


def _interior_nash(game: PreferenceGame) -> Floats:
    """A Nash mixture whose support is that of all Nash mixtures together."""
    from scipy.optimize import linprog

    if game.batch is not None:
        raise GameError(game.name, "Nash averaging takes one game at a time")
    n = game.n
    exact = nash_policy(game)
    # Maximise Σt over t ≤ min(p, 1), A p ≤ 0, p ≥ 0 not normalised: scaled up, p can have t = 1 on the whole support.
    zero, unit = np.zeros((n, n)), np.eye(n)
    found = linprog(
        np.concatenate([np.zeros(n), -np.ones(n)]),
        A_ub=np.block([[game.A, zero], [-unit, unit]]),
        b_ub=np.zeros(2 * n),
        bounds=[(0, 1e4)] * n + [(0, 1)] * n,
        method="highs-ds",
    )
    if found.x is None:
        return np.where(exact > IN_SUPPORT / 10, exact, 0.0)
    support = found.x[n:] > 1e-3
    mixed = np.where(support, np.maximum(found.x[:n], 0.0), 0.0)
    mixed /= mixed.sum()
    return mixed if duality_gap(game, mixed) < 1e-7 else np.where(exact > IN_SUPPORT / 10, exact, 0.0)


def _independent(A: Floats) -> Floats:
    """Orthonormal rows that span those of A; SLSQP fails on dependent constraints."""
    _, scale, rows = np.linalg.svd(A)
    kept: Floats = rows[: int((scale > 1e-9).sum())]
    return kept


def _freedom(A: Floats) -> int:
    """Dimension of {p: A p = 0, Σp = 1}."""
    return int(A.shape[1] - np.linalg.matrix_rank(np.vstack([A, np.ones(A.shape[1])]), tol=1e-9))


def _cycles(beats: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Triples i ≻ j ≻ k ≻ i, each once, beginning with its smallest index."""
    return [
        (i, j, k)
        for i, j, k in permutations(range(len(beats)), 3)
        if i == min(i, j, k) and beats[i, j] and beats[j, k] and beats[k, i]
    ]
