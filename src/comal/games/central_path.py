"""The central path: a primal-dual interior-point method (Mehrotra 1992, SIAM J. Optim. 2 (4)), over batches of games.

    p_mu(y) · (v - A p_mu)(y) = mu  for every answer y,      sum_y p_mu(y) = 1,      mu → 0

Summed over answers, v = n mu: nothing beats p_mu by more than that. The equation is the first-order condition of the
symmetric game  <pi, A pi'> + mu sum_y log pi(y) - mu sum_y log pi'(y),  regularised like COMAL's but by
KL(uniform || pi) where COMAL has KL(pi || reference), and by a weight that falls to 0 where COMAL moves the reference.
A skew matrix makes primal and dual one problem, and every point strictly inside feasible.

A step goes towards smaller mu as far as the point stays inside: mu falls severalfold, near the end by 100 a step, in
ties and duplicates as anywhere. Each point guesses the support, and the linear equations on it give the Nash policy
exactly once the guess is right. Where several policies are Nash, the limit of p_mu is the one with the largest product
of probabilities; what the steps approach lies inside the set as well, and from a uniform start close to that. COMAL
goes to one near its start.

A step. With slacks s = v − A p, Newton's step to targets t(y) of the products p(y) s(y) is

    (diag(s / p) − A) dp + dv = t / p + A p,      sum dp = 0,      ds = (t / p − s) − (s / p) dp.

The matrix is a positive diagonal minus a skew one, so it is never singular, ties and duplicates or not; and as dp sums
to 0, a constant may be added to all of its entries, which keeps it well conditioned as μ falls. Rounding makes s differ
from v − A p; the right side has A p itself, so that every step takes that difference away again.

A monotone game that is not linear has its payoff w(p) in the place of A p and its slopes at p in that of A: minus a
matrix that is positive semidefinite on changes that sum to 0. What a step leaves of the curvature is such a difference
too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from comal.algorithms.base import Algorithm, CentralStep, Polish, Program, SolveLP
from comal.games.game import Floats
from comal.games.newton import games_at_a_time, solve_each
from comal.games.payoffs import Games, Payoffs

_CENTRED = 0.1, 10.0  # products p s that far from their mean, in multiples of it, are pulled back by a second corrector
_BACK = 0.99  # of the way to the boundary
_FURTHER = 0.3  # how much longer a step the second corrector aims at
_LAPACK_FROM = 24  # answers; for less, factorising anew in one call is faster than a call a game
_WORTH_SCIPY = 1e8  # numbers³ of all games; less is done before SciPy's linear algebra is imported
_TINY = 1e-200  # stands for the size of payoffs that are all 0
_EXHAUSTED = 1e-20  # of a probability times a slack, for payoffs of size 1: the gap has long been rounding alone


# Games of 2 to 1000 answers need 3 to 20; beyond this, rounding is in the way.
_STEPS_BEFORE_LP = 60


@dataclass(frozen=True, slots=True)
class CentralPath(Algorithm):
    """The exact Nash policy of matrix games, and of populations shown several answers, without settings.

    What `comal.games.solve` runs unless told otherwise. It needs the whole game, so it is no algorithm of recipes.
    """

    def program(self) -> Program:
        """Steps, each polished; linear programming if they take long."""
        while True:
            for _ in range(_STEPS_BEFORE_LP):
                yield CentralStep()
                yield Polish()
            yield SolveLP()


@dataclass(frozen=True, slots=True)
class CentralPoint:
    """Points near the central path, one for each game of a batch.

    Attributes:
        policy: p, (B, n), above 0.
        slack: s, (B, n), above 0; s + A p is the same number for every answer, but for rounding.
        payoff: A p, or w(p), (B, n).
    """

    policy: Floats
    slack: Floats
    payoff: Floats

    def of(self, games: Games) -> CentralPoint:
        """The points of some of the games."""
        return CentralPoint(self.policy[games], self.slack[games], self.payoff[games])


def central_start(payoffs: Payoffs, policy: Floats) -> CentralPoint:
    """A point to start from: the policy, halfway to the uniform one, and slacks of the payoffs' own size."""
    p = (policy + 1 / policy.shape[-1]) / 2
    payoff = payoffs.against(p)
    room = np.maximum(np.abs(payoff).max(axis=-1), 0.01 * np.maximum(payoffs.scale, _TINY))
    return CentralPoint(p, (payoff.max(axis=-1) + room)[:, None] - payoff, payoff)


def central_step(payoffs: Payoffs, point: CentralPoint) -> CentralPoint:
    """The next points near the central path; a game whose numbers no longer suffice for a step stays where it is."""
    B, n = point.policy.shape
    size = games_at_a_time(payoffs.numbers)
    factorise = _by_lapack if n >= _LAPACK_FROM and B * n**3 >= _WORTH_SCIPY else _by_numpy
    workspace = np.empty((min(B, size), n, n))  # one for all: fresh memory costs as much as a step's equations
    parts = []
    for i in range(0, B, size):
        chunk = slice(i, i + size)
        some, here = payoffs.kept(chunk), point.of(chunk)
        scale = np.maximum(some.scale, _TINY)[:, None, None]
        matrix = np.subtract(scale, some.slopes(here.policy), out=workspace[: len(scale)])
        parts.append(_step(some, here, matrix, factorise))
    if len(parts) == 1:
        return parts[0]
    return CentralPoint(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("policy", "slack", "payoff"))
    )


Solve: TypeAlias = Callable[[Floats], Floats]
"""From right sides (B, n, m) to the solutions."""


def _step(payoffs: Payoffs, point: CentralPoint, matrix: Floats, factorise: Callable[[Floats], Solve]) -> CentralPoint:
    """`matrix` is a constant minus the slopes, and overwritten."""
    p, s = point.policy, point.slack
    n = p.shape[-1]
    ratio = s / p
    matrix[:, np.arange(n), np.arange(n)] += ratio
    solve = factorise(matrix)
    ones, predicted, centring = np.moveaxis(solve(np.stack([np.ones_like(p), point.payoff, 1 / p], axis=-1)), -1, 0)
    # <1, M⁻¹ 1> > 0, because the symmetric part of M is positive definite
    per_level = ones / ones.sum(axis=-1, keepdims=True)

    def kept(x: Floats) -> Floats:
        """The solution moved along M⁻¹ 1 so that the policy keeps its sum."""
        moved: Floats = x - per_level * x.sum(axis=-1, keepdims=True)
        return moved

    def corrected(dp: Floats, ds: Floats, change: Floats) -> tuple[Floats, Floats]:
        """The step with its targets' changes, divided by p, added."""
        more = kept(solve(change[..., None])[..., 0])
        return dp + more, ds + change - ratio * more

    dp, ds = kept(predicted), -s
    ds = ds - ratio * dp
    mean = (p * s).mean(axis=-1, keepdims=True)
    length = np.minimum(1.0, _room(p, s, dp, ds))
    remaining = ((p + length * dp) * (s + length * ds)).mean(axis=-1, keepdims=True)
    target = (remaining / mean) ** 3 * mean
    centre = kept(centring)
    second_order = -dp * ds / p
    dp, ds = corrected(dp + target * centre, ds + target * (1 / p - ratio * centre), second_order)
    length = np.minimum(1.0, _BACK * _room(p, s, dp, ds))

    longer = np.minimum(1.0, length + _FURTHER)
    products = (p + longer * dp) * (s + longer * ds)
    low, high = (factor * target for factor in _CENTRED)
    pull = np.where(products < low, low - products, np.maximum(np.minimum(high - products, 0.0), -high))
    dp_centred, ds_centred = corrected(dp, ds, pull / p)
    length_centred = np.minimum(1.0, _BACK * _room(p, s, dp_centred, ds_centred))
    better = length_centred > length
    length = np.where(better, length_centred, length)
    policy = p + length * np.where(better, dp_centred, dp)
    slack = s + length * np.where(better, ds_centred, ds)
    policy = policy / policy.sum(axis=-1, keepdims=True)
    # False for NaN, which singular equations give.
    usable = ((policy > 0) & (slack > 0)).all(axis=-1, keepdims=True) & (mean > _EXHAUSTED * payoffs.scale[:, None])
    policy = np.where(usable, policy, p)
    return CentralPoint(policy, np.where(usable, slack, s), payoffs.against(policy))


def _room(p: Floats, s: Floats, dp: Floats, ds: Floats) -> Floats:
    """How many times the step fits before a probability or a slack is 0, (B, 1); 10^9 where none ever is."""
    fastest = np.maximum((-dp / p).max(axis=-1, keepdims=True), (-ds / s).max(axis=-1, keepdims=True))
    room: Floats = 1 / np.maximum(fastest, 1e-9)
    return room


def _by_numpy(matrix: Floats) -> Solve:
    return lambda right: solve_each(matrix, right)


def _by_lapack(matrix: Floats) -> Solve:
    """Factorised once for all right sides; the matrix is overwritten."""
    from scipy.linalg.lapack import dgetrf, dgetrs  # not at the top: games load fast

    factors = [dgetrf(each.T, overwrite_a=True)[:2] for each in matrix]

    def solve(right: Floats) -> Floats:
        solutions = np.empty_like(right)
        for i, (factor, pivots) in enumerate(factors):
            solutions[i] = dgetrs(factor, pivots, right[i], trans=1)[0]
        return solutions

    return solve
