"""The central path: a primal-dual interior-point method for matrix games (Mehrotra 1992, SIAM J. Optim. 2 (4)).

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

On matrix games only: it needs all of A. From the start it takes nothing but where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import Algorithm, Program
from comal.algorithms.exact import CentralStep, Polish, SolveLP

# Games of 2 to 1000 answers need 3 to 20; beyond this, rounding is in the way.
_STEPS_BEFORE_LP = 60


@dataclass(frozen=True, slots=True)
class CentralPath(Algorithm):
    """The exact Nash policy of matrix games, without settings: what `comal.games.solve` runs unless told otherwise."""

    def program(self) -> Program:
        """Steps, each polished; linear programming if they take long."""
        while True:
            for _ in range(_STEPS_BEFORE_LP):
                yield CentralStep()
                yield Polish()
            yield SolveLP()
