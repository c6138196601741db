"""Instructions that need the whole preference matrix; only the exact interpreter accepts them."""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import ExactOnly


@dataclass(frozen=True, slots=True)
class SolveRegularised(ExactOnly):
    """policy <- a solution of the game tau-regularised to the reference, by Newton's method.

    Accepted is a p with KL(p || BR(p)) ≤ accept · KL(p || reference). The report carries both KLs and
    the number of linear solves.
    """

    tau: float
    accept: float


@dataclass(frozen=True, slots=True)
class ProximalPoint(ExactOnly):
    """One outer step of COMAL: solve as `SolveRegularised` does, then reference <- BR(policy), with tau adapted.

    The interpreter keeps one tau for each game of a batch, starting at `tau`: it shrinks while Newton's method
    converges fast, grows when that is slow, and a solve that fails is given up and tried again from the reference with
    a larger one.
    """

    tau: float
    accept: float


@dataclass(frozen=True, slots=True)
class CentralStep(ExactOnly):
    """policy <- the next point near the central path of the original game; see central_path.py.

    The interpreter keeps the point and its slacks for each game; it starts halfway between the policy and the uniform
    one. A policy that polishing or a linear program made better than any such point stays.
    """


@dataclass(frozen=True, slots=True)
class Polish(ExactOnly):
    """policy <- the solution of the linear equations on its support, where that solves the original game.

    The support is guessed as {y : policy(y) > 1/2 - P(y > policy)}: the answers whose probability exceeds their slack.
    Elsewhere the policy stays unchanged.
    """


@dataclass(frozen=True, slots=True)
class SolveLP(ExactOnly):
    """policy <- a Nash policy of the original game by linear programming, where better than the policy."""
